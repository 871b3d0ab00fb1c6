"""Where lives and transfers are kept, and what workers note of a transfer under their lease.

A life's order is kept as its JSON text: partners choose the keys of ``metadata``, MongoDB does not
like them all. The fields beside it are for people and indices.
"""

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from pymongo import ASCENDING, IndexModel, UpdateOne

from contracts.disburse.v1 import Failure, Order
from services._kit.life import Document
from services._kit.memory import MemoryStore
from services._kit.mongo import Database, MongoStore, outages
from services._kit.together import Together
from services.disburse.life import Change, Life, Transfer, Way

LIVES, TRANSFERS, STATEMENTS = "disbursements", "transfers", "statements"
# A life in one of these waits for somebody: ``waits`` repeats the status, so that the index stays
# small, and ``waits_since`` is when it should have gone on at the earliest.
WAITING: Final = ("holding", "scheduled", "sending", "unclear")

INDICES: Final = {
    LIVES: [
        IndexModel(
            [("waits", ASCENDING), ("waits_since", ASCENDING)],
            name="waiting",
            partialFilterExpression={"waits": {"$exists": True}},
        ),
        IndexModel([("account", ASCENDING), ("reference", ASCENDING)], name="account_reference"),
    ],
    TRANSFERS: [],
    STATEMENTS: [],
}


def life_document(life: Life) -> Document:
    """The document of the life's next version."""
    order = life.order
    document: Document = {
        "_id": life.id,
        "version": life.version + 1,
        "sequence": life.sequence,
        "status": life.status,
        "partner": order.partner,
        "environment": order.environment,
        "account": order.account,
        "reference": order.reference,
        "amount": order.amount,
        "fee": order.fee,
        "order": order.model_dump_json(),
        "created_at": life.created_at,
        "updated_at": life.updated_at,
        "since": life.since,
        "ask": life.ask,
        "way": _flat(life.way) if life.way else None,
        "failure": life.failure.model_dump() if life.failure else None,
        "bank_reference": life.bank_reference,
        "trace_no": life.trace_no,
        "transferred_at": life.transferred_at,
        "resolution": dict(life.resolution) if life.resolution else None,
        "detail": life.detail,
        "history": [_flat(change) for change in life.history],
    }
    if life.status in WAITING:
        at = order.instruct_at if life.status == "scheduled" else None
        document |= {"waits": life.status, "waits_since": at or life.since}
    return document


def _flat(value: Way | Change) -> Document:
    """Not ``asdict``: it copies deeply, and this runs for each change of a life."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def life_of(document: Document) -> Life:
    failure, way = document["failure"], document["way"]
    return Life(
        id=document["_id"],
        order=Order.model_validate_json(document["order"]),
        status=document["status"],
        created_at=document["created_at"],
        updated_at=document["updated_at"],
        since=document["since"],
        sequence=document["sequence"],
        version=document["version"],
        ask=document["ask"],
        way=Way(**way) if way else None,
        failure=Failure(**failure) if failure else None,
        bank_reference=document["bank_reference"],
        trace_no=document["trace_no"],
        transferred_at=document["transferred_at"],
        resolution=document["resolution"],
        detail=document["detail"],
        history=tuple(Change(**change) for change in document["history"]),
    )


def transfer_document(transfer: Transfer) -> Document:
    """The document of the transfer's next version."""
    return {
        "_id": transfer.id,
        "version": transfer.version + 1,
        "sending": transfer.sending,
        "sent_at": transfer.sent_at,
        "resends": transfer.resends,
        "closed": transfer.closed,
    }


def transfer_of(document: Document) -> Transfer:
    return Transfer(
        id=document["_id"],
        sending=document["sending"],
        sent_at=document["sent_at"],
        resends=document["resends"],
        closed=document["closed"],
        version=document["version"],
    )


class Notes(Protocol):
    """What a worker reads and notes outside of the handler's transaction."""

    async def transfer(self, life: str) -> Transfer | None: ...

    async def note_sending(
        self, seen: Transfer, sent_at: datetime, *, resend: bool
    ) -> Transfer | None:
        """The next sending, durable on a majority; None if the transfer is not as it was seen.

        It counts the version too: a handler that read the transfer before loses and reads again.
        """

    async def lives(self, ids: Collection[str]) -> dict[str, Life]: ...

    async def read_until(self, rail: str) -> datetime | None:
        """Up to when the rail's statement has been read."""

    async def note_read_until(self, rail: str, moment: datetime) -> None: ...


class MongoNotes:
    """``Notes`` in MongoDB; the store's database writes with ``w: majority, j: true``."""

    def __init__(self, store: MongoStore) -> None:
        self._store = store
        self._db: Database = store.db
        self._read = Together(self._transfers)
        self._note = Together(self._note_all)

    async def transfer(self, life: str) -> Transfer | None:
        return await self._read(life)

    async def _transfers(self, lives: Sequence[str]) -> list[Transfer | None]:
        found = await self._store.get(TRANSFERS, set(lives))
        return [transfer_of(found[life]) if life in found else None for life in lives]

    async def note_sending(
        self, seen: Transfer, sent_at: datetime, *, resend: bool
    ) -> Transfer | None:
        return await self._note((seen, sent_at, resend))

    async def _note_all(
        self, notes: Sequence[tuple[Transfer, datetime, bool]]
    ) -> list[Transfer | None]:
        """An update reports a count and not which rows, so each note carries a mark of its own and
        is read back by it.
        """
        marks = [secrets.token_hex(8) for _ in notes]
        writes = [
            UpdateOne(
                {"_id": seen.id, "closed": None, "sending": seen.sending},
                {
                    "$set": {"sent_at": sent_at, "noted": mark},
                    "$inc": {"sending": 1, "version": 1, "resends": int(resend)},
                },
            )
            for (seen, sent_at, resend), mark in zip(notes, marks, strict=True)
        ]
        async with outages():
            await self._db[TRANSFERS].bulk_write(writes, ordered=False)
        rows = await self._store.get(TRANSFERS, {seen.id for seen, _, _ in notes})
        return [
            transfer_of(row) if row is not None and row.get("noted") == mark else None
            for (seen, _, _), mark in zip(notes, marks, strict=True)
            for row in (rows.get(seen.id),)
        ]

    async def lives(self, ids: Collection[str]) -> dict[str, Life]:
        found = await self._store.get(LIVES, ids)
        return {one: life_of(document) for one, document in found.items()}

    async def read_until(self, rail: str) -> datetime | None:
        found = await self._store.get(STATEMENTS, [rail])
        return found[rail]["read_until"] if rail in found else None

    async def note_read_until(self, rail: str, moment: datetime) -> None:
        async with outages():
            await self._db[STATEMENTS].update_one(
                {"_id": rail}, {"$max": {"read_until": moment}}, upsert=True
            )


class MemoryNotes:
    """``Notes`` in memory, for simulations and tests."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def _rows(self, name: str) -> dict[str, dict[str, Any]]:
        return self._store.collections.setdefault(name, {})

    async def transfer(self, life: str) -> Transfer | None:
        found = self._rows(TRANSFERS).get(life)
        return None if found is None else transfer_of(found)

    async def note_sending(
        self, seen: Transfer, sent_at: datetime, *, resend: bool
    ) -> Transfer | None:
        row = self._rows(TRANSFERS).get(seen.id)
        if row is None or row["closed"] is not None or row["sending"] != seen.sending:
            return None
        row |= {
            "sent_at": sent_at,
            "sending": row["sending"] + 1,
            "version": row["version"] + 1,
            "resends": row["resends"] + resend,
        }
        return transfer_of(row)

    async def lives(self, ids: Collection[str]) -> dict[str, Life]:
        rows = self._rows(LIVES)
        return {one: life_of(rows[one]) for one in ids if one in rows}

    async def read_until(self, rail: str) -> datetime | None:
        row = self._rows(STATEMENTS).get(rail)
        return None if row is None else row["read_until"]

    async def note_read_until(self, rail: str, moment: datetime) -> None:
        before = await self.read_until(rail)
        later = moment if before is None else max(before, moment)
        self._rows(STATEMENTS)[rail] = {"_id": rail, "read_until": later}
