"""The hold table, walked as a graph: each pair of what a hold is and what arrives."""

from typing import Any, NamedTuple

import pytest

from contracts.ledger.v1 import (
    FundsReturned,
    HoldRefused,
    HoldSettled,
    ReleaseHold,
    ReturnFunds,
    SettleHold,
)
from contracts.message import Message
from services.ledger.domain import HOLDS
from tests.support.ledger_desk import ACCOUNT, Desk, hold_funds, words

DEPOSIT = 100_000
HOLD = hold_funds()
SETTLE = SettleHold(account=ACCOUNT, hold="h1", rail="bca")
RELEASE = ReleaseHold(account=ACCOUNT, hold="h1", reason="REJECTED_BY_BANK")
RETURN = ReturnFunds(
    account=ACCOUNT, hold="h1", rail="bca", return_fee=False, reason="RETURNED_BY_BANK"
)
COMMANDS: dict[str, Message] = {
    "HoldFunds": HOLD,
    "SettleHold": SETTLE,
    "ReleaseHold": RELEASE,
    "ReturnFunds": RETURN,
}
# How a hold comes to be what it is.
PATHS: dict[str | None, tuple[Message, ...]] = {
    None: (),
    "open": (HOLD,),
    "settled": (HOLD, SETTLE),
    "released": (HOLD, RELEASE),
    "returned": (HOLD, SETTLE, RETURN),
    "refused": (hold_funds(amount=DEPOSIT),),
}


class Cell(NamedTuple):
    becomes: str | None
    entries: tuple[str, ...]
    says: tuple[str, ...]
    balances: tuple[int, int]


FREE, HELD, PAID, BACK = (100_000, 0), (87_500, 12_500), (87_500, 0), (97_500, 0)

# Written down a second time and by hand, so that a row that is altered is found out.
# fmt: off
EXPECTED: dict[tuple[str | None, str], Cell] = {
    (None, "HoldFunds"):         Cell("open",     ("held",),               ("FundsHeld",),                   HELD),
    ("open", "HoldFunds"):       Cell("open",     (),                      ("FundsHeld",),                   HELD),
    ("open", "SettleHold"):      Cell("settled",  ("settled",),            ("HoldSettled",),                 PAID),
    ("open", "ReleaseHold"):     Cell("released", ("released",),           ("HoldReleased",),                FREE),
    ("open", "ReturnFunds"):     Cell("returned", ("settled", "returned"), ("HoldSettled", "FundsReturned"), BACK),
    ("settled", "HoldFunds"):    Cell("settled",  (),                      ("FundsHeld",),                   PAID),
    ("settled", "SettleHold"):   Cell("settled",  (),                      ("HoldSettled",),                 PAID),
    ("settled", "ReturnFunds"):  Cell("returned", ("returned",),           ("FundsReturned",),               BACK),
    ("released", "HoldFunds"):   Cell("released", (),                      ("FundsHeld",),                   FREE),
    ("released", "ReleaseHold"): Cell("released", (),                      ("HoldReleased",),                FREE),
    ("returned", "HoldFunds"):   Cell("returned", (),                      ("FundsHeld",),                   BACK),
    ("returned", "SettleHold"):  Cell("returned", (),                      ("HoldSettled",),                 BACK),
    ("returned", "ReturnFunds"): Cell("returned", (),                      ("FundsReturned",),               BACK),
}
# fmt: on
REST = {None: FREE, "open": HELD, "settled": PAID, "released": FREE, "returned": BACK}
FAULTS = [(state, name) for state in REST for name in COMMANDS if (state, name) not in EXPECTED]


async def _at(state: str | None) -> Desk:
    desk = Desk()
    await desk.open(DEPOSIT)
    for message in PATHS[state]:
        await desk.tell(message)
    return desk


@pytest.mark.parametrize(("state", "arrives"), EXPECTED)
async def test_each_row_moves_what_it_says_and_says_what_it_moved(
    state: str | None, arrives: str
) -> None:
    desk, cell = await _at(state), EXPECTED[state, arrives]
    before = len(desk.journal())

    said = await desk.tell(COMMANDS[arrives])

    hold = desk.hold()
    assert hold is not None
    assert hold.status == cell.becomes
    assert tuple(entry.kind for entry in desk.journal()[before:]) == cell.entries
    assert tuple(words(said)) == cell.says
    assert desk.balances() == cell.balances
    assert desk.dead() == []


@pytest.mark.parametrize(("state", "arrives"), FAULTS)
async def test_any_other_pair_is_parked_and_freezes_the_account(
    state: str | None, arrives: str
) -> None:
    desk = await _at(state)

    said = await desk.tell(COMMANDS[arrives])

    assert words(said) == ["AccountFrozen"]
    assert len(desk.dead()) == 1
    assert desk.account().frozen
    assert desk.balances() == REST[state]
    hold = desk.hold()
    assert (hold.status if hold else None) == state


@pytest.mark.parametrize("arrives", ["SettleHold", "ReleaseHold", "ReturnFunds"])
async def test_a_refused_hold_can_only_be_refused_again(arrives: str) -> None:
    desk = await _at("refused")

    said = await desk.tell(COMMANDS[arrives])

    assert words(said) == ["AccountFrozen"]
    assert desk.balances() == FREE


def test_the_table_has_each_row_that_is_expected_and_no_other() -> None:
    rows = {
        (row.while_, row.arrives.__name__, row.covered): (row.becomes, row.entries, row.say)
        for row in HOLDS
    }

    expected: dict[Any, Any] = {
        (state, name, True if state is None else None): (
            None if cell.becomes == state else cell.becomes,
            cell.entries,
            cell.says,
        )
        for (state, name), cell in EXPECTED.items()
    }
    expected[None, "HoldFunds", False] = ("refused", (), ("HoldRefused",))
    expected["refused", "HoldFunds", None] = (None, (), ("HoldRefused",))
    assert rows == expected
    assert len(HOLDS) == len(expected)


def test_from_each_status_that_keeps_money_held_there_is_a_way_out() -> None:
    leaves = {row.while_ for row in HOLDS if row.becomes is not None}

    assert "open" in leaves
    assert {row.becomes for row in HOLDS if row.becomes} - leaves == {
        "refused", "released", "returned",
    }  # fmt: skip


@pytest.mark.parametrize("path", [(HOLD, SETTLE, RETURN), (HOLD, RETURN), (HOLD, RELEASE)])
async def test_every_ended_hold_leaves_its_books_where_its_end_says(path: Any) -> None:
    desk = Desk()
    await desk.open(DEPOSIT)

    await desk.tell(*path)

    books: dict[str, int] = {}
    for entry in desk.journal():
        for book, amount in entry.legs:
            books[book] = books.get(book, 0) + amount
    fee = 0 if path[-1] is RELEASE else 2_500
    assert books["partner:available"] == DEPOSIT - fee
    assert books["partner:held"] == 0
    assert books.get("clearing:bca", 0) == 0
    assert books.get("revenue:fees", 0) == fee
    assert sum(books.values()) == 0


async def test_a_return_that_gives_the_fee_back_makes_the_account_whole() -> None:
    desk = await _at("settled")

    said = await desk.tell(RETURN.altered(return_fee=True))

    assert isinstance(said[0].message, FundsReturned)
    assert said[0].message.fee_returned
    assert desk.balances() == FREE


async def test_a_hold_without_a_fee_settles_without_a_leg_for_it() -> None:
    desk = Desk()
    await desk.open(DEPOSIT)
    await desk.tell(hold_funds(fee=0))

    await desk.tell(SETTLE)

    assert desk.journal()[-1].legs == (("partner:held", -10_000), ("clearing:bca", 10_000))


async def test_an_answer_that_is_given_again_tells_what_happened_then() -> None:
    desk = await _at("open")
    first = await desk.tell(SETTLE)
    await desk.tell(hold_funds("h2"))

    again = await desk.tell(SETTLE.altered(rail="mandiri"))

    assert isinstance(again[0].message, HoldSettled)
    assert again[0].message == first[0].message
    assert again[0].sequence == first[0].sequence


async def test_a_refusal_is_remembered_when_the_money_has_come_meanwhile() -> None:
    desk = Desk()
    await desk.open()
    await desk.tell(HOLD)
    await desk.open(DEPOSIT)

    again = await desk.tell(HOLD)

    assert words(again) == ["HoldRefused"]
    assert again[0].message.reason == "INSUFFICIENT_BALANCE"
    assert desk.balances() == FREE


@pytest.mark.parametrize(
    "other",
    [{"amount": 10_001}, {"fee": 0}, {"holder": "cashout"}, {"account": "kios.sandbox"}],
)
async def test_one_hold_with_two_sets_of_terms_is_a_fault(other: dict[str, Any]) -> None:
    desk = await _at("open")
    await desk.open(DEPOSIT, "kios.sandbox")

    await desk.tell(HOLD.altered(**other))

    assert len(desk.dead()) == 1
    assert desk.balances() == HELD
    assert desk.balances("kios.sandbox") == FREE


async def test_a_hold_cannot_be_settled_by_another_account() -> None:
    desk = await _at("open")
    await desk.open(DEPOSIT, "kios.sandbox")

    await desk.tell(SETTLE.altered(account="kios.sandbox"))

    assert desk.account("kios.sandbox").frozen
    assert not desk.account().frozen
    assert desk.balances() == HELD


async def test_a_hold_for_an_account_that_nobody_opened_is_refused_and_remembered() -> None:
    desk = Desk()
    said = await desk.tell(HOLD)
    await desk.open(DEPOSIT)

    again = await desk.tell(HOLD)

    for answer in (*said, *again):
        assert isinstance(answer.message, HoldRefused)
        assert answer.message.reason == "UNKNOWN_ACCOUNT"
        assert answer.sequence == 0
