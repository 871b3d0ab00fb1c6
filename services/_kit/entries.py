"""The records of a batch: read from bytes, told in the log, laid aside with the reason."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import structlog

from contracts import catalog
from contracts.envelope import TYPE_HEADER, UnreadableMessageError, decode
from services._kit import metrics
from services._kit.life import Received
from services._kit.ports import MESSAGE_BYTES_MAX, InboxRow, Record

log = structlog.get_logger()

REPLAY_HEADER = "replay"
REASON_HEADER = "parked_reason"


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the batch on its way through the steps."""

    record: Record
    envelope: Received | None
    id: str
    type: str
    fingerprint: str
    fault: str | None = None

    @property
    def replayed(self) -> bool:
        return self.record.header(REPLAY_HEADER) is not None


def entry_of(record: Record) -> Entry:
    """Step 0: read the bytes; what cannot be read is a fault with an id of its own."""
    message_type = record.header(TYPE_HEADER)
    fingerprint = hashlib.sha256(record.value).hexdigest()
    try:
        envelope = decode(record.value, message_type)
        if envelope.key != record.key:
            raise UnreadableMessageError("the Kafka key is not the message's subject")
    except UnreadableMessageError as error:
        # The hash: a topic that was made anew counts its offsets from 0 again.
        name = f"{record.topic}/{record.partition}/{record.offset}/{fingerprint[:16]}"
        return Entry(record, None, name, message_type or "", fingerprint, str(error))
    return Entry(record, envelope, envelope.id, envelope.type, fingerprint)


def line_of(entry: Entry, row: InboxRow) -> dict[str, Any]:
    """What one log line tells of a message: names and ids, never what it says."""
    line: dict[str, Any] = {"type": entry.type, "id": entry.id}
    if entry.envelope is not None:
        line["correlation"] = entry.envelope.correlation
    line["said"] = [record.header(TYPE_HEADER) for record in row.said]
    if row.parked:
        line["parked"] = True
    return line


def dead_letter(entry: Entry, reason: str) -> Record:
    headers = tuple(h for h in entry.record.headers if h[0] != REPLAY_HEADER)
    return replace(
        entry.record,
        topic=entry.record.topic + catalog.DEAD_SUFFIX,
        # Nobody here says more; of a stranger's message the topic it came by keeps the rest.
        value=entry.record.value[:MESSAGE_BYTES_MAX],
        headers=(*headers, (REASON_HEADER, reason[:500])),
        partition=-1,
        offset=-1,
    )


def note_repeat(service: str, entry: Entry, first: str) -> None:
    metrics.repeated.labels(service).inc()
    if first != entry.fingerprint and not entry.replayed:
        # First-published stands: the same cause may be worded differently by a later process.
        log.warning("same id, other content; the first stands", type=entry.type, id=entry.id)
