"""Workers that stall, crash and overtake each other send nothing twice: in memory."""

from typing import Any

import pytest

from contracts.disburse import v1 as disburse
from services._kit.life import Changes
from services.disburse.life import Transfer
from services.disburse.rails import (
    NotFound,
    Refused,
    Unclear,
)
from services.disburse.store import TRANSFERS, transfer_document
from tests.support.disburse_world import (
    LEASE_S,
    LIFE,
    NOON,
    NOT_FOUND_AFTER_S,
    PAID,
    FakeRail,
    World,
)

SILENT = Unclear("no answer within 1 s")
NOT_FOUND = NotFound("4043601")
NO = Refused("REJECTED_BY_BANK", "Do Not Honor", "4031805")


async def test_a_worker_that_crashes_after_noting_is_followed_by_one_that_asks() -> None:
    world = World(FakeRail(sends=[RuntimeError("killed")], asks=[PAID]))
    await world.requested()

    await world.work()
    await world.live(LEASE_S + 5)

    assert world.status == "succeeded"
    assert len(world.rail.called) == 1
    assert len(world.rail.asked) == 1


async def test_a_worker_that_stalls_past_its_lease_before_noting_calls_nobody() -> None:
    world = World()
    await world.requested()
    world.rail.while_signing = lambda: world.clock.pass_s(LEASE_S + 1)

    await world.worker.once()

    assert world.rail.called == []
    assert world.transfer.sending == 0
    world.rail.while_signing = lambda: None
    await world.live(10)
    assert world.status == "succeeded"
    assert len(world.rail.called) == 1


@pytest.mark.parametrize("meanwhile", [{"closed": NOON}, {"sending": 1, "sent_at": NOON}])
async def test_a_worker_that_could_not_note_its_sending_calls_nobody(
    meanwhile: dict[str, Any],
) -> None:
    world = World()
    await world.requested()
    row = world.store.collections[TRANSFERS][LIFE]
    world.rail.while_signing = lambda: row.update(meanwhile)

    await world.live(10)

    assert world.rail.called == []
    assert len(world.rail.asked) == ("sending" in meanwhile)


async def test_refusals_of_two_sendings_by_one_errand_are_two_messages() -> None:
    world = World(FakeRail(asks=[NO]))
    await world.requested()
    (row,) = world.errands.rows.values()
    errand = row.errand
    transfer = world.store.collections[TRANSFERS][LIFE]

    for sending in (1, 2):
        transfer.update(sending=sending, sent_at=NOON)
        world.errands.rows.clear()
        world.errands.insert([errand])
        await world.worker.once()

    assert len({one.id for one in world.said("disburse.commands")}) == 2


async def test_a_worker_that_stalls_between_noting_and_calling_calls_nobody() -> None:
    world = World(FakeRail(asks=[NOT_FOUND]))
    await world.requested()
    note = world.notes.note_sending

    async def stalled(*seen: Any, **how: Any) -> Any:
        noted = await note(*seen, **how)
        world.clock.pass_s(LEASE_S + 1)
        return noted

    world.notes.note_sending = stalled  # type: ignore[method-assign]
    await world.work()

    assert world.rail.called == []
    assert world.transfer.sending == 1
    await world.live(NOT_FOUND_AFTER_S + 100)
    assert world.life.failure == disburse.Failure(code="BANK_UNAVAILABLE")


async def test_two_workers_on_one_errand_note_one_sending() -> None:
    world = World()
    await world.requested()
    other = world.new_worker()
    (row,) = world.errands.rows.values()
    (first,) = await world.errands.lease(row.errand.lane, 1, 1, LEASE_S)
    world.clock.pass_s(LEASE_S + 1)
    seen = await world.notes.transfer(LIFE)
    assert seen is not None

    await other.once()
    late = await world.notes.note_sending(seen, world.clock(), resend=False)

    assert late is None
    assert await world.errands.still_mine(first) is False
    assert len(world.rail.called) == 1


async def test_a_closed_transfer_is_never_sent_from() -> None:
    world = World(FakeRail(sends=[SILENT], asks=[NOT_FOUND], dedupes_reference=True))
    await world.requested()
    await world.work()
    seen = world.transfer
    refused = disburse.TransferRefused(disbursement=LIFE, sending=1, code="REJECTED_BY_BANK")
    await world.hear(refused)

    noted = await world.notes.note_sending(seen, world.clock(), resend=True)
    await world.live(30)

    assert noted is None
    assert world.status == "failed"
    assert len(world.rail.called) == 1
    assert world.errands.rows == {}


async def test_a_refusal_of_an_older_sending_is_unclear_and_the_newer_one_counts() -> None:
    rail = FakeRail(sends=[SILENT, SILENT], asks=[NOT_FOUND, PAID], dedupes_reference=True)
    world = World(rail)
    await world.requested()
    await world.live(10)
    assert world.transfer.sending == 2

    stalled = disburse.TransferRefused(disbursement=LIFE, sending=1, code="REJECTED_BY_BANK")
    await world.hear(stalled)

    assert world.status == "unclear"
    await world.live(60)
    assert world.status == "succeeded"
    assert "ReleaseHold" not in world.names("ledger.commands")


async def test_a_handler_that_read_the_transfer_before_a_note_reads_it_again() -> None:
    """The note counts the version, so closing with an old one undoes the whole batch."""
    world = World(FakeRail(sends=[SILENT], dedupes_reference=True))
    await world.requested()
    await world.work()
    seen = world.transfer
    reading = world.store.get
    noted: list[Transfer | None] = []

    async def note_in_between(collection: str, ids: Any) -> Any:
        found = await reading(collection, ids)
        if collection == TRANSFERS and not noted:
            noted.append(await world.notes.note_sending(seen, world.clock(), resend=True))
        return found

    world.store.get = note_in_between  # type: ignore[method-assign]
    refused = disburse.TransferRefused(disbursement=LIFE, sending=1, code="REJECTED_BY_BANK")
    await world.hear(refused)

    assert noted[0] is not None
    assert world.transfer.closed is None
    assert world.status == "unclear"
    assert "ReleaseHold" not in world.names("ledger.commands")


async def test_a_note_never_opens_what_a_handler_has_closed_meanwhile() -> None:
    world = World(FakeRail(sends=[SILENT]))
    await world.requested()
    await world.work()
    seen = world.transfer
    changes = Changes()
    changes.put(TRANSFERS, [transfer_document(seen) | {"closed": NOON}])
    await world.store.commit(changes, [], [], [])

    assert await world.notes.note_sending(seen, world.clock(), resend=False) is None


async def test_a_second_worker_that_concludes_the_same_says_the_same() -> None:
    """A worker that died after publishing and before deleting its row."""
    world = World(FakeRail(sends=[PAID], asks=[PAID]))
    await world.requested()
    (row,) = world.errands.rows.values()
    errand = row.errand
    await world.worker.once()
    world.errands.insert([errand])

    await world.worker.once()
    await world.own_commands()

    first, second = world.said("disburse.commands")
    assert first.id == second.id
    assert len({one.id for one in world.said("ledger.commands")}) == 2
