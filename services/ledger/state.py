"""What the ledger keeps: accounts, holds, credits, and the journal that all of it follows from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import orjson

from contracts.terms import Scheme

# The partner's own two books, which alone keep a running balance …
AVAILABLE, HELD = "partner:available", "partner:held"
# … and those of the platform, which are sums over the journal.
SAFEGUARDING, FEES = "safeguarding", "revenue:fees"

# What stands before an account's first entry.
GENESIS = bytes(32)

Legs = tuple[tuple[str, int], ...]


def clearing(rail: str) -> str:
    return f"clearing:{rail}"


class Step(NamedTuple):
    """Where an account stood after an entry; enough to repeat an answer word for word."""

    number: int
    available: int
    held: int


class Entry(NamedTuple):
    """One immutable change of one account.

    ``legs`` sum to zero; entries without legs (opened, terms, frozen, thawed) move no money, but
    are numbered and chained like the others. ``subject`` is the hold or the reference it is
    about. ``notes`` are what else was said: terms, reasons, names of persons.
    """

    account: str
    number: int
    kind: str
    subject: str
    legs: Legs
    available: int
    held: int
    at: datetime
    notes: tuple[str, ...]
    hash: bytes


def chained(previous: bytes, entry: Sequence[object]) -> bytes:
    """The hash of an entry's fields before ``hash``, on top of the entry before it."""
    return hashlib.sha256(previous + orjson.dumps(entry)).digest()


@dataclass(slots=True)
class Account:
    """``entries`` is the number of the newest entry, ``head`` its hash."""

    id: str
    scheme: Scheme
    credit_limit: int
    available: int = 0
    held: int = 0
    frozen: bool = False
    entries: int = 0
    head: bytes = GENESIS
    version: int = 0

    @property
    def floor(self) -> int:
        """What ``available`` may sink to when a hold is made."""
        return floor(self.scheme, self.credit_limit)

    @property
    def step(self) -> Step:
        return Step(self.entries, self.available, self.held)


def floor(scheme: str, credit_limit: int) -> int:
    return -credit_limit if scheme == "invoice" else 0


@dataclass(slots=True)
class Hold:
    """``steps``: after the entry that held it (or when it was refused), the one that settled or
    released it, and the one that returned it. ``reason`` is why it was refused, released or
    returned.
    """

    id: str
    account: str
    holder: str
    amount: int
    fee: int
    status: str
    steps: list[Step] = field(default_factory=list)
    reason: str = ""
    settled_by: str = ""
    returned_by: str = ""
    fee_returned: bool = False
    version: int = 0

    @property
    def total(self) -> int:
        return self.amount + self.fee

    @property
    def reserved(self) -> int:
        """What of ``held`` is this hold's."""
        return self.amount + self.fee if self.status == "open" else 0


@dataclass(slots=True)
class Credit:
    account: str
    reference: str
    amount: int
    step: Step


@dataclass(slots=True)
class Book:
    """The working set of one batch: what was read, and what was decided since.

    ``opening`` holds the accounts as they were read, ``opening_reserved`` what the holds that were
    read had of each account's ``held``.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    credits: dict[tuple[str, str], Credit] = field(default_factory=dict)
    opening: dict[str, Account] = field(default_factory=dict)
    opening_reserved: dict[str, int] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    changed_accounts: set[str] = field(default_factory=set)
    changed_holds: set[str] = field(default_factory=set)
    new_credits: list[Credit] = field(default_factory=list)

    def reserved(self) -> dict[str, int]:
        """What the holds in this book have of each account's ``held``."""
        sums: dict[str, int] = {}
        for hold in self.holds.values():
            sums[hold.account] = sums.get(hold.account, 0) + hold.reserved
        return sums
