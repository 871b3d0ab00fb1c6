"""What is said of a hold follows from the hold alone, so that it can be said again."""

from collections.abc import Callable
from typing import Any

from contracts.ledger import v1 as ledger
from contracts.message import Message
from services._kit.life import Say
from services.ledger.state import Hold


def _funds_held(hold: Hold) -> Say:
    number, available, held = hold.steps[0]
    event = ledger.FundsHeld(
        account=hold.account,
        available=available,
        held=held,
        hold=hold.id,
        holder=hold.holder,
        amount=hold.amount,
        fee=hold.fee,
    )
    return Say(event, number)


def _hold_refused(hold: Hold) -> Say:
    number, available, held = hold.steps[0]
    event = ledger.HoldRefused(
        account=hold.account,
        available=available,
        held=held,
        hold=hold.id,
        holder=hold.holder,
        reason=hold.reason,
    )
    return Say(event, number)


def _hold_settled(hold: Hold) -> Say:
    return _ended(hold, 1, ledger.HoldSettled, rail=hold.settled_by)


def _hold_released(hold: Hold) -> Say:
    return _ended(hold, 1, ledger.HoldReleased, reason=hold.reason)


def _funds_returned(hold: Hold) -> Say:
    return _ended(
        hold,
        2,
        ledger.FundsReturned,
        rail=hold.returned_by,
        reason=hold.reason,
        fee_returned=hold.fee_returned,
    )


def _ended(hold: Hold, step: int, event: type[Message], **more: Any) -> Say:
    number, available, held = hold.steps[step]
    said = event(
        account=hold.account,
        available=available,
        held=held,
        hold=hold.id,
        amount=hold.amount,
        fee=hold.fee,
        **more,
    )
    return Say(said, number)


ANSWERS: dict[str, Callable[[Hold], Say]] = {
    "FundsHeld": _funds_held,
    "HoldRefused": _hold_refused,
    "HoldSettled": _hold_settled,
    "HoldReleased": _hold_released,
    "FundsReturned": _funds_returned,
}
