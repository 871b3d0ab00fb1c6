"""What a disbursement says and asks: the makers behind the names in the table.

Each takes the case with the life as it *became*.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from contracts.disburse import v1 as disburse
from contracts.ledger import v1 as ledger
from contracts.message import Event
from services._kit.life import Answer, Due, Say, due_message
from services.disburse.life import Case, Life

SERVICE: Final = "disburse"
SEND, ASK, INQUIRE = "send", "ask", "inquire"
RETURNED_BY_BANK, CANCELLED = "RETURNED_BY_BANK", "CANCELLED"
CLOCK_LANE: Final = "clock"
NO_RAIL_LANE: Final = "bank:none"
# The ask that may conclude from "not found" comes a little after that has become an answer.
_PAST_NOT_FOUND = timedelta(seconds=1)

Maker = Callable[[Case], Answer]


def bank_lane(rail: str | None) -> str:
    return NO_RAIL_LANE if rail is None else f"bank:{rail}"


def _event(model: type[Event]) -> Maker:
    """An event is the whole picture of the life as it became."""

    def say(case: Case) -> Say:
        life = _life(case)
        return Say(model.model_construct(**life.picture()), sequence=life.sequence)

    return say


def _contradicted(case: Case) -> Say:
    message = case.message
    detail = getattr(message, "code", "") or getattr(message, "reason", "")
    return Say(
        disburse.TransferContradicted(
            disbursement=_life(case).id,
            status=_life(case).status,
            said=type(message).__name__,
            detail=detail,
        )
    )


def _hold(case: Case) -> Say:
    life = _life(case)
    return Say(
        ledger.HoldFunds(
            account=life.order.account,
            hold=life.id,
            holder=SERVICE,
            amount=life.order.amount,
            fee=life.order.fee,
        )
    )


def _settle(case: Case) -> Say:
    life = _life(case)
    assert life.rail, "what was transferred went through a rail"
    return Say(ledger.SettleHold(account=life.order.account, hold=life.id, rail=life.rail))


def _release(case: Case) -> Say:
    life = _life(case)
    reason = life.failure.code if life.failure else CANCELLED
    return Say(ledger.ReleaseHold(account=life.order.account, hold=life.id, reason=reason))


def _return(case: Case) -> Say:
    """The fee is kept on a bank return."""
    life = _life(case)
    assert life.rail, "what came back went through a rail"
    return Say(
        ledger.ReturnFunds(
            account=life.order.account,
            hold=life.id,
            rail=life.rail,
            return_fee=False,
            reason=RETURNED_BY_BANK,
        )
    )


def _instruct(case: Case) -> Due:
    life = _life(case)
    assert life.order.instruct_at, "only what has a time is scheduled"
    message = disburse.InstructDisbursement(disbursement=life.id)
    return due_message(message, life.order.instruct_at, CLOCK_LANE, life.id)


def _send(case: Case) -> Due:
    life = _life(case)
    return Due(SEND, bank_lane(life.rail), case.now, job_of(life, case))


def _ask(case: Case) -> Due:
    life = _life(case)
    return Due(ASK, bank_lane(life.rail), next_ask_at(case), job_of(life, case))


def job_of(life: Life, case: Case) -> dict[str, Any]:
    """All that a worker needs to know of a life; the account number stays sealed."""
    order = life.order
    return {
        "disbursement": life.id,
        "correlation": life.id,
        "ask": life.ask,
        "rail": life.rail,
        "bank": life.way.bank if life.way else None,
        "wallet": order.destination.wallet,
        "number": order.destination.number,
        "account_name": order.destination.account_name,
        "amount": order.amount,
        "name_check": order.name_check,
        "send_before": send_before(life, case.terms.send_within_s).isoformat(),
    }


def send_before(life: Life, within_s: float) -> datetime:
    """What has not been sent by then fails instead of being paid late."""
    order = life.order
    return order.send_before or (order.instruct_at or life.created_at) + timedelta(seconds=within_s)


def next_ask_at(case: Case) -> datetime:
    """The schedule's first moment that is still to come, then one after another."""
    life, terms = _life(case), case.terms
    moments = [life.since + timedelta(seconds=after_s) for after_s in terms.ask_after_s]
    if case.settled_after is not None:
        moments.append(case.settled_after + _PAST_NOT_FOUND)
    later = [moment for moment in moments if moment > case.now]
    return min(later, default=case.now + timedelta(seconds=terms.ask_every_s))


def _life(case: Case) -> Life:
    assert case.life is not None
    return case.life


SAYS: Final[Mapping[str, Maker]] = {
    model.__name__: _event(model)
    for model in (
        disburse.DisbursementAccepted,
        disburse.DisbursementScheduled,
        disburse.DisbursementInstructed,
        disburse.DisbursementSucceeded,
        disburse.DisbursementFailed,
        disburse.DisbursementCancelled,
        disburse.DisbursementReversed,
    )
} | {"TransferContradicted": _contradicted}

ASKS: Final[Mapping[str, Maker]] = {
    "HoldFunds": _hold,
    "SettleHold": _settle,
    "ReleaseHold": _release,
    "ReturnFunds": _return,
    "errand: instruct": _instruct,
    "errand: send": _send,
    "errand: ask": _ask,
}
