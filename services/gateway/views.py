"""What partners read, filled from the events: whatever is not newer by its sequence is dropped.

There is no inbox: a picture says all, so the newest one of a batch is enough, and a repeated one
changes nothing. Whatever cannot be read is skipped and counted; a view never stops the line.
"""

from collections.abc import Sequence
from typing import Any

import orjson
import structlog
from prometheus_client import Counter
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from contracts.callbacks.v1 import EndpointSet
from contracts.catalog import heard_by
from contracts.envelope import TYPE_HEADER, Envelope, UnreadableMessageError, decode
from contracts.ledger import v1 as ledger
from contracts.message import Event
from contracts.public import event_id, moment
from contracts.upcast import with_older
from services._kit.failures import ConflictError, OutageError, patience
from services._kit.life import Document
from services._kit.mongo import Database, outages
from services._kit.ports import Record
from services.gateway import store
from services.gateway.lives import AnyLife, kind_of
from services.gateway.noting import newer
from services.gateway.references import StoreAnswer, reference_update

log = structlog.get_logger()

skipped = Counter("salur_views_skipped_total", "Events that no view could read", ["type"])

_DUPLICATE_KEY = 11000
# HoldRefused changes nothing, and for an unknown account there is nothing to change.
_ACCOUNT_EVENTS = (
    ledger.AccountOpened,
    ledger.TermsSet,
    ledger.DepositCredited,
    ledger.FundsHeld,
    ledger.HoldSettled,
    ledger.HoldReleased,
    ledger.FundsReturned,
    ledger.AccountFrozen,
    ledger.AccountThawed,
)

Writes = dict[str, list[UpdateOne]]


class Views:
    """Takes batches of records into the views.

    Args:
        db: the gateway's database.
        patience_s: how long MongoDB may be away before the process leaves.
    """

    def __init__(self, db: Database, patience_s: float) -> None:
        self._db = db
        self._patience_s = patience_s
        self._types = with_older({t for types in heard_by("gateway").values() for t in types})

    async def handle(self, records: Sequence[Record]) -> None:
        """Returns when the views hold the batch.

        Raises:
            LeavingError: MongoDB was away for longer than the patience.
        """
        writes = _writes([e for record in records if (e := self._read(record)) is not None])
        if not writes:
            return
        async for attempt in patience(self._patience_s):
            try:
                for name, updates in writes.items():
                    await self._write(name, updates)
                break
            except (OutageError, ConflictError) as outage:
                log.warning("views wait for the database", attempt=attempt, reason=str(outage))

    def _read(self, record: Record) -> Envelope[Any] | None:
        message_type = record.header(TYPE_HEADER)
        if message_type is not None and message_type not in self._types:
            return None
        try:
            return decode(record.value, message_type)
        except UnreadableMessageError as error:
            skipped.labels(message_type or "").inc()
            log.error("no view can read an event", type=message_type, reason=str(error))  # noqa: TRY400 - the sentence is the message
            return None

    async def _write(self, name: str, updates: Sequence[UpdateOne]) -> None:
        async with outages():
            try:
                await self._db[name].bulk_write(list(updates), ordered=False)
            except BulkWriteError as error:
                # The row is there and newer: the upsert's insert meets its id.
                for one in error.details.get("writeErrors", ()):
                    if one.get("code") != _DUPLICATE_KEY:
                        raise
                    if list(one.get("keyPattern", {})) != ["_id"]:
                        log.warning("a row of a view meets another", view=name, detail=str(one))
                if error.details.get("writeConcernErrors"):
                    raise


def _writes(envelopes: Sequence[Envelope[Any]]) -> Writes:
    """One update for each row that the batch touches."""
    lives: dict[str, Envelope[Any]] = {}
    references: dict[str, Envelope[Any]] = {}
    accounts: dict[str, Document] = {}
    writes: Writes = {}
    for envelope in envelopes:
        message = envelope.message
        if isinstance(message, AnyLife):
            _note_newest(lives, kind_of(message).id(message), envelope)
            _note_event(writes, envelope)
        elif isinstance(message, StoreAnswer):
            _note_newest(references, message.key, envelope)
        elif isinstance(message, _ACCOUNT_EVENTS):
            _note_account(accounts, envelope)
        elif isinstance(message, EndpointSet):
            writes.setdefault(store.ENDPOINTS, []).append(_endpoint(envelope))
    for life, envelope in lives.items():
        fields = store.row_of(envelope.message, envelope.sequence or 0)
        writes.setdefault(kind_of(envelope.message).collection, []).append(
            newer(life, envelope.sequence or 0, fields)
        )
    for envelope in references.values():
        writes.setdefault(store.STORE_REFERENCES, []).append(reference_update(envelope))
    for account, fields in accounts.items():
        writes.setdefault(store.BALANCES, []).append(newer(account, fields["sequence"], fields))
    return writes


def _note_newest(newest: dict[str, Envelope[Any]], row: str, envelope: Envelope[Any]) -> None:
    known = newest.get(row)
    if known is None or (known.sequence or 0) < (envelope.sequence or 0):
        newest[row] = envelope


def _note_account(accounts: dict[str, Document], envelope: Envelope[Any]) -> None:
    """Events of one account come in order, so later fields of a batch overlay earlier ones."""
    message, sequence = envelope.message, envelope.sequence or 0
    fields = accounts.setdefault(message.account, {"sequence": -1})
    if sequence <= fields["sequence"]:
        return
    fields |= {
        "sequence": sequence,
        "available": message.available,
        "held": message.held,
        "updated_at": envelope.occurred_at,
    }
    if isinstance(message, ledger.AccountOpened | ledger.TermsSet):
        fields |= {"scheme": message.scheme, "credit_limit": message.credit_limit}
    if isinstance(message, ledger.AccountFrozen | ledger.AccountThawed):
        fields["frozen"] = isinstance(message, ledger.AccountFrozen)


def _note_event(writes: Writes, envelope: Envelope[Any]) -> None:
    """What a callback tells is also listed for who missed it."""
    life: AnyLife = envelope.message
    about = kind_of(life)
    kind = about.statuses[life.status][1]
    if kind is None or not isinstance(envelope.message, Event):
        return
    event = event_id(envelope.id)
    body = {
        "id": event,
        "type": kind,
        "occurred_at": moment(envelope.occurred_at),
        "sequence": envelope.sequence or 0,
        "data": about.public(life, envelope.sequence or 0),
    }
    row = {
        "account": life.order.account,
        "type": kind,
        "about": about.id(life),
        "occurred_at": envelope.occurred_at,
        "body": orjson.dumps(body).decode(),
    }
    writes.setdefault(store.EVENTS, []).append(
        UpdateOne({"_id": event}, {"$setOnInsert": row}, upsert=True)
    )


def _endpoint(envelope: Envelope[Any]) -> UpdateOne:
    message: EndpointSet = envelope.message
    fields = {
        "account": f"{message.partner}.{message.environment}",
        "url": str(message.url),
        "events": list(message.events),
        "enabled": message.enabled,
        "sequence": envelope.sequence or 0,
    }
    return newer(message.endpoint, envelope.sequence or 0, fields)
