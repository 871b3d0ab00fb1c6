"""What falls due: lanes, leases, slots and the names of conclusions, in memory and in MongoDB."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.envelope import decode, now_ms
from contracts.ids import derived_id
from contracts.ledger import v1 as ledger
from services._kit.errands import Again, Conclusion, Done, Lane, Outcome, Performer, Worker
from services._kit.failures import LeavingError, OutageError
from services._kit.life import Changes, due_message
from services._kit.ports import Errand
from tests.kit.toy import ACCOUNT, RING, RING_LANE, Counters, ring
from tests.kit.world import RealWorld, World, shell_of
from tests.support.space import eventually

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
        await eventually(lambda: _all(seen, ["quick"] * 10))


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
        await eventually(lambda: _has(seen, "quiet"), within_s=5)
    waking.cancel()


async def test_at_most_a_lanes_limit_is_under_way_over_two_workers(world: World) -> None:
    running, most = 0, 0
    await insert(world, *(errand() for _ in range(30)))

    async def perform(_row: Errand) -> Outcome:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return Done()

    async with at_work(*(worker(world, {RING: perform}, limit=3) for _ in range(2))):
        await eventually(lambda: _none_left(world))

    assert most == 3


async def test_no_more_rows_are_leased_than_a_worker_can_call_at_once(world: World) -> None:
    await insert(world, *(errand() for _ in range(10)))

    taken = await worker(world, {RING: ignore}, limit=8, concurrency_max=2).once()

    assert taken == 2


async def test_the_row_that_has_waited_longest_goes_first(world: World) -> None:
    oldest, middle, newest = errand(ago_s=30), errand(ago_s=20), errand(ago_s=10)
    await insert(world, newest, oldest, middle)

    rows = await world.errands().lease(RING_LANE, 2, 8, LEASE_S)

    assert [row.id for row in rows] == [oldest.id, middle.id]


async def test_the_lane_that_has_waited_longest_goes_first(world: World) -> None:
    await insert(world, errand("a", ago_s=1), errand("b", ago_s=9), errand("c", ago_s=5))

    lanes, _ = await world.errands().lanes_due()

    assert lanes == ["b", "c", "a"]


async def test_a_lease_that_ran_out_is_given_to_another_worker_with_a_token_of_its_own(
    world: World,
) -> None:
    await insert(world, errand())
    store = world.errands()
    (first,) = await store.lease(RING_LANE, 9, 1, 0.05)
    assert await store.lease(RING_LANE, 9, 1, LEASE_S) == []
    await asyncio.sleep(0.1)

    (second,) = await store.lease(RING_LANE, 9, 1, LEASE_S)

    assert (second.id, second.attempt) == (first.id, first.attempt)
    assert second.token != first.token
    assert not await store.still_mine(first)
    assert await store.still_mine(second)


@pytest.mark.parametrize("ending", ["done", "again"])
async def test_a_worker_that_stalled_past_its_lease_leaves_the_row_leased_anew_alone(
    world: World, ending: str
) -> None:
    await insert(world, errand())
    store = world.errands()
    (stalled,) = await store.lease(RING_LANE, 9, 1, 0.02)
    await asyncio.sleep(0.05)
    (heir,) = await store.lease(RING_LANE, 9, 1, LEASE_S)

    if ending == "done":
        await store.done([stalled])
    else:
        await store.again(stalled, 3600)

    assert await store.still_mine(heir)


async def test_a_stalled_row_is_not_deleted_with_a_neighbour_of_the_new_lease(
    world: World,
) -> None:
    await insert(world, errand(), errand())
    store = world.errands()
    stalled = await store.lease(RING_LANE, 1, 2, 0.02)
    await asyncio.sleep(0.05)
    both = await store.lease(RING_LANE, 2, 2, LEASE_S)
    (neighbour,) = [row for row in both if row.id != stalled[0].id]
    (again,) = [row for row in both if row.id == stalled[0].id]

    await store.done([stalled[0], neighbour])

    assert await store.still_mine(again)


async def test_a_batch_of_leases_carries_one_fresh_token(world: World) -> None:
    await insert(world, *(errand() for _ in range(4)))
    store = world.errands()

    first = await store.lease(RING_LANE, 2, 4, LEASE_S)
    second = await store.lease(RING_LANE, 2, 4, LEASE_S)

    assert len({row.token for row in first}) == len({row.token for row in second}) == 1
    assert first[0].token != second[0].token
    assert not {row.id for row in first} & {row.id for row in second}


async def test_an_attempt_ends_with_its_lease(world: World) -> None:
    await insert(world, errand())
    cancelled: list[bool] = []

    async def hang(_row: Errand) -> Outcome:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return Done()

    await worker(world, {RING: hang}, lease_s=0.1).once()

    assert cancelled == [True]
    assert await left(world) == 1


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


async def test_an_outage_in_a_performer_leaves_the_row_to_its_lease(world: World) -> None:
    await insert(world, errand())

    async def meet_an_outage(_row: Errand) -> Outcome:
        raise OutageError("no primary")

    await worker(world, {RING: meet_an_outage}, lease_s=0.1).once()
    await asyncio.sleep(0.15)
    await worker(world, {RING: ignore}).once()

    assert await left(world) == 0


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


async def test_a_worker_that_is_asked_to_leave_finishes_what_it_began_and_leases_no_more(
    world: World,
) -> None:
    began, seen = asyncio.Event(), []
    await insert(world, *(errand() for _ in range(5)))

    async def perform(row: Errand) -> Outcome:
        began.set()
        await asyncio.sleep(0.1)
        seen.append(row.id)
        return Done()

    leaving = worker(world, {RING: perform}, limit=2)
    async with at_work(leaving):
        await began.wait()
        await leaving.idle()

    assert len(seen) == 2
    assert await left(world) == 3


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
        await eventually(lambda: _none_left(world))


@pytest.mark.servers
async def test_leases_run_on_the_databases_clock(
    real: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert(real, errand())
    monkeypatch.setattr("time.time", lambda: 0.0)

    (row,) = await real.errands().lease(RING_LANE, 1, 1, LEASE_S)

    (document,) = await real.documents("errands")
    monkeypatch.undo()
    assert abs((document["leased_until"] - now_ms()).total_seconds() - LEASE_S) < 5
    assert await real.errands().still_mine(row)


@pytest.mark.servers
async def test_rows_that_wait_cost_nothing_while_their_lane_is_polled(real: RealWorld) -> None:
    await insert(real, *(errand(ago_s=-3600 - n) for n in range(2000)), errand())
    rows = real.store().db["errands"]
    due = {"lane": RING_LANE, "slot": None, "$expr": {"$lte": ["$due_at", "$$NOW"]}}

    plan = await rows.find(due).sort([("lane", 1), ("due_at", 1)]).limit(9).explain()

    assert plan["executionStats"]["totalDocsExamined"] <= 10


@pytest.mark.servers
async def test_a_slot_is_free_again_with_the_row_that_held_it(real: RealWorld) -> None:
    await insert(real, *(errand() for _ in range(6)))
    store = real.errands()

    for _ in range(3):
        rows = await store.lease(RING_LANE, 9, 2, LEASE_S)
        assert len(rows) == 2
        await store.done(rows[:1])
        await store.again(rows[1], 0)
        await store.done(await store.lease(RING_LANE, 1, 2, LEASE_S))

    assert await left(real) == 0


def _all(seen: list[str], wanted: list[str]) -> None:
    assert seen == wanted


def _has(seen: list[str], wanted: str) -> None:
    assert wanted in seen


async def _none_left(world: World) -> None:
    assert await left(world) == 0
