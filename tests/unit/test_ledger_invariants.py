"""What is checked before anything is written: each break of a decision is found."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from services.ledger.invariants import check
from services.ledger.moves import MOVES, credited, post
from services.ledger.state import AVAILABLE, HELD, Account, Book, Entry, Hold

NOW = datetime(2026, 1, 5, tzinfo=UTC)
ID = "warung.sandbox"


def _book() -> Book:
    """A deposit of 100 000, of which one hold has 12 500."""
    book = Book()
    account = Account(ID, "deposit", 0)
    book.accounts[ID] = account
    post(book, account, "opened", "m", (), NOW, ("deposit", "0"))
    post(book, account, "credited", "va-1", credited(100_000), NOW)
    hold = Hold("h1", ID, "disburse", 10_000, 2_500, "open")
    book.holds["h1"] = hold
    post(book, account, "held", "h1", MOVES["held"](hold), NOW)
    return book


def _altered(book: Book, place: int, **changes: object) -> None:
    book.entries[place] = book.entries[place]._replace(**changes)  # type: ignore[arg-type]


def _unbalanced(book: Book) -> None:
    _altered(book, 1, legs=((AVAILABLE, 100_000),))


def _gap(book: Book) -> None:
    _altered(book, 2, number=4)


def _wrong_available(book: Book) -> None:
    _altered(book, 1, available=99_999)


def _wrong_account(book: Book) -> None:
    book.accounts[ID].available += 1


def _wrong_head(book: Book) -> None:
    book.accounts[ID].head = bytes(32)


def _changed_without_entry(book: Book) -> None:
    book.changed_accounts.add("kios.sandbox")


def _other_terms(book: Book) -> None:
    book.accounts[ID].credit_limit = 5


def _thawed_in_silence(book: Book) -> None:
    post(book, book.accounts[ID], "frozen", "m", (), NOW, ("x",))


def _hold_forgotten(book: Book) -> None:
    book.holds["h1"].status = "settled"


def _over_the_limit(book: Book) -> None:
    hold = Hold("h2", ID, "disburse", 90_000, 0, "open")
    book.holds["h2"] = hold
    post(book, book.accounts[ID], "held", "h2", MOVES["held"](hold), NOW)


def _held_below_zero(book: Book) -> None:
    legs = (HELD, -12_501), (AVAILABLE, 12_501)
    post(book, book.accounts[ID], "released", "h1", legs, NOW, ("x",))


def _held_while_frozen(book: Book) -> None:
    account = book.accounts[ID]
    account.frozen = True
    post(book, account, "frozen", "m", (), NOW, ("x",))
    hold = Hold("h2", ID, "disburse", 1, 0, "open")
    book.holds["h2"] = hold
    post(book, account, "held", "h2", MOVES["held"](hold), NOW)


def test_what_was_decided_rightly_passes() -> None:
    book = _book()

    check(book)

    assert [entry.number for entry in book.entries] == [1, 2, 3]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (_unbalanced, "does not balance"),
        (_gap, "a gap before 4"),
        (_wrong_available, "does not lead where it says"),
        (_wrong_account, "not where its entries lead"),
        (_wrong_head, "not where its entries lead"),
        (_changed_without_entry, "changed without an entry"),
        (_other_terms, "other terms than its entries say"),
        (_thawed_in_silence, "other terms than its entries say"),
        (_hold_forgotten, "not what its open holds have"),
        (_over_the_limit, "over the limit"),
        (_held_below_zero, "held would be -1"),
        (_held_while_frozen, "held while frozen"),
    ],
)
def test_each_break_of_a_decision_is_found(damage: Callable[[Book], None], complaint: str) -> None:
    book = _book()

    damage(book)

    with pytest.raises(AssertionError, match=complaint):
        check(book)


def test_an_entry_cannot_be_altered() -> None:
    entry: Entry = _book().entries[0]

    with pytest.raises(AttributeError):
        entry.available = 1  # type: ignore[misc]
