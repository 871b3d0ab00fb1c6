"""Any sequence of commands, in any batches, against a model that fits on a page."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from contracts.ledger.v1 import (
    CreditDeposit,
    HoldFunds,
    ReleaseHold,
    ReturnFunds,
    SetTerms,
    SettleHold,
    ThawAccount,
)
from contracts.message import Message
from services.ledger.state import Account
from tests.support.ledger_desk import Desk

ACCOUNTS = ("kios.sandbox", "warung.sandbox")
REFUSED = "refused"


@dataclass
class Model:
    """Money as a child would count it: purses, and envelopes laid aside."""

    purse: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS, 0))
    floor: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS, 0))
    stuck: set[str] = field(default_factory=set)
    aside: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    paid: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    over: dict[str, str] = field(default_factory=dict)
    bills: set[tuple[str, str]] = field(default_factory=set)

    def hear(self, command: Message) -> None:
        match command:
            case CreditDeposit(account=a, external_reference=ref):
                if (a, ref) not in self.bills:
                    self.bills.add((a, ref))
                    self.purse[a] += command.amount
            case SetTerms(account=a, scheme=scheme, credit_limit=limit):
                self.floor[a] = -limit if scheme == "invoice" else 0
            case ThawAccount(account=a):
                self.stuck.discard(a)
            case HoldFunds():
                if self._known(command.hold) is None:
                    self._put_aside(command)
            case SettleHold() | ReleaseHold() | ReturnFunds():
                self._end(command)

    def _end(self, command: SettleHold | ReleaseHold | ReturnFunds) -> None:
        hold, kind = command.hold, type(command)
        was = self.aside.pop(hold, None)
        if was is not None and kind is ReleaseHold:
            self.purse[was[0]] += was[1] + was[2]
            self.over[hold] = "released"
        elif was is not None and kind is SettleHold:
            self.paid[hold] = was
        elif isinstance(command, ReturnFunds) and (was or hold in self.paid):
            account, amount, fee = was or self.paid.pop(hold)
            self.purse[account] += amount + (fee if command.return_fee else 0)
            self.over[hold] = "returned"
        elif not self._is_repeat(hold, kind):
            self.stuck.add(command.account)

    def _is_repeat(self, hold: str, kind: type[Message]) -> bool:
        ended = self.over.get(hold, "paid" if hold in self.paid else None)
        return (kind, ended) in {
            (SettleHold, "paid"),
            (SettleHold, "returned"),
            (ReleaseHold, "released"),
            (ReturnFunds, "returned"),
        }

    def _known(self, hold: str) -> object:
        return self.aside.get(hold) or self.paid.get(hold) or self.over.get(hold)

    def _put_aside(self, command: HoldFunds) -> None:
        a, total = command.account, command.amount + command.fee
        if a in self.stuck or self.purse[a] - total < self.floor[a]:
            self.over[command.hold] = REFUSED
        else:
            self.purse[a] -= total
            self.aside[command.hold] = (a, command.amount, command.fee)

    def held(self, account: str) -> int:
        return sum(m + f for a, m, f in self.aside.values() if a == account)


def _commands() -> st.SearchStrategy[Message]:
    """A hold's account and terms follow from its number: other terms have their own test."""
    account = st.sampled_from(ACCOUNTS)
    number = st.integers(0, 7)
    rail = st.sampled_from(["bca", "mandiri"])
    return st.one_of(
        st.builds(
            lambda a, n: CreditDeposit(
                account=a, amount=5_000 * (n + 1), external_reference=f"va-{n}"
            ),
            account,
            number,
        ),
        st.builds(_hold, number),
        st.builds(_hold, number),
        st.builds(lambda n, r: SettleHold(account=_owner(n), hold=f"h{n}", rail=r), number, rail),
        st.builds(lambda n: ReleaseHold(account=_owner(n), hold=f"h{n}", reason="x"), number),
        st.builds(
            lambda n, r, fee: ReturnFunds(
                account=_owner(n), hold=f"h{n}", rail=r, return_fee=fee, reason="x"
            ),
            number,
            rail,
            st.booleans(),
        ),
        st.builds(
            lambda a, n: SetTerms(
                account=a, scheme="invoice" if n else "deposit", credit_limit=3_000 * n
            ),
            account,
            number,
        ),
        st.builds(lambda a: ThawAccount(account=a, by="Sari", reason="looked"), account),
    )


def _owner(number: int) -> str:
    return ACCOUNTS[number % 2]


def _hold(number: int) -> HoldFunds:
    return HoldFunds(
        account=_owner(number),
        hold=f"h{number}",
        holder="disburse",
        amount=1_000 * (number + 1),
        fee=500 * (number % 3),
    )


async def _told(commands: list[Message], batch: int) -> Desk:
    desk = Desk()
    with capture_logs():  # a page of traceback for each fault would take most of the time
        for account in ACCOUNTS:
            await desk.open(account=account)
        for start in range(0, len(commands), batch):
            await desk.tell(*commands[start : start + batch])
    return desk


def _facts(account: Account) -> tuple[int, int, bool]:
    return account.available, account.held, account.frozen


@settings(max_examples=150, deadline=None)
@given(st.lists(_commands(), max_size=40), st.integers(1, 12))
def test_money_is_where_a_simple_model_says_and_none_is_lost(
    commands: list[Message], batch: int
) -> None:
    model = Model()

    desk = asyncio.run(_told(commands, batch))

    for command in commands:
        model.hear(command)
    books: dict[str, int] = {}
    for account in ACCOUNTS:
        expected = (model.purse[account], model.held(account), account in model.stuck)
        assert _facts(desk.account(account)) == expected
        for entry in desk.journal(account):
            for book, amount in entry.legs:
                books[book] = books.get(book, 0) + amount
    assert sum(books.values()) == 0
    assert books.get("partner:available", 0) == sum(model.purse.values())
    assert books.get("partner:held", 0) == sum(model.held(account) for account in ACCOUNTS)


@settings(max_examples=60, deadline=None)
@given(st.lists(_commands(), max_size=30))
def test_batches_decide_what_one_by_one_decides(commands: list[Message]) -> None:
    alone = asyncio.run(_told(commands, 1))

    together = asyncio.run(_told(commands, 30))

    for account in ACCOUNTS:
        assert _facts(alone.account(account)) == _facts(together.account(account))
        one, other = alone.journal(account), together.journal(account)
        assert [(e.kind, e.subject, e.legs) for e in one] == [
            (e.kind, e.subject, e.legs) for e in other
        ]
    for number in range(8):
        assert alone.hold(f"h{number}") == together.hold(f"h{number}") or _only_version_differs(
            alone, together, f"h{number}"
        )


def _only_version_differs(alone: Desk, together: Desk, hold: str) -> bool:
    """A hold that changes twice in a batch is written once."""
    one, other = alone.hold(hold), together.hold(hold)
    assert one is not None
    assert other is not None
    one.version = other.version
    return one == other
