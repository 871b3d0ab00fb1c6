"""Messages that overtake each other, come twice, or wait for their time: in memory."""

from datetime import timedelta

from contracts.disburse import v1 as disburse
from services.disburse.rails import (
    Confirmed,
    NotFound,
    Unclear,
)
from tests.support.disburse_world import (
    LIFE,
    NOON,
    PAID,
    FakeRail,
    World,
    funds_held,
)

SILENT = Unclear("no answer within 1 s")
NOT_FOUND = NotFound("4043601")


async def test_a_return_before_its_confirmation_settles_and_returns() -> None:
    world = World(FakeRail(sends=[SILENT]))
    await world.requested()
    await world.work()

    returned = disburse.TransferReturned(disbursement=LIFE, rail="bca", notice="N1")
    confirmed = disburse.TransferConfirmed(disbursement=LIFE, sending=1, rail="bca")
    await world.hear(returned)
    await world.hear(confirmed)
    await world.hear(returned, name="2")

    assert world.status == "reversed"
    assert world.names("ledger.commands") == ["HoldFunds", "SettleHold", "ReturnFunds"]
    assert world.said("ledger.commands")[2].message.return_fee is False


async def test_a_confirmation_and_its_return_in_one_batch_are_two_changes() -> None:
    world = World(FakeRail(sends=[SILENT]))
    await world.requested()
    await world.work()
    before = world.life

    await world.hear(
        disburse.TransferConfirmed(disbursement=LIFE, sending=1, rail="bca"),
        disburse.TransferReturned(disbursement=LIFE, rail="bca", notice="N1"),
    )

    assert world.status == "reversed"
    assert world.life.sequence == before.sequence + 2
    assert world.life.version == before.version + 1
    numbers = [one.sequence for one in world.said("disburse.events") if one.sequence]
    assert numbers == sorted(set(numbers))


async def test_a_message_that_comes_twice_is_answered_once() -> None:
    world = World(FakeRail(sends=[SILENT]))
    await world.requested()
    await world.work()

    confirmed = disburse.TransferConfirmed(disbursement=LIFE, sending=1, rail="bca")
    await world.hear(confirmed)
    await world.hear(confirmed)

    ids = {one.id for one in world.said("disburse.events")}
    assert len(ids) == 2  # accepted, succeeded
    assert world.life.sequence == 4


async def test_funds_held_for_nobody_are_parked_for_a_person() -> None:
    world = World()

    await world.hear(funds_held("disb_unknown"))

    assert len(world.log.all("ledger.events.dead")) == 1


async def test_a_scheduled_life_is_instructed_by_the_clock_and_then_sent() -> None:
    world = World()
    await world.requested(instruct_at=NOON + timedelta(minutes=10))
    await world.live(590)
    before = world.status

    await world.live(30)

    assert before == "scheduled"
    assert world.status == "succeeded"
    assert world.names("disburse.events") == [
        "DisbursementAccepted",
        "DisbursementScheduled",
        "DisbursementInstructed",
        "DisbursementSucceeded",
    ]


async def test_a_cancelled_life_is_not_sent_when_its_time_comes() -> None:
    world = World()
    await world.requested(instruct_at=NOON + timedelta(minutes=10))

    await world.hear(disburse.CancelDisbursement(disbursement=LIFE))
    await world.live(700)

    assert world.status == "cancelled"
    assert world.names("ledger.commands") == ["HoldFunds", "ReleaseHold"]
    assert world.said("ledger.commands")[1].message.reason == "CANCELLED"
    assert world.rail.called == []
    assert "CommandRefused" not in world.names("disburse.events")


async def test_an_answer_without_a_time_counts_from_the_sending() -> None:
    world = World(FakeRail(sends=[SILENT], asks=[Confirmed("B", None, None)]))
    await world.requested()

    await world.live(10)

    assert world.life.transferred_at == NOON


async def test_an_account_number_is_in_clear_nowhere_but_at_the_bank() -> None:
    world = World(FakeRail(sends=[SILENT, PAID], asks=[NOT_FOUND], dedupes_reference=True))
    await world.requested()

    await world.live(20)

    topics = ("disburse.commands", "disburse.events", "ledger.commands")
    records = b"".join(record.value for topic in topics for record in world.log.all(topic))
    assert b"0123456789" not in records
    assert "0123456789" not in repr(world.store.collections)
    assert "0123456789" not in repr(world.errands.rows)
