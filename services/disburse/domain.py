"""The life of a disbursement as a table, and how a message moves it. Pure.

A time-out is never a failure: only a definite answer of the bank, its statement, or two persons
end ``unclear``. What has no row is refused (a command) or is a fault (an event).
"""
# ruff: noqa: E501 - a row of the table is a line, or it is no table

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, cast, get_args

from contracts.disburse.v1 import (
    CancelDisbursement,
    CommandRefused,
    Failure,
    InstructDisbursement,
    RequestDisbursement,
    ResolveTransfer,
    Status,
    TransferConfirmed,
    TransferRefused,
    TransferReturned,
    TransferUnclear,
)
from contracts.ledger.v1 import FundsHeld, HoldRefused
from contracts.message import Command, Message
from services._kit.life import Received, Row, Say, Table
from services.disburse.life import Case, Change, Decision, Life, Terms, Transfer
from services.disburse.words import ASKS, RETURNED_BY_BANK, SAYS

STATUSES: Final[tuple[str, ...]] = get_args(Status)
ENDS: Final = frozenset({"succeeded", "failed", "cancelled", "reversed"})

LATER = "instruct_at is later"
OLDER = "of an older sending"
NEWEST_ASK, OLD_ASK = "of the newest ask", "of an older ask"
OWN_RAIL = "through the rail that paid"
CONFIRMED, REFUSED = "outcome is confirmed", "outcome is refused, and nothing can be under way"

_CONTRADICTED = ("TransferContradicted",)

# fmt: off
TABLE: Final = Table((
    #   while it is   this arrives          it becomes    we say                       we ask                           when
    Row(None,         RequestDisbursement,  "holding",    ("DisbursementAccepted",),   ("HoldFunds",)),
    Row("holding",    HoldRefused,          "failed",     ("DisbursementFailed",)),
    Row("holding",    FundsHeld,            "scheduled",  ("DisbursementScheduled",),  ("errand: instruct",),           LATER),
    Row("holding",    FundsHeld,            "sending",    (),                          ("errand: send",)),
    Row("scheduled",  InstructDisbursement, "sending",    ("DisbursementInstructed",), ("errand: send",)),
    Row("scheduled",  CancelDisbursement,   "cancelled",  ("DisbursementCancelled",),  ("ReleaseHold",)),

    Row("sending",    TransferConfirmed,    "succeeded",  ("DisbursementSucceeded",),  ("SettleHold",)),
    Row("sending",    TransferRefused,      "unclear",    (),                          ("errand: ask",),                OLDER),
    Row("sending",    TransferRefused,      "failed",     ("DisbursementFailed",),     ("ReleaseHold",)),
    Row("sending",    TransferUnclear,      "unclear",    (),                          ("errand: ask",)),
    Row("sending",    TransferReturned,     "reversed",   ("DisbursementReversed",),   ("SettleHold", "ReturnFunds"),   OWN_RAIL),

    Row("unclear",    TransferConfirmed,    "succeeded",  ("DisbursementSucceeded",),  ("SettleHold",)),
    Row("unclear",    TransferRefused,      "unclear",    (),                          ("errand: ask",),                OLDER),
    Row("unclear",    TransferRefused,      "failed",     ("DisbursementFailed",),     ("ReleaseHold",)),
    Row("unclear",    TransferUnclear,      "unclear",    (),                          ("errand: ask",),                NEWEST_ASK),
    Row("unclear",    TransferUnclear,      None,         (),                          (),                              OLD_ASK),
    Row("unclear",    TransferReturned,     "reversed",   ("DisbursementReversed",),   ("SettleHold", "ReturnFunds"),   OWN_RAIL),
    Row("unclear",    ResolveTransfer,      "succeeded",  ("DisbursementSucceeded",),  ("SettleHold",),                 CONFIRMED),
    Row("unclear",    ResolveTransfer,      "failed",     ("DisbursementFailed",),     ("ReleaseHold",),                REFUSED),

    Row("succeeded",  TransferReturned,     "reversed",   ("DisbursementReversed",),   ("ReturnFunds",),                OWN_RAIL),
    Row("succeeded",  TransferConfirmed,    None),
    Row("succeeded",  TransferUnclear,      None),
    Row("succeeded",  TransferRefused,      None,         (),                          (),                              OLDER),
    Row("succeeded",  TransferRefused,      None,         _CONTRADICTED),

    Row("reversed",   TransferReturned,     None),
    Row("reversed",   TransferConfirmed,    None),
    Row("reversed",   TransferUnclear,      None),
    Row("reversed",   TransferRefused,      None,         (),                          (),                              OLDER),
    Row("reversed",   TransferRefused,      None,         _CONTRADICTED),

    Row("failed",     TransferRefused,      None),
    Row("failed",     TransferUnclear,      None),
    Row("failed",     TransferConfirmed,    None,         _CONTRADICTED),
    Row("failed",     TransferReturned,     None,         _CONTRADICTED),

    # The same order or the same alarm clock, once more.
    *(Row(status,     RequestDisbursement,  None) for status in STATUSES),
    *(Row(status,     InstructDisbursement, None) for status in STATUSES if status != "scheduled"),
))
# fmt: on


def _later(case: Case) -> bool:
    assert case.life is not None
    at = case.life.order.instruct_at
    return at is not None and at > case.now


def _own_rail(case: Case) -> bool:
    """Another bank's notice says nothing about what this one did."""
    return case.life is not None and bool(case.message.rail == case.life.rail)


def _resolved_as_refused(case: Case) -> bool:
    """People are as unable as "not found" to see a request that is still under way."""
    done = case.settled_after is None or case.now > case.settled_after
    return case.message.outcome == "refused" and done


GUARDS: Final[Mapping[str, Callable[[Case], bool]]] = {
    LATER: _later,
    OLDER: lambda case: case.message.sending < case.sending,
    NEWEST_ASK: lambda case: case.life is not None and case.message.ask == case.life.ask,
    OLD_ASK: lambda case: case.life is not None and case.message.ask < case.life.ask,
    OWN_RAIL: _own_rail,
    CONFIRMED: lambda case: case.message.outcome == "confirmed",
    REFUSED: _resolved_as_refused,
}


def decide(
    life: Life | None,
    transfer: Transfer | None,
    received: Received,
    now: datetime,
    terms: Terms,
) -> Decision:
    """What becomes of a life when ``received`` arrives; AssertionError: a fault."""
    case = Case(life, transfer, received, now, terms)
    status = None if life is None else life.status
    row = TABLE.find(status, type(received.message), lambda guard: GUARDS[guard](case))
    if row is None:
        return _without_row(case)
    after = case if row.becomes is None else _become(case, row.becomes)
    answers = [SAYS[name](after) for name in row.say] + [ASKS[name](after) for name in row.ask]
    return Decision(after.life, after.transfer, tuple(answers), _pages(row, after))


def _become(case: Case, becomes: str) -> Case:
    now, life = case.now, case.life or _new(case)
    status = cast("Status", becomes)  # the table's tests hold it to that
    after = replace(
        life,
        **_learned(case, life, status),
        status=status,
        sequence=life.sequence + 1,
        updated_at=now,
        since=life.since if case.life is not None and life.status == status else now,
        ask=life.ask + (status == "unclear"),
    ).remembering(Change(case.received.id, case.received.type, now, status))
    transfer = case.transfer
    if status == "sending":
        assert transfer is None, "a life is sent from one transfer"
        transfer = Transfer(life.id)
    elif status in ENDS and transfer is not None and transfer.closed is None:
        # In the same transaction as the end: no worker can note another sending after it.
        transfer = replace(transfer, closed=now)
    return replace(case, life=after, transfer=transfer)


def _new(case: Case) -> Life:
    message, now = case.message, case.now
    return Life(message.disbursement, message.order, "holding", now, now, now)


def _learned(case: Case, life: Life, becomes: Status) -> dict[str, Any]:
    """What a message tells about a life that it changes."""
    message = case.message
    if becomes == "sending":
        return {"way": case.terms.choose(life.order.environment, life.order.destination)}
    if isinstance(message, TransferConfirmed):
        return {
            "bank_reference": message.bank_reference,
            "trace_no": message.trace_no,
            "transferred_at": message.transferred_at or case.now,
        }
    if isinstance(message, TransferRefused) and becomes == "failed":
        # The bank's own words are for support; the partner gets the code's.
        return {"failure": Failure(code=message.code), "detail": message.detail}
    if isinstance(message, TransferUnclear):
        return {"detail": message.reason}
    if isinstance(message, HoldRefused):
        return {"failure": Failure(code=message.reason)}
    if isinstance(message, TransferReturned):
        return {
            "failure": Failure(code=RETURNED_BY_BANK, message=message.reason),
            "bank_reference": life.bank_reference or message.bank_reference,
        }
    if isinstance(message, ResolveTransfer):
        return _resolved(case, life, message)
    return {}


def _resolved(case: Case, life: Life, message: ResolveTransfer) -> dict[str, Any]:
    resolution = {
        "outcome": message.outcome,
        "evidence": message.evidence,
        "by": list(message.by),
        "at": case.now,
    }
    if message.outcome == "refused":
        return {"failure": Failure(code="BANK_UNAVAILABLE"), "resolution": resolution}
    assert life.way is not None, "only what has a way is sent"
    return {
        "bank_reference": message.bank_reference,
        "transferred_at": case.transfer.sent_at if case.transfer else None,
        "way": replace(life.way, rail=message.rail or life.way.rail),
        "resolution": resolution,
    }


def _without_row(case: Case) -> Decision:
    message: Message = case.message
    name, life = type(message).__name__, case.life
    here = "no life" if life is None else life.status
    assert isinstance(message, Command), f"{name} while {here}: no row of the table"
    reason, detail = _refusal(case)
    refused = CommandRefused(
        disbursement=case.received.key,
        command=case.received.id,
        command_type=case.received.type,
        reason=reason,
        detail=detail,
    )
    # A bank's word that fits nothing is money that nobody accounts for.
    banks_word = (TransferConfirmed, TransferRefused, TransferUnclear, TransferReturned)
    pages = (f"{name} while {here}",) if isinstance(message, banks_word) else ()
    return Decision(case.life, case.transfer, (Say(refused),), pages)


def _refusal(case: Case) -> tuple[str, str]:
    message = case.message
    if case.life is None:
        return "UNKNOWN_DISBURSEMENT", "there is no such disbursement"
    if isinstance(message, CancelDisbursement):
        return "NOT_CANCELLABLE", "only a scheduled disbursement can be cancelled"
    if isinstance(message, ResolveTransfer):
        if case.life.status != "unclear":
            return "NOT_UNCLEAR", "only an unclear transfer can be resolved"
        return "TOO_EARLY", f"the bank may still accept it until {case.settled_after:%F %T%z}"
    if isinstance(message, TransferReturned) and not _own_rail(case):
        return "OTHER_RAIL", "another rail has this transfer"
    return "NOT_ALLOWED", "no row of the table allows it"


def _pages(row: Row, after: Case) -> tuple[str, ...]:
    if row.say == _CONTRADICTED:
        return ("the bank says the opposite of what it said before",)
    life = after.life
    if life is not None and row.becomes == "unclear":
        waited = after.now - life.since
        if waited >= timedelta(seconds=after.terms.person_after_s):
            return (f"unclear for {waited.total_seconds() / 3600:.0f} h",)
    return ()
