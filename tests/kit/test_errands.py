"""What falls due is done once, said under its own name, and never holds up another lane."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from contracts.envelope import decode, now_ms
from contracts.ids import derived_id
from contracts.ledger import v1 as ledger
from services._kit.errands import Again, Conclusion, Done, Outcome
from services._kit.failures import LeavingError, OutageError
from services._kit.life import due_message
from services._kit.ports import Errand
from tests.kit.chores import (
    all_are,
    at_work,
    errand,
    has,
    ignore,
    insert,
    left,
    none_left,
    settle,
    worker,
)
from tests.kit.toy import ACCOUNT, RING, Counters, ring
from tests.kit.world import World, shell_of
from tests.support.space import eventually


async def test_what_is_due_is_done_once_and_what_is_not_due_waits(world: World) -> None:
    seen: list[str] = []
    now, later = errand(), errand(ago_s=-60)
    await insert(world, now, later)

    async def perform(row: Errand) -> Outcome:
        seen.append(row.id)
        return Done()

    ringer = worker(world, {RING: perform})
    await ringer.once()
    await ringer.once()

    assert seen == [now.id]
    assert [row["_id"] for row in await world.documents("errands")] == [later.id]


async def test_a_conclusion_is_named_after_what_it_concludes_and_timed_by_the_first_due_at(
    world: World,
) -> None:
    row = errand()
    await insert(world, row)
    tries: list[int] = []

    async def perform(mine: Errand) -> Outcome:
        tries.append(mine.attempt)
        return Done([settle(mine)]) if mine.attempt else Again(0)

    ringer = worker(world, {RING: perform})
    await ringer.once()
    await ringer.once()

    (said,) = [decode(r.value) for r in await world.records("ledger.events")]
    assert tries == [0, 1]
    assert said.id == derived_id(row.id, row.inserted_due_at, "HoldSettled")
    assert (said.cause, said.correlation) == (row.id, "talk")


async def test_a_slow_lane_never_holds_up_another(world: World) -> None:
    stuck = asyncio.Event()
    seen: list[str] = []
    await insert(world, *(errand("slow") for _ in range(10)))
    await insert(world, *(errand("quick") for _ in range(10)))

    async def perform(row: Errand) -> Outcome:
        if row.lane == "slow":
            await stuck.wait()
        seen.append(row.lane)
        return Done()

    async with at_work(worker(world, {RING: perform}, limit=4)):
        await eventually(lambda: all_are(seen, ["quick"] * 10))


async def test_a_lane_that_is_woken_all_the_time_does_not_hide_what_falls_due_elsewhere(
    world: World,
) -> None:
    await insert(world, errand("busy"), errand("quiet", ago_s=-0.5))
    seen: list[str] = []

    async def perform(row: Errand) -> Outcome:
        seen.append(row.lane)
        return Again(0) if row.lane == "busy" else Done()

    busy = worker(world, {RING: perform})

    async def keep_waking() -> None:
        while True:
            busy.wake(["busy"])
            await asyncio.sleep(0.001)

    waking = asyncio.create_task(keep_waking())
    async with at_work(busy):
        await eventually(lambda: has(seen, "quiet"), within_s=5)
    waking.cancel()


@pytest.mark.parametrize("error", [KeyError("rail"), TimeoutError(), AssertionError("bug")])
async def test_an_errand_whose_performer_raises_waits_and_counts_the_attempt(
    world: World, error: Exception
) -> None:
    row = errand()
    await insert(world, row)

    async def fail(_row: Errand) -> Outcome:
        raise error

    await worker(world, {RING: fail}).once()

    lanes, wait_s = await world.errands().lanes_due()
    assert lanes == []
    assert wait_s is not None
    assert 0 < wait_s <= 1


async def test_a_conclusion_that_cannot_be_said_waits_like_any_bug(world: World) -> None:
    await insert(world, errand())

    async def confuse(_row: Errand) -> Outcome:
        order = ledger.ThawAccount(account=ACCOUNT, by="Siti", reason="not the ledger's to say")
        return Done([Conclusion("x", order)])

    await worker(world, {RING: confuse}).once()

    assert (await world.errands().lanes_due())[0] == []
    assert await left(world) == 1


async def test_a_publish_in_doubt_ends_the_worker_and_keeps_the_row(world: World) -> None:
    await insert(world, errand())

    class Doubtful:
        async def publish(self, _records: Any) -> None:
            raise LeavingError("a publish is in doubt")

    async def conclude(row: Errand) -> Outcome:
        return Done([settle(row)])

    with pytest.raises(LeavingError):
        await worker(world, {RING: conclude}, publisher=Doubtful()).run()

    assert await left(world) == 1


async def test_an_errand_that_only_says_a_message_is_tried_until_it_is_said(
    world: World,
) -> None:
    event = ledger.HoldReleased(
        account=ACCOUNT, available=0, held=0, hold="h", amount=1, fee=0, reason="late"
    )
    due = due_message(event, now_ms(), "clock", "life-1")
    row = replace(errand("clock", kind="say", **due.data), attempt=10_000, correlation="life-1")
    await insert(world, row)

    await worker(world, {}).once()

    (said,) = [decode(r.value) for r in await world.records("ledger.events")]
    assert (said.message, said.correlation) == (event, "life-1")
    assert said.id == derived_id(row.id, row.inserted_due_at, "HoldReleased")


async def test_one_that_cannot_be_said_does_not_hold_up_those_that_fall_due_with_it(
    world: World,
) -> None:
    event = ledger.HoldReleased(
        account=ACCOUNT, available=0, held=0, hold="h", amount=1, fee=0, reason="late"
    )
    due = due_message(event, now_ms(), "clock", "life-1")
    rows = [errand("clock", kind="say", **due.data) for _ in range(5)]
    unsayable = errand("clock", kind="say", **{**due.data, "type": "ledger.never_said.v1"})
    await insert(world, *rows, unsayable)

    await worker(world, {}, limit=10).once()

    said = [decode(r.value) for r in await world.records("ledger.events")]
    assert {one.cause for one in said} == {row.id for row in rows}
    assert [row["_id"] for row in await world.documents("errands")] == [unsayable.id]


async def test_an_errand_done_twice_says_the_same_id_twice(world: World) -> None:
    row = errand()

    async def conclude(mine: Errand) -> Outcome:
        return Done([settle(mine)])

    ringer = worker(world, {RING: conclude})
    for _ in range(2):
        await insert(world, row)
        await ringer.once()

    ids = [decode(r.value).id for r in await world.records("ledger.events")]
    assert len(ids) == 2
    assert len(set(ids)) == 1


async def test_the_commit_that_wrote_an_errand_due_now_wakes_the_worker(world: World) -> None:
    seen = asyncio.Event()

    async def perform(_row: Errand) -> Outcome:
        seen.set()
        return Done()

    sleeper = worker(world, {RING: perform}, poll_s=3600)
    async with at_work(sleeper):
        await asyncio.sleep(0.2)
        await shell_of(world, Counters(), wake=sleeper.wake).handle([ring()])
        await asyncio.wait_for(seen.wait(), 5)


async def test_what_falls_due_later_is_found_by_polling(world: World) -> None:
    seen = asyncio.Event()

    async def perform(_row: Errand) -> Outcome:
        seen.set()
        return Done()

    async with at_work(worker(world, {RING: perform}, poll_s=0.1)):
        await insert(world, errand(ago_s=-0.3))
        await asyncio.wait_for(seen.wait(), 5)


async def test_a_worker_outlasts_an_outage_of_the_database(world: World) -> None:
    class Away:
        def __init__(self, store: Any) -> None:
            self.store, self.failures = store, 2

        async def lanes_due(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise OutageError("no primary")
            return await self.store.lanes_due()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.store, name)

    await insert(world, errand())

    async with at_work(worker(world, {RING: ignore}, store=Away(world.errands()))):
        await eventually(lambda: none_left(world))
