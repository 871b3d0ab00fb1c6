"""How money moves: each kind of entry with the books that it leaves and enters."""

from collections.abc import Callable
from datetime import datetime

from services.ledger.state import (
    AVAILABLE,
    FEES,
    HELD,
    SAFEGUARDING,
    Account,
    Book,
    Entry,
    Hold,
    Legs,
    chained,
    clearing,
)


def credited(amount: int) -> Legs:
    return (SAFEGUARDING, -amount), (AVAILABLE, amount)


def held(hold: Hold) -> Legs:
    return (AVAILABLE, -hold.total), (HELD, hold.total)


def settled(hold: Hold) -> Legs:
    legs = (HELD, -hold.total), (clearing(hold.settled_by), hold.amount)
    return (*legs, (FEES, hold.fee)) if hold.fee else legs


def released(hold: Hold) -> Legs:
    return (HELD, -hold.total), (AVAILABLE, hold.total)


def returned(hold: Hold) -> Legs:
    fee = hold.fee if hold.fee_returned else 0
    legs = (clearing(hold.returned_by), -hold.amount), (AVAILABLE, hold.amount + fee)
    return (*legs, (FEES, -fee)) if fee else legs


# The entries of a hold, by kind.
MOVES: dict[str, Callable[[Hold], Legs]] = {
    "held": held,
    "settled": settled,
    "released": released,
    "returned": returned,
}


def post(
    book: Book,
    account: Account,
    kind: str,
    subject: str,
    legs: Legs,
    now: datetime,
    notes: tuple[str, ...] = (),
) -> None:
    """Write the account's next entry, and bring the account to where it leads."""
    for name, amount in legs:
        if name == AVAILABLE:
            account.available += amount
        elif name == HELD:
            account.held += amount
    account.entries += 1
    said = (
        account.id, account.entries, kind, subject, legs,
        account.available, account.held, now, notes,
    )  # fmt: skip
    account.head = chained(account.head, said)
    book.entries.append(Entry(*said, account.head))
    book.changed_accounts.add(account.id)
