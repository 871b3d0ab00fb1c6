"""Remembered requests: the first row of the view, written before anybody hears of the request.

Rows that arrive while one insert is on its way share the next one, so that a thousand requests
wait for a few journal writes and not for a thousand.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Generic

import structlog
from pymongo import UpdateOne

from contracts import catalog
from contracts.cashout.keys import spaced_code
from contracts.cashout.v1 import CODE
from contracts.envelope import Envelope, now_ms
from contracts.ids import derived_id
from contracts.sealed import Sealer
from services._kit import tracing
from services._kit.failures import OutageError
from services._kit.life import Document
from services._kit.mongo import DURABLE, TRANSACTION_MAX_MS, Database, outages
from services._kit.ports import Record
from services._kit.records import record_of
from services.gateway import store
from services.gateway.lives import Kind, L, View
from services.gateway.noting import note
from services.gateway.outlet import NotAcknowledgedError, Outlet

log = structlog.get_logger()

ROWS_MAX = 500
SWEEP_EVERY_S = 2.0
READ_MAX_MS = 5_000
_DUPLICATE_KEY = 11000


def request_record(kind: Kind[L], life: L, trace: tuple[tuple[str, str], ...] = ()) -> Record:
    """The command of a remembered request: the same bytes under the same id, whoever says it."""
    message, name = kind.request(life), kind.id(life)
    return record_of(
        Envelope.model_construct(
            id=derived_id(name, life.created_at, type(message).__name__),
            type=message.type,
            source="/salur/gateway",
            key=getattr(message, catalog.row(message.type).key),
            occurred_at=life.created_at,
            correlation=name,
            cause=None,
            sequence=None,
            message=message,
        ),
        trace,
    )


class Requests(Generic[L]):
    """Remembers, finds, shows and says again the lives of one kind.

    Args:
        kind: which.
        db: the gateway's database.
        outlet: where commands leave.
        sealer: opens a code for its partner.
        republish_after_s: how long the first saying may take to be heard.
    """

    def __init__(
        self, kind: Kind[L], db: Database, outlet: Outlet, sealer: Sealer, republish_after_s: float
    ) -> None:
        self.kind = kind
        self._db = db
        self._rows = db[kind.collection]
        self._outlet = outlet
        self._sealer = sealer
        self._republish_after_s = republish_after_s
        self._pending: list[tuple[Document, asyncio.Future[bool]]] = []
        self._flusher: asyncio.Task[None] | None = None

    def show(self, view: View[L]) -> dict[str, Any]:
        """The object that its partner sees."""
        shown = self.kind.public(view.life, view.sequence)
        if view.code is None or shown["status"] != "active":
            return shown
        return shown | {"code": spaced_code(self._sealer.open(view.code, CODE))}

    async def remember(self, life: L, key: str, fingerprint: str) -> bool:
        """False: the key or the reference is taken, and nothing was written.

        Raises:
            OutageError: perhaps it was written.
        """
        later = life.created_at + timedelta(seconds=self._republish_after_s)
        row = store.remembered(life, key, fingerprint, later)
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pending.append((row, done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return await done

    async def publish(self, life: L) -> None:
        """Say the request; the same id however often.

        Raises:
            NotAcknowledgedError: see there.
        """
        await self._outlet.publish([request_record(self.kind, life, tracing.current())])

    async def heard(self, event: Envelope[Any]) -> View[L]:
        """The picture in an event that a waiting request was woken by. Whoever is told it may ask
        again at once, of any process: the view is told before its own turn.
        """
        sequence = event.sequence or 0
        life = event.message
        await note(self._rows, self.kind.id(life), sequence, store.row_of(life, sequence))
        return View.of(life, sequence)

    async def by_key(self, account: str, key: str) -> View[L] | None:
        return await self._one({"account": account, "key": key})

    async def by_reference(self, account: str, reference: str) -> View[L] | None:
        return await self._one({"account": account, "reference": reference})

    async def by_id(self, account: str, life: str) -> View[L] | None:
        """Another account's is as unknown as one that does not exist."""
        return await self._one({"_id": life, "account": account})

    async def _one(self, query: Document) -> View[L] | None:
        async with outages():
            row = await self._rows.find_one(query, max_time_ms=READ_MAX_MS)
        return store.view(self.kind, row) if row is not None else None

    async def _flush(self) -> None:
        while self._pending:
            calls, self._pending = self._pending[:ROWS_MAX], self._pending[ROWS_MAX:]
            try:
                taken = await self._insert([row for row, _ in calls])
            except Exception as error:  # noqa: BLE001 - whatever it was, nobody may wait for ever
                for _, done in calls:
                    if not done.done():
                        done.set_exception(error)
                continue
            for index, (_, done) in enumerate(calls):
                if not done.done():
                    done.set_result(index not in taken)

    async def _insert(self, rows: Sequence[Document]) -> set[int]:
        """The places of rows whose key or reference is taken."""
        async with outages():
            answer = await self._db.command(
                "insert", self.kind.collection, documents=list(rows), ordered=False,
                writeConcern=DURABLE.document, maxTimeMS=TRANSACTION_MAX_MS, check=True,
            )  # fmt: skip
        errors: list[Any] = answer.get("writeErrors", [])
        strange = [error for error in errors if error.get("code") != _DUPLICATE_KEY]
        if strange or "writeConcernError" in answer:
            raise OutageError(f"insert: {strange or answer['writeConcernError']}"[:300])
        return {error["index"] for error in errors}

    # --- said again -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Say again what was remembered and not heard, until cancelled."""
        while True:
            await asyncio.sleep(min(SWEEP_EVERY_S, self._republish_after_s / 2))
            try:
                while self._outlet.open and await self.sweep(now_ms()) == ROWS_MAX:
                    pass
            except (OutageError, NotAcknowledgedError) as error:
                log.warning("remembered requests wait", reason=str(error))

    async def sweep(self, now: datetime) -> int:
        """Publish rows that are still at sequence 0; returns how many."""
        async with outages():
            rows = await (
                self._rows.find({"sequence": 0, "publish_at": {"$lte": now}})
                .sort("publish_at", 1)
                .limit(ROWS_MAX)
                .max_time_ms(READ_MAX_MS)
                .to_list(None)
            )
        if not rows:
            return 0
        log.warning("remembered requests are said again", kind=self.kind.noun, n=len(rows))
        lives = [store.view(self.kind, row).life for row in rows]
        await self._outlet.publish([request_record(self.kind, life) for life in lives])
        later = [
            UpdateOne(
                {"_id": row["_id"], "sequence": 0},
                {
                    "$set": {
                        "publish_at": store.publish_again_at(
                            now, row["publishes"] + 1, self._republish_after_s
                        )
                    },
                    "$inc": {"publishes": 1},
                },
            )
            for row in rows
        ]
        async with outages():
            await self._rows.bulk_write(later, ordered=False)
        return len(rows)
