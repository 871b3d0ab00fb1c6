"""Leases: whose row it is, for how long, and how many at once; in memory and in MongoDB."""

import asyncio

import pytest

from contracts.envelope import now_ms
from services._kit.errands import Done, Outcome
from services._kit.failures import OutageError
from services._kit.ports import Errand
from tests.kit.chores import (
    LEASE_S,
    at_work,
    errand,
    ignore,
    insert,
    left,
    none_left,
    worker,
)
from tests.kit.toy import RING, RING_LANE
from tests.kit.world import RealWorld, World
from tests.support.space import eventually


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
        await eventually(lambda: none_left(world))

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
    (first,) = await store.lease(RING_LANE, 9, 1, 0.8)
    assert await store.lease(RING_LANE, 9, 1, LEASE_S) == []
    await asyncio.sleep(0.9)

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


async def test_an_outage_in_a_performer_leaves_the_row_to_its_lease(world: World) -> None:
    await insert(world, errand())

    async def meet_an_outage(_row: Errand) -> Outcome:
        raise OutageError("no primary")

    await worker(world, {RING: meet_an_outage}, lease_s=0.1).once()
    await asyncio.sleep(0.15)
    await worker(world, {RING: ignore}).once()

    assert await left(world) == 0


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
        await asyncio.sleep(0.4)  # longer than a poll

    assert len(seen) == 2
    assert await left(world) == 3


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
