"""How money is sent, and asked about, and when it is sent again: in memory."""

from datetime import timedelta

from contracts.disburse import v1 as disburse
from services.disburse.rails import (
    NotFound,
    Refused,
    Returned,
    Unclear,
)
from tests.support.disburse_world import (
    ACCOUNT,
    LIFE,
    NOON,
    NOT_FOUND_AFTER_S,
    PAID,
    FakeRail,
    World,
    wallet,
)

SILENT = Unclear("no answer within 1 s")
NOT_FOUND = NotFound("4043601")
NO = Refused("REJECTED_BY_BANK", "Do Not Honor", "4031805")


async def test_a_confirmed_transfer_succeeds_and_settles_its_hold() -> None:
    world = World()
    await world.requested()

    await world.work()

    assert world.status == "succeeded"
    assert world.names("ledger.commands") == ["HoldFunds", "SettleHold"]
    settle = world.said("ledger.commands")[1]
    assert (settle.key, settle.message.hold, settle.message.rail) == (ACCOUNT, LIFE, "bca")
    assert world.life.bank_reference == "BANK-1"
    assert world.transfer.sending == 1
    assert world.transfer.closed == NOON
    assert world.errands.rows == {}


async def test_the_bank_gets_the_opened_account_and_the_public_id_as_reference() -> None:
    world = World()
    await world.requested()

    await world.work()

    (order,) = world.rail.called
    assert order.reference == LIFE
    assert order.amount == 1_500_000
    assert order.destination.account_number == "0123456789"
    assert order.sent_at == world.transfer.sent_at == NOON


async def test_a_wallet_is_paid_through_its_virtual_account() -> None:
    world = World()
    await world.requested(destination=wallet())

    await world.work()

    (order,) = world.rail.called
    assert order.destination.account_number == "70001081234567890"
    assert order.destination.bank_bic == "CENAIDJA"


async def test_what_no_rail_serves_fails_without_a_call() -> None:
    world = World(choose=lambda _environment, _destination: None)
    await world.requested()

    await world.work()

    assert world.status == "failed"
    assert world.life.failure == disburse.Failure(code="CHANNEL_NOT_SUPPORTED")
    assert world.names("ledger.commands") == ["HoldFunds", "ReleaseHold"]
    assert world.rail.called == []


async def test_a_refused_transfer_fails_and_releases_its_hold() -> None:
    world = World(FakeRail(sends=[NO]))
    await world.requested()

    await world.work()

    assert world.life.failure == disburse.Failure(code="REJECTED_BY_BANK")
    release = world.said("ledger.commands")[1].message
    assert (release.hold, release.reason) == (LIFE, "REJECTED_BY_BANK")
    assert world.transfer.closed is not None


async def test_silence_is_asked_about_and_never_sent_again() -> None:
    world = World(FakeRail(sends=[SILENT], asks=[SILENT, SILENT, PAID]))
    await world.requested()

    await world.live(130)

    assert world.status == "succeeded"
    assert len(world.rail.called) == 1
    assert len(world.rail.asked) == 3
    assert {order.sent_at for order in world.rail.asked} == {NOON}


async def test_not_found_too_early_proves_nothing() -> None:
    world = World(FakeRail(sends=[SILENT], asks=[NOT_FOUND]))
    await world.requested()

    await world.live(NOT_FOUND_AFTER_S - 10)

    assert world.status == "unclear"
    assert len(world.rail.called) == 1
    assert "ReleaseHold" not in world.names("ledger.commands")


async def test_not_found_after_the_last_token_has_died_fails_the_life() -> None:
    world = World(FakeRail(sends=[SILENT], asks=[NOT_FOUND]))
    await world.requested()

    await world.live(NOT_FOUND_AFTER_S + 20)

    assert world.life.failure == disburse.Failure(code="BANK_UNAVAILABLE")
    assert world.said("disburse.commands")[-1].message.sending == 1
    assert len(world.rail.called) == 1


async def test_a_bank_that_stays_unclear_is_asked_every_hour_for_ever_and_the_hold_stays() -> None:
    world = World(FakeRail(sends=[SILENT], asks=[SILENT]))
    await world.requested()

    await world.live(2 * 86_400, step_s=300)

    assert world.status == "unclear"
    assert world.names("ledger.commands") == ["HoldFunds"]
    assert 50 <= len(world.rail.asked) <= 56


async def test_a_status_of_returned_reverses_what_was_unclear() -> None:
    answer = Returned("BANK-1", NOON, "account closed")
    world = World(FakeRail(sends=[SILENT], asks=[answer]))
    await world.requested()

    await world.live(10)

    assert world.status == "reversed"
    assert world.names("ledger.commands") == ["HoldFunds", "SettleHold", "ReturnFunds"]


async def test_a_rail_that_dedupes_sends_again_at_once_under_the_same_reference() -> None:
    rail = FakeRail(sends=[SILENT, PAID], asks=[NOT_FOUND], dedupes_reference=True)
    world = World(rail)
    await world.requested()

    await world.live(10)

    assert world.status == "succeeded"
    assert [order.reference for order in rail.called] == [LIFE, LIFE]
    assert world.transfer.sending == 2


async def test_a_rail_that_dedupes_sends_again_at_most_twice() -> None:
    rail = FakeRail(sends=[SILENT], asks=[NOT_FOUND], dedupes_reference=True)
    world = World(rail)
    await world.requested()

    await world.live(NOT_FOUND_AFTER_S + 200)

    assert len(rail.called) == 3
    assert world.transfer.resends == 2
    assert world.life.failure == disburse.Failure(code="BANK_UNAVAILABLE")


async def test_a_rail_that_dedupes_sends_nothing_again_after_send_before() -> None:
    rail = FakeRail(sends=[SILENT], asks=[NOT_FOUND], dedupes_reference=True)
    world = World(rail)
    await world.requested(send_before=NOON + timedelta(seconds=5))

    await world.live(60)

    assert len(rail.called) == 1
    assert world.status == "unclear"


async def test_not_found_counts_from_the_newest_sending() -> None:
    rail = FakeRail(sends=[SILENT], asks=[SILENT, SILENT, SILENT, NOT_FOUND])
    rail.dedupes_reference = True
    world = World(rail)
    await world.requested()

    await world.live(NOT_FOUND_AFTER_S + 10)

    resent_at = world.transfer.sent_at
    assert resent_at is not None
    assert resent_at > NOON
    assert world.status == "unclear"  # not yet long enough after the second sending
