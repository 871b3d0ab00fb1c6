"""How money is sent, and how it is never sent twice: workers and handlers together, in memory."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.disburse import v1 as disburse
from services._kit.life import Changes
from services.disburse.life import Transfer
from services.disburse.rails import (
    Confirmed,
    InquiryRefused,
    InquiryUnclear,
    Named,
    NotFound,
    Refused,
    Returned,
    TokenExpired,
    Unclear,
)
from services.disburse.store import TRANSFERS, transfer_document
from tests.support.disburse_world import (
    ACCOUNT,
    LEASE_S,
    LIFE,
    NO_TOKEN,
    NOON,
    NOT_FOUND_AFTER_S,
    PAID,
    FakeRail,
    World,
    funds_held,
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


# --- where "not found" may be sent again --------------------------------------------------------


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


# --- before the first call ----------------------------------------------------------------------


async def test_what_was_not_sent_before_its_time_fails_instead_of_being_paid_late() -> None:
    world = World()
    await world.requested()
    world.clock.pass_s(3600)

    await world.work()

    assert world.life.failure == disburse.Failure(code="BANK_UNAVAILABLE")
    assert world.said("disburse.commands")[-1].message.sending == 0
    assert world.rail.called == []


async def test_a_bank_without_a_token_is_waited_for_until_send_before() -> None:
    world = World(FakeRail(signs=[NO_TOKEN]))
    await world.requested()

    await world.live(3500, step_s=60)
    status = world.status
    await world.live(200, step_s=60)

    assert status == "sending"
    assert world.transfer.sending == 0
    assert world.life.failure == disburse.Failure(code="BANK_UNAVAILABLE")


async def test_a_bank_that_gets_its_tokens_back_is_sent_to() -> None:
    world = World(FakeRail(signs=[NO_TOKEN, NO_TOKEN, None]))
    await world.requested()

    await world.live(60)

    assert world.status == "succeeded"
    assert len(world.rail.called) == 1


async def test_an_expired_token_is_a_new_sending() -> None:
    world = World(FakeRail(sends=[TokenExpired("4011801"), PAID]))
    await world.requested()

    await world.work()

    assert world.status == "succeeded"
    assert world.transfer.sending == 2
    assert world.transfer.resends == 0


async def test_a_bank_that_refuses_every_token_has_definitely_not_paid() -> None:
    world = World(FakeRail(sends=[TokenExpired("4011801")]))
    await world.requested()

    await world.work()

    assert world.life.failure == disburse.Failure(code="BANK_UNAVAILABLE")
    assert len(world.rail.called) == 2


async def test_refused_tokens_say_nothing_about_an_earlier_silence() -> None:
    rail = FakeRail(sends=[SILENT, TokenExpired()], asks=[NOT_FOUND], dedupes_reference=True)
    world = World(rail)
    await world.requested()

    await world.live(10)

    assert world.status == "unclear"


@pytest.mark.parametrize(
    ("found", "status", "code"),
    [
        (Named("Ani"), "succeeded", None),
        (Named("BUDI"), "failed", "ACCOUNT_NAME_MISMATCH"),
        (Named("ANI WIDYASTUTI"), "failed", "ACCOUNT_NAME_MISMATCH"),
        (InquiryRefused("INVALID_DESTINATION", "", ""), "failed", "INVALID_DESTINATION"),
    ],
)
async def test_a_strict_name_check_comes_before_the_first_send(
    found: Any, status: str, code: str | None
) -> None:
    world = World(FakeRail(inquiries=[found]))
    await world.requested(name_check="strict")

    await world.work()

    assert world.status == status
    assert (world.life.failure.code if world.life.failure else None) == code
    assert len(world.rail.called) == (status == "succeeded")


async def test_a_name_that_nobody_tells_is_asked_for_again_before_anything_is_sent() -> None:
    world = World(FakeRail(inquiries=[InquiryUnclear("silence"), Named("ANI")]))
    await world.requested(name_check="strict")

    await world.work()
    called_after_silence = list(world.rail.called)
    await world.live(20)

    assert called_after_silence == []
    assert len(world.rail.inquired) == 2
    assert world.status == "succeeded"


# --- workers that stall, crash and overtake each other ------------------------------------------


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


# --- messages that overtake each other ----------------------------------------------------------


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
