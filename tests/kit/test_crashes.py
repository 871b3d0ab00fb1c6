"""The crash table, line by line: whatever dies, each top-up counts once and is answered."""

from typing import Any

import pytest

from contracts.envelope import decode
from contracts.ledger import v1 as ledger
from services._kit.failures import LeavingError, OutageError
from services._kit.ports import Record
from tests.kit.toy import ACCOUNT, COUNTERS, Counters, credit, trouble
from tests.kit.world import CrashError, Die, Hooked, World


async def available(world: World, account: str = ACCOUNT) -> int:
    return sum(d["available"] for d in await world.documents(COUNTERS) if d["_id"] == account)


async def answers(world: World) -> list[tuple[str, tuple[tuple[str, str], ...], bytes]]:
    """What was said, as the receivers' inboxes see it: each once."""
    return sorted({(r.key, r.headers, r.value) for r in await world.records("ledger.events")})


async def die_and_come_back(world: World, probe: Any) -> None:
    async with world.process(Counters(), probe=probe) as doomed:
        with pytest.raises(CrashError):
            await doomed.settle()
    async with world.process(Counters()) as fresh:
        await fresh.settle()


async def test_a_crash_after_reading_leaves_nothing_and_the_message_comes_again(
    world: World,
) -> None:
    await world.send(credit(5), credit(7))

    await die_and_come_back(world, Die("read"))

    assert await available(world) == 12
    assert len(await world.records("ledger.events")) == 2


async def test_a_crash_before_the_database_commit_leaves_nothing_and_the_message_comes_again(
    world: World,
) -> None:
    await world.send(credit(5), credit(7))

    await die_and_come_back(world, Die("decided"))

    assert await available(world) == 12
    assert len(await world.records("ledger.events")) == 2


async def test_a_crash_after_the_commit_before_the_publish_is_answered_from_the_inbox(
    world: World,
) -> None:
    await world.send(credit(5), credit(7))

    await die_and_come_back(world, Die("committed"))

    assert await available(world) == 12
    assert len(await world.records("ledger.events")) == 2
    assert len(await answers(world)) == 2


async def test_a_crash_after_the_publish_before_the_offset_says_the_very_same_bytes_again(
    world: World,
) -> None:
    await world.send(credit(5), credit(7))

    await die_and_come_back(world, Die("published"))

    assert await available(world) == 12
    assert len(await world.records("ledger.events")) == 4
    assert len(await answers(world)) == 2  # value, key and headers are equal


async def test_a_commit_that_failed_is_tried_again_from_the_inbox_on(world: World) -> None:
    store = Hooked(world.store(), before=[OutageError("no primary"), OutageError("no primary")])
    await world.send(credit(5))

    async with world.process(Counters(), store=store) as process:
        await process.settle()

    assert store.commits == 3
    assert await available(world) == 5
    assert len(await world.records("ledger.events")) == 1


async def test_a_commit_of_unknown_outcome_that_happened_is_not_made_twice(world: World) -> None:
    store = Hooked(world.store(), after=[OutageError("the answer was lost")])
    await world.send(credit(5))

    async with world.process(Counters(), store=store) as process:
        await process.settle()

    assert store.commits == 1
    assert await available(world) == 5
    assert len(await world.records("ledger.events")) == 1


async def test_a_database_that_stays_away_makes_the_process_leave_and_nothing_is_skipped(
    world: World,
) -> None:
    store = Hooked(world.store(), before=[OutageError("away")] * 100)
    await world.send(credit(5))

    async with world.process(Counters(), store=store, patience_s=0.2) as process:
        with pytest.raises(LeavingError, match="gave up"):
            await process.settle()
    async with world.process(Counters()) as fresh:
        await fresh.settle()

    assert await available(world) == 5


class Doubtful:
    """A publisher that fails once, before or after the log took the records."""

    def __init__(self, world: World, *, taken: bool) -> None:
        self._publisher = world.publisher()
        self._taken = taken
        self._failed = False

    async def publish(self, records: Any) -> None:
        if self._taken or self._failed:
            await self._publisher.publish(records)
        if not self._failed:
            self._failed = True
            raise LeavingError("a publish is in doubt")


@pytest.mark.parametrize("taken", [False, True], ids=["lost", "taken"])
async def test_a_publish_in_doubt_ends_the_process_and_redelivery_says_it(
    world: World,
    taken: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await world.send(credit(5))

    async with world.process(Counters(), publisher=Doubtful(world, taken=taken)) as process:
        with pytest.raises(LeavingError, match="in doubt"):
            await process.settle()
    async with world.process(Counters()) as fresh:
        await fresh.settle()

    assert await available(world) == 5
    assert len(await answers(world)) == 1
    assert len(await world.records("ledger.events")) == (2 if taken else 1)


async def test_a_message_that_cannot_be_read_is_parked_and_the_rest_is_decided(
    world: World,
) -> None:
    bad = Record("ledger.commands", ACCOUNT, b'{"type": 7', (("ce_type", credit().headers[0][1]),))
    await world.send(credit(5), bad, credit(7))

    async with world.process(Counters()) as process:
        await process.settle()

    (dead,) = await world.records("ledger.commands.dead")
    assert (dead.key, dead.value) == (bad.key, bad.value)
    assert dead.header("parked_reason")
    assert await available(world) == 12


async def test_an_order_of_a_version_that_nobody_here_knows_is_parked_and_not_lost(
    world: World,
) -> None:
    newer = Record(
        "ledger.commands", ACCOUNT, b'{"type":"x"}', (("ce_type", "ledger.hold_funds.v9"),)
    )
    await world.send(newer, credit(5))

    async with world.process(Counters()) as process:
        await process.settle()

    assert [r.value for r in await world.records("ledger.commands.dead")] == [newer.value]
    assert await available(world) == 5


@pytest.mark.parametrize("fault", ["assertion", "bug", "owes", "unsayable", "enormous"])
async def test_a_fault_is_parked_with_its_reason_and_the_rest_is_decided_without_it(
    world: World, fault: str
) -> None:
    bad = trouble(fault)
    await world.send(credit(5), bad, credit(7), credit(1, "budi.sandbox"))

    async with world.process(Counters()) as process:
        await process.settle()

    (dead,) = await world.records("ledger.commands.dead")
    assert dead.value == bad.value
    assert dead.header("parked_reason")
    assert await available(world) == 12
    assert await available(world, "budi.sandbox") == 1
    parked = [row for row in await world.documents("inbox") if row.get("parked")]
    assert [row["_id"] for row in parked] == [decode(bad.value).id]


async def test_a_parked_message_leaves_behind_what_its_service_says_of_it(world: World) -> None:
    await world.send(credit(5), trouble("assertion"))

    async with world.process(Counters()) as process:
        await process.settle()

    said = [decode(r.value).message for r in await world.records("ledger.events")]
    assert [type(one) for one in said] == [ledger.DepositCredited, ledger.AccountFrozen]


async def test_a_fault_in_each_message_of_a_batch_parks_each(world: World) -> None:
    bad = [trouble("assertion", f"a{n}.sandbox") for n in range(20)]
    await world.send(*bad, credit(5))

    async with world.process(Counters()) as process:
        await process.settle()

    dead = await world.records("ledger.commands.dead")
    assert {r.value for r in dead} == {r.value for r in bad}
    assert len(dead) == 20
    assert await available(world) == 5
