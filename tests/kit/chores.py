"""Errands for tests, and workers to do them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

from contracts.envelope import now_ms
from contracts.ledger import v1 as ledger
from services._kit.errands import Conclusion, Done, Lane, Outcome, Performer
from services._kit.life import Changes
from services._kit.ports import Errand
from services._kit.worker import Worker
from tests.kit.toy import ACCOUNT, RING, RING_LANE
from tests.kit.world import World

LEASE_S = 30.0


def errand(lane: str = RING_LANE, *, ago_s: float = 1, kind: str = RING, **data: Any) -> Errand:
    due_at = now_ms() - timedelta(seconds=ago_s)
    return Errand(uuid4().hex, kind, lane, due_at, due_at, data, "talk")


async def insert(world: World, *errands: Errand) -> None:
    await world.store().commit(Changes(), [], [], errands)


async def left(world: World) -> int:
    return len(await world.documents("errands"))


def worker(
    world: World, performers: Mapping[str, Performer], *, limit: int = 4, **options: Any
) -> Worker:
    lease_s = options.pop("lease_s", LEASE_S)
    store = options.pop("store", None) or world.errands()
    publisher = options.pop("publisher", None) or world.publisher()
    return Worker(
        "ledger",
        store,
        publisher,
        performers=performers,
        lane=lambda _name: Lane(limit, lease_s),
        **options,
    )


@contextlib.asynccontextmanager
async def at_work(*workers: Worker) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ignore(_errand: Errand) -> Outcome:
    return Done()


def settle(row: Errand) -> Conclusion:
    return Conclusion("HoldSettled", ledger.HoldSettled(
        account=ACCOUNT, available=0, held=0, hold="h", amount=1, fee=0, rail=row.lane
    ))  # fmt: skip


def all_are(seen: list[str], wanted: list[str]) -> None:
    assert seen == wanted


def has(seen: list[str], wanted: str) -> None:
    assert wanted in seen


async def none_left(world: World) -> None:
    assert await left(world) == 0
