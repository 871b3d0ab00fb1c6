"""Messages about one life and what the domain decides about them, for the table's tests."""

from datetime import timedelta
from typing import Any

from contracts.disburse import v1 as disburse
from contracts.message import Message
from services._kit.life import Say
from services.disburse.domain import decide
from services.disburse.life import Decision, Life, Transfer
from tests.support.disburse_world import (
    LIFE,
    NOON,
    NOT_FOUND_AFTER_S,
    funds_held,
    hold_refused,
    life_in,
    order,
    received,
    terms,
    transfer_for,
)

# What each kind of message says by default: newest sending 2, newest ask 2, the life's own rail.
MESSAGES: dict[str, Message] = {
    "RequestDisbursement": disburse.RequestDisbursement(disbursement=LIFE, order=order()),
    "FundsHeld": funds_held(),
    "HoldRefused": hold_refused(),
    "InstructDisbursement": disburse.InstructDisbursement(disbursement=LIFE),
    "CancelDisbursement": disburse.CancelDisbursement(disbursement=LIFE),
    "TransferConfirmed": disburse.TransferConfirmed(
        disbursement=LIFE, sending=2, rail="bca", bank_reference="B1", trace_no="T1"
    ),
    "TransferRefused": disburse.TransferRefused(
        disbursement=LIFE, sending=2, rail="bca", code="REJECTED_BY_BANK"
    ),
    "older TransferRefused": disburse.TransferRefused(
        disbursement=LIFE, sending=1, rail="bca", code="REJECTED_BY_BANK"
    ),
    "TransferUnclear": disburse.TransferUnclear(
        disbursement=LIFE, sending=2, ask=2, rail="bca", reason="silence"
    ),
    "old TransferUnclear": disburse.TransferUnclear(
        disbursement=LIFE, sending=2, ask=1, rail="bca", reason="silence"
    ),
    "TransferReturned": disburse.TransferReturned(
        disbursement=LIFE, rail="bca", notice="N1", reason="account closed"
    ),
    "TransferReturned of another rail": disburse.TransferReturned(
        disbursement=LIFE, rail="bri", notice="N1"
    ),
    "ResolveTransfer confirmed": disburse.ResolveTransfer(
        disbursement=LIFE, outcome="confirmed", evidence="statement p. 3", by=("ANI", "BUDI")
    ),
    "ResolveTransfer refused": disburse.ResolveTransfer(
        disbursement=LIFE, outcome="refused", evidence="statement p. 3", by=("ANI", "BUDI")
    ),
}
LONG_AFTER = NOON + timedelta(seconds=NOT_FOUND_AFTER_S + 1)


def decided(
    status: str | None, name: str, *, now: Any = LONG_AFTER, **changes: Any
) -> tuple[Life | None, Transfer | None, Decision]:
    life = None if status is None else life_in(status)
    transfer = None if status is None else transfer_for(status)
    message = received(MESSAGES[name].altered(**changes))
    return life, transfer, decide(life, transfer, message, now, terms())


def said(decision: Decision) -> tuple[list[str], list[str]]:
    """Events, and what is asked: ledger commands and kinds of errands."""
    events = [a for a in decision.answers if isinstance(a, Say) and a.message.type[:4] == "disb"]
    asked = [
        type(a.message).__name__ if isinstance(a, Say) else a.kind
        for a in decision.answers
        if a not in events
    ]
    return [type(a.message).__name__ for a in events], asked


def messages(decision: Decision) -> list[Any]:
    return [one.message for one in decision.answers if isinstance(one, Say)]
