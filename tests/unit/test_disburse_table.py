"""The life of a disbursement, walked as a graph and row by row."""
# ruff: noqa: E501 - a row of the table is a line, or it is no table

from collections import deque
from datetime import timedelta
from typing import Any, get_args

import pytest

from contracts.disburse import v1 as disburse
from contracts.ledger import v1 as ledger
from contracts.message import Command, Message
from contracts.public import DISBURSEMENT_ENDS, DISBURSEMENT_STATUSES
from services._kit.life import Due, Say
from services.disburse.domain import ENDS, GUARDS, STATUSES, TABLE, decide
from services.disburse.handlers import DisburseHandlers
from services.disburse.life import Decision, Life, Transfer
from services.disburse.words import ASKS, SAYS
from tests.support.disburse_world import (
    LIFE,
    NOON,
    NOT_FOUND_AFTER_S,
    funds_held,
    hold_refused,
    life_in,
    order,
    received,
    terms,
    transfer_for,
)

# What each kind of message says by default: newest sending 2, newest ask 2, the life's own rail.
MESSAGES: dict[str, Message] = {
    "RequestDisbursement": disburse.RequestDisbursement(disbursement=LIFE, order=order()),
    "FundsHeld": funds_held(),
    "HoldRefused": hold_refused(),
    "InstructDisbursement": disburse.InstructDisbursement(disbursement=LIFE),
    "CancelDisbursement": disburse.CancelDisbursement(disbursement=LIFE),
    "TransferConfirmed": disburse.TransferConfirmed(
        disbursement=LIFE, sending=2, rail="bca", bank_reference="B1", trace_no="T1"
    ),
    "TransferRefused": disburse.TransferRefused(
        disbursement=LIFE, sending=2, rail="bca", code="REJECTED_BY_BANK"
    ),
    "older TransferRefused": disburse.TransferRefused(
        disbursement=LIFE, sending=1, rail="bca", code="REJECTED_BY_BANK"
    ),
    "TransferUnclear": disburse.TransferUnclear(
        disbursement=LIFE, sending=2, ask=2, rail="bca", reason="silence"
    ),
    "old TransferUnclear": disburse.TransferUnclear(
        disbursement=LIFE, sending=2, ask=1, rail="bca", reason="silence"
    ),
    "TransferReturned": disburse.TransferReturned(
        disbursement=LIFE, rail="bca", notice="N1", reason="account closed"
    ),
    "TransferReturned of another rail": disburse.TransferReturned(
        disbursement=LIFE, rail="bri", notice="N1"
    ),
    "ResolveTransfer confirmed": disburse.ResolveTransfer(
        disbursement=LIFE, outcome="confirmed", evidence="statement p. 3", by=("ANI", "BUDI")
    ),
    "ResolveTransfer refused": disburse.ResolveTransfer(
        disbursement=LIFE, outcome="refused", evidence="statement p. 3", by=("ANI", "BUDI")
    ),
}
LONG_AFTER = NOON + timedelta(seconds=NOT_FOUND_AFTER_S + 1)

# The architecture's table, written a second time and by hand: (becomes, said, asked).
# fmt: off
EXPECTED: dict[tuple[str | None, str], tuple[str, list[str], list[str]]] = {
    (None, "RequestDisbursement"):             ("holding",   ["DisbursementAccepted"],   ["HoldFunds"]),
    ("holding", "HoldRefused"):                ("failed",    ["DisbursementFailed"],     []),
    ("holding", "FundsHeld"):                  ("sending",   [],                         ["send"]),
    ("scheduled", "InstructDisbursement"):     ("sending",   ["DisbursementInstructed"], ["send"]),
    ("scheduled", "CancelDisbursement"):       ("cancelled", ["DisbursementCancelled"],  ["ReleaseHold"]),
    ("sending", "TransferConfirmed"):          ("succeeded", ["DisbursementSucceeded"],  ["SettleHold"]),
    ("sending", "TransferRefused"):            ("failed",    ["DisbursementFailed"],     ["ReleaseHold"]),
    ("sending", "older TransferRefused"):      ("unclear",   [],                         ["ask"]),
    ("sending", "TransferUnclear"):            ("unclear",   [],                         ["ask"]),
    ("sending", "old TransferUnclear"):        ("unclear",   [],                         ["ask"]),
    ("sending", "TransferReturned"):           ("reversed",  ["DisbursementReversed"],   ["SettleHold", "ReturnFunds"]),
    ("unclear", "TransferConfirmed"):          ("succeeded", ["DisbursementSucceeded"],  ["SettleHold"]),
    ("unclear", "TransferRefused"):            ("failed",    ["DisbursementFailed"],     ["ReleaseHold"]),
    ("unclear", "older TransferRefused"):      ("unclear",   [],                         ["ask"]),
    ("unclear", "TransferUnclear"):            ("unclear",   [],                         ["ask"]),
    ("unclear", "old TransferUnclear"):        ("unclear",   [],                         []),
    ("unclear", "TransferReturned"):           ("reversed",  ["DisbursementReversed"],   ["SettleHold", "ReturnFunds"]),
    ("unclear", "ResolveTransfer confirmed"):  ("succeeded", ["DisbursementSucceeded"],  ["SettleHold"]),
    ("unclear", "ResolveTransfer refused"):    ("failed",    ["DisbursementFailed"],     ["ReleaseHold"]),
    ("succeeded", "TransferReturned"):         ("reversed",  ["DisbursementReversed"],   ["ReturnFunds"]),
    ("succeeded", "TransferConfirmed"):        ("succeeded", [],                         []),
    ("succeeded", "TransferUnclear"):          ("succeeded", [],                         []),
    ("succeeded", "old TransferUnclear"):      ("succeeded", [],                         []),
    ("succeeded", "older TransferRefused"):    ("succeeded", [],                         []),
    ("succeeded", "TransferRefused"):          ("succeeded", ["TransferContradicted"],   []),
    ("reversed", "TransferReturned"):          ("reversed",  [],                         []),
    ("reversed", "TransferReturned of another rail"): ("reversed", [],                   []),
    ("reversed", "TransferConfirmed"):         ("reversed",  [],                         []),
    ("reversed", "TransferUnclear"):           ("reversed",  [],                         []),
    ("reversed", "old TransferUnclear"):       ("reversed",  [],                         []),
    ("reversed", "older TransferRefused"):     ("reversed",  [],                         []),
    ("reversed", "TransferRefused"):           ("reversed",  ["TransferContradicted"],   []),
    ("failed", "TransferRefused"):             ("failed",    [],                         []),
    ("failed", "older TransferRefused"):       ("failed",    [],                         []),
    ("failed", "TransferUnclear"):             ("failed",    [],                         []),
    ("failed", "old TransferUnclear"):         ("failed",    [],                         []),
    ("failed", "TransferConfirmed"):           ("failed",    ["TransferContradicted"],   []),
    ("failed", "TransferReturned"):            ("failed",    ["TransferContradicted"],   []),
    ("failed", "TransferReturned of another rail"): ("failed", ["TransferContradicted"], []),
    **{(one, "RequestDisbursement"):           (one, [], []) for one in STATUSES},
    **{(one, "InstructDisbursement"):          (one, [], []) for one in STATUSES if one != "scheduled"},
}
# fmt: on
EVERY_PAIR = [(status, name) for status in (None, *STATUSES) for name in MESSAGES]


def decided(
    status: str | None, name: str, *, now: Any = LONG_AFTER, **changes: Any
) -> tuple[Life | None, Transfer | None, Decision]:
    life = None if status is None else life_in(status)
    transfer = None if status is None else transfer_for(status)
    message = received(MESSAGES[name].altered(**changes))
    return life, transfer, decide(life, transfer, message, now, terms())


def said(decision: Decision) -> tuple[list[str], list[str]]:
    """Events, and what is asked: ledger commands and kinds of errands."""
    events = [a for a in decision.answers if isinstance(a, Say) and a.message.type[:4] == "disb"]
    asked = [
        type(a.message).__name__ if isinstance(a, Say) else a.kind
        for a in decision.answers
        if a not in events
    ]
    return [type(a.message).__name__ for a in events], asked


def messages(decision: Decision) -> list[Any]:
    return [one.message for one in decision.answers if isinstance(one, Say)]


@pytest.mark.parametrize(("status", "name"), EXPECTED)
def test_each_row_leads_where_the_architecture_says(status: str | None, name: str) -> None:
    life, _, decision = decided(status, name)

    becomes, events, asked = EXPECTED[status, name]
    assert decision.life is not None
    assert decision.life.status == becomes
    assert said(decision) == (events, asked)
    if becomes != status:
        assert decision.life.sequence == (life.sequence if life else 0) + 1


@pytest.mark.parametrize(("status", "name"), sorted(set(EVERY_PAIR) - set(EXPECTED), key=str))
def test_a_pair_without_a_row_changes_nothing(status: str | None, name: str) -> None:
    if not isinstance(MESSAGES[name], Command):
        with pytest.raises(AssertionError, match="no row"):
            decided(status, name)
        return

    life, transfer, decision = decided(status, name)

    assert decision.life is life
    assert decision.transfer is transfer
    (refused,) = decision.answers
    assert isinstance(refused, Say)
    assert isinstance(refused.message, disburse.CommandRefused)
    assert refused.message.command == received(MESSAGES[name]).id
    assert refused.message.command_type == MESSAGES[name].type
    assert refused.sequence is None


def test_what_the_tests_walk_is_all_that_the_service_hears_about_lives() -> None:
    heard = {model.__name__ for model in DisburseHandlers(terms()).hears()}

    walked = {type(message).__name__ for message in MESSAGES.values()}

    assert heard - walked == {"InquireAccount", "ConcludeInquiry", "FailInquiry"}


def test_the_table_speaks_of_known_statuses_words_and_guards_only() -> None:
    assert TABLE.statuses() == set(STATUSES) == set(get_args(disburse.Status))
    assert {name for row in TABLE.rows for name in row.say} == set(SAYS)
    assert {name for row in TABLE.rows for name in row.ask} == set(ASKS)
    assert {row.when for row in TABLE.rows if row.when} == set(GUARDS)
    assert set(DISBURSEMENT_STATUSES) == set(STATUSES)
    assert ENDS == DISBURSEMENT_ENDS


def graph() -> dict[str | None, set[str]]:
    edges: dict[str | None, set[str]] = {status: set() for status in (None, *STATUSES)}
    for row in TABLE.rows:
        if row.becomes is not None and row.becomes != row.while_:
            edges[row.while_].add(row.becomes)
    return edges


def reached(start: str | None) -> set[str]:
    edges, seen, queue = graph(), set[str](), deque([start])
    while queue:
        fresh = edges[queue.popleft()] - seen
        seen |= fresh
        queue.extend(fresh)
    return seen


def test_every_status_is_reached_and_every_life_can_end() -> None:
    assert reached(None) == set(STATUSES)
    assert all(reached(status) & ENDS for status in set(STATUSES) - ENDS)


def test_an_end_is_left_for_reversed_alone() -> None:
    edges = graph()

    assert {status: edges[status] for status in ENDS} == {
        "succeeded": {"reversed"}, "failed": set(), "cancelled": set(), "reversed": set(),
    }  # fmt: skip


def test_nothing_waits_for_ever() -> None:
    """Whoever enters a status that is no end has asked for what leads out of it."""
    for row in TABLE.rows:
        if row.becomes is not None and row.becomes not in ENDS:
            assert row.ask, f"{row.while_} {row.arrives.__name__}: nobody is asked"


@pytest.mark.parametrize("row", [row for row in TABLE.rows if row.becomes in ENDS], ids=str)
def test_each_end_leaves_the_money_where_it_says(row: Any) -> None:
    """By the ledger's table: what became of the hold that is open since ``FundsHeld``."""
    if row.arrives is ledger.HoldRefused:
        assert row.ask == ()  # there is no hold
        return

    settled = {"succeeded": {"SettleHold"}, "reversed": {"SettleHold", "ReturnFunds"}}
    wanted = settled.get(row.becomes, {"ReleaseHold"})

    done = {"SettleHold"} if row.while_ == "succeeded" else set()
    assert done | set(row.ask) == wanted


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
