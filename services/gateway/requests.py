"""Remembered requests: the first row of the view, written before anybody hears of the request.

Rows that arrive while one insert is on its way share the next one, so that a thousand requests
wait for a few journal writes and not for a thousand.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from pymongo import UpdateOne

from contracts.disburse.v1 import Disbursement, RequestDisbursement
from contracts.envelope import Envelope, now_ms
from contracts.ids import derived_id
from services._kit import tracing
from services._kit.failures import OutageError
from services._kit.life import Document
from services._kit.mongo import DURABLE, TRANSACTION_MAX_MS, Database, outages
from services._kit.ports import Record
from services._kit.records import record_of
from services.gateway import store
from services.gateway.outlet import NotAcknowledgedError, Outlet

log = structlog.get_logger()

ROWS_MAX = 500
SWEEP_EVERY_S = 2.0
READ_MAX_MS = 5_000
_DUPLICATE_KEY = 11000


def request_record(life: Disbursement, trace: tuple[tuple[str, str], ...] = ()) -> Record:
    """The command of a remembered request: the same bytes under the same id, whoever says it."""
    return record_of(
        Envelope.model_construct(
            id=derived_id(life.disbursement, life.created_at, "RequestDisbursement"),
            type=RequestDisbursement.type,
            source="/salur/gateway",
            key=life.disbursement,
            occurred_at=life.created_at,
            correlation=life.disbursement,
            cause=None,
            sequence=None,
            message=RequestDisbursement(disbursement=life.disbursement, order=life.order),
        ),
        trace,
    )


class Requests:
    """Remembers, finds and says again.

    Args:
        db: the gateway's database.
        outlet: where commands leave.
        republish_after_s: how long the first saying may take to be heard.
    """

    def __init__(self, db: Database, outlet: Outlet, republish_after_s: float) -> None:
        self._db = db
        self._rows = db[store.DISBURSEMENTS]
        self._outlet = outlet
        self._republish_after_s = republish_after_s
        self._pending: list[tuple[Document, asyncio.Future[bool]]] = []
        self._flusher: asyncio.Task[None] | None = None

    async def remember(self, life: Disbursement, key: str, fingerprint: str) -> bool:
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

    async def publish(self, life: Disbursement) -> None:
        """Say the request; the same id however often.

        Raises:
            NotAcknowledgedError: see there.
        """
        await self._outlet.publish([request_record(life, tracing.current())])

    async def by_key(self, account: str, key: str) -> store.View | None:
        return await self._one({"account": account, "key": key})

    async def by_reference(self, account: str, reference: str) -> store.View | None:
        return await self._one({"account": account, "reference": reference})

    async def by_id(self, account: str, life: str) -> store.View | None:
        """Another account's is as unknown as one that does not exist."""
        return await self._one({"_id": life, "account": account})

    async def _one(self, query: Document) -> store.View | None:
        async with outages():
            row = await self._rows.find_one(query, max_time_ms=READ_MAX_MS)
        return store.view(row) if row is not None else None

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
                "insert", store.DISBURSEMENTS, documents=list(rows), ordered=False,
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
        log.warning("remembered requests are said again", n=len(rows))
        await self._outlet.publish([request_record(store.view(row).life) for row in rows])
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
