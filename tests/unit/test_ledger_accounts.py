"""Accounts: opening, terms, deposits, limits, freezing."""

import hashlib
from datetime import UTC, datetime

import orjson
import pytest

from contracts.ledger.v1 import (
    CreditDeposit,
    OpenAccount,
    ReleaseHold,
    ReturnFunds,
    SetTerms,
    SettleHold,
    ThawAccount,
)
from contracts.message import Message
from contracts.money import RUPIAH_MAX
from services.ledger.handlers import LedgerHandlers
from services.ledger.state import GENESIS, Account, Book, chained
from services.ledger.store import entry_id
from tests.support.ledger_desk import ACCOUNT, Desk, hold_funds, words

OPEN = OpenAccount(account=ACCOUNT, scheme="deposit")
TOP_UP = CreditDeposit(account=ACCOUNT, amount=50_000, external_reference="va-1")
THAW = ThawAccount(account=ACCOUNT, by="Sari", reason="the bank's file was wrong")


async def test_opening_an_account_twice_opens_it_once() -> None:
    desk = Desk()
    first = await desk.tell(OPEN)

    again = await desk.tell(OPEN)

    assert words(first) == words(again) == ["AccountOpened"]
    assert first[0].sequence == again[0].sequence == 1
    assert len(desk.journal()) == 1


async def test_opening_an_open_account_with_other_terms_is_refused() -> None:
    desk = Desk()
    await desk.tell(OPEN)

    said = await desk.tell(OpenAccount(account=ACCOUNT, scheme="invoice", credit_limit=1))

    assert words(said) == ["CommandRefused"]
    assert said[0].message.reason == "ACCOUNT_EXISTS"
    assert said[0].sequence is None
    assert desk.account().scheme == "deposit"


async def test_a_deposit_is_credited_once_per_reference() -> None:
    desk = Desk()
    await desk.open()
    first = await desk.tell(TOP_UP)
    await desk.tell(TOP_UP.altered(external_reference="va-2"))

    again = await desk.tell(TOP_UP)

    assert again[0].message == first[0].message
    assert again[0].sequence == first[0].sequence == 2
    assert desk.balances() == (100_000, 0)


async def test_a_deposit_that_comes_twice_in_one_batch_is_credited_once() -> None:
    desk = Desk()
    await desk.open()

    said = await desk.tell(TOP_UP, TOP_UP)

    assert words(said) == ["DepositCredited", "DepositCredited"]
    assert desk.balances() == (50_000, 0)


async def test_a_reference_with_another_amount_is_refused() -> None:
    desk = Desk()
    await desk.open()
    await desk.tell(TOP_UP)

    said = await desk.tell(TOP_UP.altered(amount=1))

    assert words(said) == ["CommandRefused"]
    assert said[0].message.reason == "DUPLICATE_REFERENCE"
    assert desk.balances() == (50_000, 0)


async def test_two_accounts_may_use_one_reference() -> None:
    desk = Desk()
    await desk.open()
    await desk.open(account="kios.sandbox")

    await desk.tell(TOP_UP, TOP_UP.altered(account="kios.sandbox"))

    assert desk.balances() == desk.balances("kios.sandbox") == (50_000, 0)


async def test_a_deposit_beyond_what_a_balance_may_be_is_refused() -> None:
    desk = Desk()
    await desk.open(RUPIAH_MAX)

    said = await desk.tell(TOP_UP)

    assert said[0].message.reason == "AMOUNT_ABOVE_MAXIMUM"
    assert desk.dead() == []


@pytest.mark.parametrize("command", [TOP_UP, THAW, SetTerms(account=ACCOUNT, scheme="deposit")])
async def test_what_is_asked_of_an_unknown_account_is_refused(command: Message) -> None:
    desk = Desk()

    said = await desk.tell(command)

    assert words(said) == ["CommandRefused"]
    assert said[0].message.reason == "UNKNOWN_ACCOUNT"
    assert desk.journal() == []


async def test_a_deposit_account_can_hold_its_last_rupiah_and_not_one_more() -> None:
    desk = Desk()
    await desk.open(25_000)

    said = await desk.tell(hold_funds("h1"), hold_funds("h2"), hold_funds("h3", 1, 0))

    assert words(said) == ["FundsHeld", "FundsHeld", "HoldRefused"]
    assert said[2].message.reason == "INSUFFICIENT_BALANCE"
    assert desk.balances() == (0, 25_000)


async def test_an_invoice_account_can_hold_down_to_its_credit_limit_and_no_further() -> None:
    desk = Desk()
    await desk.open(credit_limit=25_000)

    said = await desk.tell(hold_funds("h1"), hold_funds("h2"), hold_funds("h3", 1, 0))

    assert words(said) == ["FundsHeld", "FundsHeld", "HoldRefused"]
    assert said[2].message.reason == "CREDIT_LIMIT_EXCEEDED"
    assert desk.balances() == (-25_000, 25_000)


async def test_a_credit_limit_is_worth_nothing_in_the_deposit_scheme() -> None:
    desk = Desk()
    await desk.tell(OPEN.altered(credit_limit=25_000))

    said = await desk.tell(hold_funds())

    assert said[0].message.reason == "INSUFFICIENT_BALANCE"


async def test_a_lower_limit_binds_new_holds_and_lets_old_ones_settle() -> None:
    desk = Desk()
    await desk.open(credit_limit=25_000)
    await desk.tell(hold_funds("h1"))

    said = await desk.tell(
        SetTerms(account=ACCOUNT, scheme="invoice", credit_limit=0),
        hold_funds("h2"),
        SettleHold(account=ACCOUNT, hold="h1", rail="bca"),
    )

    assert words(said) == ["TermsSet", "HoldRefused", "HoldSettled"]
    assert desk.balances() == (-12_500, 0)


async def test_the_same_terms_again_write_no_entry() -> None:
    desk = Desk()
    await desk.open()

    said = await desk.tell(SetTerms(account=ACCOUNT, scheme="deposit"))

    assert words(said) == ["TermsSet"]
    assert len(desk.journal()) == 1


async def test_a_frozen_account_holds_nothing_new_and_goes_on_with_the_rest() -> None:
    desk = Desk()
    await desk.open(100_000)
    await desk.tell(hold_funds("h1"), hold_funds("h2"), hold_funds("h3"))
    await desk.tell(ReleaseHold(account=ACCOUNT, hold="nobody's", reason="x"))

    said = await desk.tell(
        hold_funds("h4"),
        SettleHold(account=ACCOUNT, hold="h1", rail="bca"),
        ReleaseHold(account=ACCOUNT, hold="h2", reason="x"),
        ReturnFunds(account=ACCOUNT, hold="h3", rail="bca", return_fee=True, reason="x"),
        TOP_UP,
    )

    assert words(said) == [
        "HoldRefused", "HoldSettled", "HoldReleased", "HoldSettled", "FundsReturned",
        "DepositCredited",
    ]  # fmt: skip
    assert said[0].message.reason == "ACCOUNT_FROZEN"
    assert desk.balances() == (137_500, 0)


async def test_a_person_thaws_an_account_and_it_holds_again() -> None:
    desk = Desk()
    await desk.open(100_000)
    await desk.tell(ReleaseHold(account=ACCOUNT, hold="nobody's", reason="x"))

    said = await desk.tell(THAW, hold_funds())

    assert words(said) == ["AccountThawed", "FundsHeld"]
    assert desk.journal()[-2].notes == ("Sari", "the bank's file was wrong")


async def test_an_account_that_is_not_frozen_cannot_be_thawed() -> None:
    desk = Desk()
    await desk.open()

    said = await desk.tell(THAW)

    assert words(said) == ["CommandRefused"]
    assert said[0].message.reason == "ACCOUNT_NOT_FROZEN"


async def test_a_second_fault_freezes_once() -> None:
    desk = Desk()
    await desk.open()
    lost = ReleaseHold(account=ACCOUNT, hold="nobody's", reason="x")

    said = await desk.tell(lost, lost)

    assert words(said) == ["AccountFrozen"]
    assert len(desk.dead()) == 2


async def test_a_fault_leaves_the_rest_of_its_batch_alone() -> None:
    desk = Desk()
    await desk.open(100_000)
    lost = SettleHold(account=ACCOUNT, hold="nobody's", rail="bca")

    said = await desk.tell(hold_funds("h1"), lost, hold_funds("h2"))

    assert words(said) == ["FundsHeld", "AccountFrozen", "HoldRefused"]
    assert desk.balances() == (87_500, 12_500)


async def test_a_fault_about_an_unknown_account_freezes_nobody() -> None:
    desk = Desk()

    said = await desk.tell(SettleHold(account=ACCOUNT, hold="h1", rail="bca"))

    assert said == []
    assert len(desk.dead()) == 1


async def test_every_event_carries_the_number_of_the_entry_it_speaks_of() -> None:
    desk = Desk()
    await desk.tell(OPEN)

    said = await desk.tell(
        TOP_UP,
        hold_funds("h1"),
        hold_funds("h2", 10**9),
        ReturnFunds(account=ACCOUNT, hold="h1", rail="bca", return_fee=False, reason="x"),
        SetTerms(account=ACCOUNT, scheme="invoice", credit_limit=5),
    )

    assert [one.sequence for one in said] == [2, 3, 3, 4, 5, 6]
    for one in said:
        assert one.sequence is not None
        entry = desk.journal()[one.sequence - 1]
        assert (one.message.available, one.message.held) == (entry.available, entry.held)


async def test_entries_are_numbered_without_gaps_and_chained() -> None:
    desk = Desk()
    await desk.open(100_000)
    await desk.tell(hold_funds("h1"), hold_funds("h2"))
    await desk.tell(SettleHold(account=ACCOUNT, hold="h1", rail="bca"))

    entries = desk.journal()

    head = GENESIS
    for number, entry in enumerate(entries, 1):
        head = hashlib.sha256(head + orjson.dumps(entry[:-1])).digest()
        assert (entry.number, entry.hash) == (number, head)
        assert sum(amount for _, amount in entry.legs) == 0
    assert desk.account().head == head


def test_the_bytes_that_are_hashed_never_change_or_old_journals_would_not_verify() -> None:
    legs = (("safeguarding", -5), ("partner:available", 5))
    at = datetime(2026, 1, 5, 2, 0, 0, 7000, tzinfo=UTC)

    head = chained(GENESIS, (ACCOUNT, 2, "credited", "va-1", legs, 5, 0, at, ()))

    raw = (
        b'["warung.sandbox",2,"credited","va-1",[["safeguarding",-5],["partner:available",5]],'
        b'5,0,"2026-01-05T02:00:00.007000+00:00",[]]'
    )
    assert head == hashlib.sha256(bytes(32) + raw).digest()


def test_entries_sort_by_their_number() -> None:
    numbers = [1, 9, 10, 99, 100, 10**9]

    assert sorted(numbers, key=lambda n: entry_id(ACCOUNT, n)) == numbers


def test_nothing_is_written_that_breaks_an_invariant() -> None:
    book = Book(accounts={ACCOUNT: Account(ACCOUNT, "deposit", 0)}, changed_accounts={ACCOUNT})

    with pytest.raises(AssertionError, match="without an entry"):
        LedgerHandlers().check(book)
