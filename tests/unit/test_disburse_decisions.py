"""What single decisions about a disbursement say and remember."""

from datetime import timedelta

import pytest

from contracts.disburse import v1 as disburse
from services._kit.life import Due, Say
from services.disburse.domain import TABLE, decide
from services.disburse.life import Transfer
from tests.support.disburse_cases import LONG_AFTER, MESSAGES, decided, messages, said
from tests.support.disburse_world import (
    LIFE,
    NOON,
    NOT_FOUND_AFTER_S,
    funds_held,
    life_in,
    order,
    received,
    terms,
    transfer_for,
)


def test_a_later_instruct_at_schedules_and_an_alarm_clock_is_set() -> None:
    at = NOON + timedelta(hours=2)
    life = life_in("holding", order=order(instruct_at=at))

    decision = decide(life, None, received(funds_held()), NOON, terms())

    assert decision.life is not None
    assert decision.life.status == "scheduled"
    events, _ = said(decision)
    assert events == ["DisbursementScheduled"]
    (due,) = [answer for answer in decision.answers if isinstance(answer, Due)]
    assert (due.kind, due.due_at) == ("say", at)
    assert due.data["type"] == disburse.InstructDisbursement.type
    assert decision.transfer is None


def test_an_instruct_at_that_has_passed_is_sent_at_once() -> None:
    life = life_in("holding", order=order(instruct_at=NOON))

    decision = decide(life, None, received(funds_held()), NOON, terms())

    assert decision.life is not None
    assert decision.life.status == "sending"


def test_two_persons_cannot_refuse_what_the_bank_could_still_accept() -> None:
    early = NOON + timedelta(seconds=NOT_FOUND_AFTER_S)

    life, _, decision = decided("unclear", "ResolveTransfer refused", now=early)

    assert decision.life is life
    (refused,) = decision.answers
    assert isinstance(refused, Say)
    assert refused.message.altered(detail="") == disburse.CommandRefused(
        disbursement=LIFE,
        command=received(MESSAGES["ResolveTransfer refused"]).id,
        command_type=disburse.ResolveTransfer.type,
        reason="TOO_EARLY",
    )


def test_a_resolved_life_keeps_the_evidence_and_both_names() -> None:
    _, _, decision = decided("unclear", "ResolveTransfer confirmed", rail="bri")

    assert decision.life is not None
    assert decision.life.resolution == {
        "outcome": "confirmed", "evidence": "statement p. 3", "by": ["ANI", "BUDI"],
        "at": LONG_AFTER,
    }  # fmt: skip
    assert decision.life.rail == "bri"


@pytest.mark.parametrize("name", ["TransferConfirmed", "TransferRefused", "TransferReturned"])
@pytest.mark.parametrize("status", ["sending", "unclear"])
def test_whatever_ends_a_life_closes_its_transfer(status: str, name: str) -> None:
    _, _, decision = decided(status, name)

    assert decision.transfer is not None
    assert decision.transfer.closed == LONG_AFTER


@pytest.mark.parametrize("name", ["TransferUnclear", "older TransferRefused"])
def test_what_stays_unclear_leaves_its_transfer_open(name: str) -> None:
    _, transfer, decision = decided("unclear", name)

    assert decision.transfer is transfer
    assert decision.life is not None
    assert decision.life.ask == 3


def test_a_refusal_of_a_send_that_never_was_fails_what_was_never_sent() -> None:
    message = MESSAGES["TransferRefused"].altered(sending=0, code="CHANNEL_NOT_SUPPORTED")

    decision = decide(life_in("sending"), Transfer(LIFE), received(message), NOON, terms())

    assert decision.life is not None
    assert decision.life.failure == disburse.Failure(code="CHANNEL_NOT_SUPPORTED")


def test_a_bank_return_keeps_the_fee_and_tells_the_reason() -> None:
    _, _, decision = decided("succeeded", "TransferReturned")

    event, command = messages(decision)
    assert event.failure == disburse.Failure(code="RETURNED_BY_BANK", message="account closed")
    assert command.return_fee is False
    assert command.rail == "bca"


def test_a_return_from_another_rail_is_refused_and_a_person_is_paged() -> None:
    _, _, decision = decided("succeeded", "TransferReturned of another rail")

    (refused,) = messages(decision)
    assert refused.reason == "OTHER_RAIL"
    assert decision.pages


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("succeeded", "TransferRefused"),
        ("reversed", "TransferRefused"),
        ("failed", "TransferConfirmed"),
        ("failed", "TransferReturned"),
    ],
)
def test_a_bank_that_contradicts_itself_pages_a_person(status: str, name: str) -> None:
    _, _, decision = decided(status, name)

    (contradicted,) = messages(decision)
    assert contradicted.status == status
    assert contradicted.said == name
    assert [one.sequence for one in decision.answers if isinstance(one, Say)] == [None]
    assert decision.pages


def test_a_cancel_that_comes_too_late_is_refused_under_its_own_name() -> None:
    _, _, decision = decided("sending", "CancelDisbursement")

    (refused,) = messages(decision)
    assert refused.reason == "NOT_CANCELLABLE"
    assert "status" not in type(refused).model_fields


@pytest.mark.parametrize(
    ("waited_s", "asked_after_s"),
    [(0, 5), (5, 30), (30, 120), (120, 600), (600, 1201), (1201, 3600), (3600, 7200)],
)
def test_the_bank_is_asked_on_a_schedule_that_ends_in_every_hour(
    waited_s: int, asked_after_s: int
) -> None:
    now = NOON + timedelta(seconds=waited_s)
    status = "sending" if waited_s == 0 else "unclear"

    _, _, decision = decided(status, "TransferUnclear", now=now)

    (due,) = decision.answers
    assert isinstance(due, Due)
    assert due.lane == "bank:bca"
    assert due.due_at == NOON + timedelta(seconds=asked_after_s)
    assert due.data["ask"] == (1 if status == "sending" else 3)
    assert decision.pages == ()


def test_after_a_day_a_person_is_paged_and_the_bank_is_asked_on() -> None:
    now = NOON + timedelta(days=1)

    _, _, decision = decided("unclear", "TransferUnclear", now=now)

    (due,) = decision.answers
    assert isinstance(due, Due)
    assert due.due_at == now + timedelta(hours=1)
    assert decision.pages == ("unclear for 24 h",)


def test_a_long_history_forgets_its_middle() -> None:
    life, transfer = life_in("unclear"), transfer_for("unclear")

    for ask in range(2, 200):
        message = received(MESSAGES["TransferUnclear"].altered(ask=ask), name=str(ask))
        after = decide(life, transfer, message, NOON, terms()).life
        assert after is not None
        life = after

    assert life.ask == 200
    assert len(life.history) == 50


def test_an_event_is_the_whole_picture_and_counts_its_life() -> None:
    life, _, decision = decided("sending", "TransferConfirmed", transferred_at=NOON)

    assert life is not None
    event = decision.answers[0]
    assert isinstance(event, Say)
    assert event.sequence == 4
    assert event.message == disburse.DisbursementSucceeded(
        disbursement=LIFE, order=life.order, status="succeeded", rail="bca",
        bank_reference="B1", trace_no="T1", transferred_at=NOON,
        created_at=NOON, updated_at=LONG_AFTER,
    )  # fmt: skip


def test_three_statuses_are_never_left() -> None:
    assert TABLE.terminal() == {"failed", "cancelled", "reversed"}
