"""The life of a disbursement, walked as a graph and row by row."""
# ruff: noqa: E501 - a row of the table is a line, or it is no table

from collections import deque
from typing import Any, get_args

import pytest

from contracts.disburse import v1 as disburse
from contracts.ledger import v1 as ledger
from contracts.message import Command
from contracts.public import DISBURSEMENT_ENDS, DISBURSEMENT_STATUSES
from services._kit.life import Say
from services.disburse.domain import ENDS, GUARDS, STATUSES, TABLE
from services.disburse.handlers import DisburseHandlers
from services.disburse.words import ASKS, SAYS
from tests.support.disburse_cases import MESSAGES, decided, said
from tests.support.disburse_world import (
    received,
    terms,
)

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
