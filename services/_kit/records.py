"""What is said and what falls due, as records and rows with derived ids."""

from datetime import datetime
from typing import Any

from contracts import catalog
from contracts.envelope import (
    TYPE_HEADER,
    Envelope,
    encode,
    written,
)
from contracts.ids import derived_id
from contracts.message import Command, Message
from services._kit.life import Due, Received, Say
from services._kit.ports import (
    Errand,
    Record,
)

CORRELATION_HEADER = "correlation"


def say_record(
    service: str,
    cause: Received,
    name: str,
    say: Say,
    now: datetime,
    trace: tuple[tuple[str, str], ...] = (),
) -> Record:
    """The record of something said because of ``cause``; its id is derived from both."""
    message = say.message
    row = catalog.row(message.type)
    assert service in row.said_by, f"{service} does not say {message.type}"
    key = getattr(message, row.key)
    correlation = say.correlation or cause.correlation
    value = written(
        derived_id(cause.id, cause.occurred_at, f"{service}/{name}"),
        message.type,
        f"/salur/{service}",
        key,
        now,
        correlation,
        cause.id,
        say.sequence,
        message,
    )
    return Record(row.topic, key, value, _headers(row, message, correlation, trace))


def record_of(envelope: Envelope[Any], trace: tuple[tuple[str, str], ...] = ()) -> Record:
    """An envelope as the log takes it, on its catalogue topic, with its headers."""
    row = catalog.row(envelope.type)
    headers = _headers(row, envelope.message, envelope.correlation, trace)
    return Record(row.topic, envelope.key, encode(envelope), headers)


def _headers(
    row: catalog.Row, message: Message, correlation: str, trace: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    headers = ((TYPE_HEADER, message.type), (CORRELATION_HEADER, correlation), *trace)
    if row.holder is None:
        return headers
    return (*headers, (catalog.HOLDER_HEADER, getattr(message, row.holder)))


def errand_of_due(
    service: str, cause: Received, name: str, due: Due, trace: tuple[tuple[str, str], ...]
) -> Errand:
    return Errand(
        id=derived_id(cause.id, cause.occurred_at, f"{service}/{name}"),
        kind=due.kind,
        lane=due.lane,
        due_at=due.due_at,
        inserted_due_at=due.due_at,
        data=dict(due.data),
        correlation=due.data.get("correlation", cause.correlation),
        trace=trace,
    )


def is_order(record: Record) -> bool:
    message_type = record.header(TYPE_HEADER)
    if message_type is None or record.topic.endswith(catalog.DEAD_SUFFIX):
        return False
    return issubclass(catalog.row(message_type).model, Command)
