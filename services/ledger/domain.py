"""Why money moves: what each command does to an account and to a hold, as a table.

An account is changed by entries alone, also by those that move no money. The limit is checked
once, when a hold is made; what was held can always be settled. A refusal is remembered with the
hold's id, so that the same life never gets two answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.ledger import v1 as ledger
from contracts.ledger.v1 import HoldFunds, ReleaseHold, ReturnFunds, SettleHold
from contracts.message import Message
from contracts.money import RUPIAH_MAX
from services._kit.life import Answer, Received, Say
from services.ledger.answers import ANSWERS
from services.ledger.moves import MOVES, credited, post
from services.ledger.state import Account, Book, Credit, Hold, Step

HoldCommand = HoldFunds | SettleHold | ReleaseHold | ReturnFunds


@dataclass(frozen=True, slots=True)
class Row:
    """While a hold is / this arrives / it becomes / these entries are written / we say.

    ``becomes`` None leaves the hold as it is. ``covered``: only if the account may hold the sum,
    or only if not.
    """

    while_: str | None
    arrives: type[HoldCommand]
    becomes: str | None
    entries: tuple[str, ...]
    say: tuple[str, ...]
    covered: bool | None = None


# fmt: off
HOLDS: tuple[Row, ...] = (
    # while it is    this arrives  it becomes   entries                  we say
    Row(None,        HoldFunds,    "open",      ("held",),               ("FundsHeld",), covered=True),
    Row(None,        HoldFunds,    "refused",   (),                      ("HoldRefused",), covered=False),
    Row("open",      SettleHold,   "settled",   ("settled",),            ("HoldSettled",)),
    Row("open",      ReleaseHold,  "released",  ("released",),           ("HoldReleased",)),
    Row("settled",   ReturnFunds,  "returned",  ("returned",),           ("FundsReturned",)),
    # It overtook its settle.
    Row("open",      ReturnFunds,  "returned",  ("settled", "returned"), ("HoldSettled", "FundsReturned")),

    # Said again: answered with what happened.
    Row("settled",   SettleHold,   None,        (),                      ("HoldSettled",)),
    Row("returned",  SettleHold,   None,        (),                      ("HoldSettled",)),
    Row("released",  ReleaseHold,  None,        (),                      ("HoldReleased",)),
    Row("returned",  ReturnFunds,  None,        (),                      ("FundsReturned",)),
    Row("open",      HoldFunds,    None,        (),                      ("FundsHeld",)),
    Row("settled",   HoldFunds,    None,        (),                      ("FundsHeld",)),
    Row("released",  HoldFunds,    None,        (),                      ("FundsHeld",)),
    Row("returned",  HoldFunds,    None,        (),                      ("FundsHeld",)),
    Row("refused",   HoldFunds,    None,        (),                      ("HoldRefused",)),
    # Any other pair is a fault: parked, and a person is paged.
)
# fmt: on
_ROWS = {
    (row.while_, row.arrives, covered): row
    for row in HOLDS
    for covered in (True, False)
    if row.covered in (None, covered)
}


def decide(book: Book, received: Received, now: datetime) -> Sequence[Answer]:
    """What a command changes in the book, and what is said of it. An AssertionError is a fault."""
    command = received.message
    assert command.account == received.key, "the key is not the account"
    return _DECISIONS[type(command)](book, received, command, now)


def park(book: Book, received: Received, reason: str, now: datetime) -> Sequence[Answer]:
    """A fault freezes its account: nothing new is held until a person has looked."""
    account = book.accounts.get(received.message.account)
    if account is None or account.frozen:
        return ()
    account.frozen = True
    post(book, account, "frozen", received.id, (), now, (reason[:500],))
    return (_told(account, ledger.AccountFrozen, reason=reason[:500]),)


# --- holds --------------------------------------------------------------------------------------


def _decide_hold(
    book: Book, _received: Received, command: HoldCommand, now: datetime
) -> Sequence[Answer]:
    hold = book.holds.get(command.hold)
    account = book.accounts.get(command.account)
    status, refusal = None, None
    if hold is not None:
        status = hold.status
        _assert_same(hold, command)
    elif isinstance(command, HoldFunds):
        refusal = _refusal(account, command)
    row = _ROWS.get((status, type(command), refusal is None))
    assert row is not None, f"{type(command).__name__} while the hold is {status}"
    if hold is None:
        hold = _new_hold(book, command)
    if row.becomes is not None:
        hold.status = row.becomes
        book.changed_holds.add(hold.id)
        _remember(hold, command, refusal)
        _step(book, hold, account, row.entries, now)
    return [ANSWERS[event](hold) for event in row.say]


def _refusal(account: Account | None, command: HoldFunds) -> str | None:
    """Why the account may not hold this; None: it may."""
    if account is None:
        return "UNKNOWN_ACCOUNT"
    if account.frozen:
        return "ACCOUNT_FROZEN"
    if account.available - command.amount - command.fee >= account.floor:
        return None
    return "CREDIT_LIMIT_EXCEEDED" if account.scheme == "invoice" else "INSUFFICIENT_BALANCE"


def _new_hold(book: Book, command: HoldCommand) -> Hold:
    assert isinstance(command, HoldFunds)
    hold = Hold(command.hold, command.account, command.holder, command.amount, command.fee, "", [])
    book.holds[hold.id] = hold
    return hold


def _assert_same(hold: Hold, command: HoldCommand) -> None:
    assert hold.account == command.account, "the hold is another account's"
    if isinstance(command, HoldFunds):
        same = (hold.holder, hold.amount, hold.fee)
        asked = (command.holder, command.amount, command.fee)
        assert same == asked, "the hold exists with other terms"


def _remember(hold: Hold, command: HoldCommand, refusal: str | None) -> None:
    """What the command says, for the entries and for answers that are given again."""
    match command:
        case HoldFunds():
            hold.reason = refusal or ""
        case SettleHold():
            hold.settled_by = command.rail
        case ReleaseHold():
            hold.reason = command.reason
        case ReturnFunds():
            hold.settled_by = hold.settled_by or command.rail
            hold.returned_by = command.rail
            hold.fee_returned = command.return_fee
            hold.reason = command.reason


def _step(
    book: Book, hold: Hold, account: Account | None, kinds: tuple[str, ...], now: datetime
) -> None:
    if account is None or not kinds:
        hold.steps.append(account.step if account else Step(0, 0, 0))
        return
    for kind in kinds:
        notes = (hold.reason,) if kind in ("released", "returned") else ()
        post(book, account, kind, hold.id, MOVES[kind](hold), now, notes)
        hold.steps.append(account.step)


# --- accounts -----------------------------------------------------------------------------------


def _open(
    book: Book, received: Received, command: ledger.OpenAccount, now: datetime
) -> Sequence[Answer]:
    account = book.accounts.get(command.account)
    if account is None:
        account = Account(command.account, command.scheme, command.credit_limit)
        book.accounts[account.id] = account
        post(book, account, "opened", received.id, (), now, _terms(account))
    elif (account.scheme, account.credit_limit) != (command.scheme, command.credit_limit):
        return _refused(received, "ACCOUNT_EXISTS", "it is open with other terms")
    return (
        _told(
            account,
            ledger.AccountOpened,
            scheme=account.scheme,
            credit_limit=account.credit_limit,
        ),
    )


def _set_terms(
    book: Book, received: Received, command: ledger.SetTerms, now: datetime
) -> Sequence[Answer]:
    """Terms bind what is held from now on; what was held before stays."""
    account = book.accounts.get(command.account)
    if account is None:
        return _refused(received, "UNKNOWN_ACCOUNT")
    if (account.scheme, account.credit_limit) != (command.scheme, command.credit_limit):
        account.scheme, account.credit_limit = command.scheme, command.credit_limit
        post(book, account, "terms", received.id, (), now, _terms(account))
    return (
        _told(account, ledger.TermsSet, scheme=account.scheme, credit_limit=account.credit_limit),
    )


def _credit(
    book: Book, received: Received, command: ledger.CreditDeposit, now: datetime
) -> Sequence[Answer]:
    account = book.accounts.get(command.account)
    if account is None:
        return _refused(received, "UNKNOWN_ACCOUNT")
    reference = command.external_reference
    credit = book.credits.get((account.id, reference))
    if credit is None:
        if account.available + account.held + command.amount > RUPIAH_MAX:
            return _refused(received, "AMOUNT_ABOVE_MAXIMUM", "no balance may be that large")
        post(book, account, "credited", reference, credited(command.amount), now)
        credit = Credit(account.id, reference, command.amount, account.step)
        book.credits[account.id, reference] = credit
        book.new_credits.append(credit)
    elif credit.amount != command.amount:
        return _refused(received, "DUPLICATE_REFERENCE", "it was credited with another amount")
    number, available, held = credit.step
    event = ledger.DepositCredited(
        account=account.id,
        available=available,
        held=held,
        amount=credit.amount,
        external_reference=reference,
    )
    return (Say(event, number),)


def _thaw(
    book: Book, received: Received, command: ledger.ThawAccount, now: datetime
) -> Sequence[Answer]:
    account = book.accounts.get(command.account)
    if account is None:
        return _refused(received, "UNKNOWN_ACCOUNT")
    if not account.frozen:
        return _refused(received, "ACCOUNT_NOT_FROZEN")
    account.frozen = False
    post(book, account, "thawed", received.id, (), now, (command.by, command.reason))
    return (_told(account, ledger.AccountThawed, by=command.by, reason=command.reason),)


def _terms(account: Account) -> tuple[str, str]:
    return account.scheme, str(account.credit_limit)


def _told(account: Account, event: type[Message], **more: Any) -> Say:
    """An event about the account as it is now."""
    said = event(account=account.id, available=account.available, held=account.held, **more)
    return Say(said, account.entries)


def _refused(received: Received, reason: str, detail: str = "") -> Sequence[Answer]:
    refusal = ledger.CommandRefused(
        account=received.message.account,
        command=received.id,
        command_type=received.type,
        reason=reason,
        detail=detail,
    )
    return (Say(refusal),)


_DECISIONS: dict[type[Message], Callable[[Book, Received, Any, datetime], Sequence[Answer]]] = {
    ledger.OpenAccount: _open,
    ledger.SetTerms: _set_terms,
    ledger.CreditDeposit: _credit,
    ledger.ThawAccount: _thaw,
    HoldFunds: _decide_hold,
    SettleHold: _decide_hold,
    ReleaseHold: _decide_hold,
    ReturnFunds: _decide_hold,
}
