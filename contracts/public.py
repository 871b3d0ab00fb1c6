"""What partners see of a life: one picture for GET, list and callback alike."""

import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

from contracts.cashout.v1 import Cashout
from contracts.cashout.v1 import Failure as CashoutFailure
from contracts.disburse.v1 import Disbursement
from contracts.disburse.v1 import Failure as DisburseFailure
from contracts.failures import failure
from contracts.ids import public_id

JAKARTA = timezone(timedelta(hours=7))

# fmt: off
# inside -> (partner sees, callback type). Tested to be total.
DISBURSEMENT_STATUSES: dict[str, tuple[str, str | None]] = {
    "holding":   ("processing", None),
    "scheduled": ("scheduled",  "disbursement.scheduled"),
    "sending":   ("processing", None),
    "unclear":   ("processing", None),
    "succeeded": ("succeeded",  "disbursement.succeeded"),
    "failed":    ("failed",     "disbursement.failed"),
    "cancelled": ("cancelled",  "disbursement.cancelled"),
    "reversed":  ("reversed",   "disbursement.reversed"),
}
CASHOUT_STATUSES: dict[str, tuple[str, str | None]] = {
    "requested": ("processing", None),
    "active":    ("active",     "cashout.active"),
    "paid":      ("succeeded",  "cashout.succeeded"),
    "failed":    ("failed",     "cashout.failed"),
    "cancelled": ("cancelled",  "cashout.cancelled"),
    "expired":   ("expired",    "cashout.expired"),
    "blocked":   ("blocked",    "cashout.blocked"),
    "reversed":  ("reversed",   "cashout.reversed"),
}
# fmt: on
# A succeeded disbursement may still be reversed, but a waiting request need not wait for that.
DISBURSEMENT_ENDS = frozenset({"succeeded", "failed", "cancelled", "reversed"})
# A code is redeemed hours later: whoever asked for it waits only until there is one.
CASHOUT_ENDS = frozenset({"failed", "cancelled", "expired", "blocked", "paid", "reversed"})


def moment(value: datetime | None) -> str | None:
    """ISO-8601 with +07:00, milliseconds."""
    return None if value is None else value.astimezone(JAKARTA).isoformat(timespec="milliseconds")


def event_id(message_id: str) -> str:
    """``evt_…``: an event as partners know it, the same in a callback and in ``GET /v1/events``."""
    return public_id("evt", uuid.UUID(message_id))


def public_disbursement(life: Disbursement, sequence: int) -> dict[str, Any]:
    """The object of ``GET /v1/disbursements/{id}`` and of callbacks' ``data``."""
    order = life.order
    destination: dict[str, str | None] = {"type": order.destination.type}
    if order.destination.bank is not None:
        destination |= {"bank": order.destination.bank, "account_number": order.destination.masked}
    else:
        destination |= {"wallet": order.destination.wallet, "phone": order.destination.masked}
    return {
        "id": life.disbursement,
        "status": DISBURSEMENT_STATUSES[life.status][0],
        "sequence": sequence,
        "environment": order.environment,
        "reference": order.reference,
        "amount": order.amount,
        "currency": order.currency,
        "fee": order.fee,
        "destination": destination | {"account_name": order.destination.account_name},
        "description": order.description,
        "name_check": order.name_check,
        "failure": _failure(life.failure),
        "rail": life.rail,
        "bank_reference": life.bank_reference,
        "trace_no": life.trace_no,
        "transferred_at": moment(life.transferred_at),
        "instruct_at": moment(order.instruct_at),
        "send_before": moment(order.send_before),
        "metadata": order.metadata,
        "created_at": moment(life.created_at),
        "updated_at": moment(life.updated_at),
    }


def public_cashout(life: Cashout, sequence: int) -> dict[str, Any]:
    """The object of callbacks' ``data``, and of ``GET /v1/cashouts/{id}`` but for the code: only
    the gateway adds it, for its partner, while the status is ``active``.
    """
    order, paid = life.order, life.redemption
    return {
        "id": life.cashout,
        "status": CASHOUT_STATUSES[life.status][0],
        "sequence": sequence,
        "environment": order.environment,
        "reference": order.reference,
        "amount": order.amount,
        "currency": order.currency,
        "fee": order.fee,
        "phone": order.phone_masked,
        "recipient_name": order.recipient_name,
        "expires_at": moment(order.expires_at),
        "description": order.description,
        "failure": _failure(life.failure),
        "store": None
        if paid is None
        else {
            "chain": paid.chain.rpartition(".")[0],
            "store_id": paid.store_id,
            "terminal_id": paid.terminal_id,
            "store_ref": paid.store_ref,
        },
        "paid_at": None if paid is None else moment(paid.paid_at),
        "reversed_at": moment(life.reversed_at),
        "metadata": order.metadata,
        "created_at": moment(life.created_at),
        "updated_at": moment(life.updated_at),
    }


def _failure(reason: DisburseFailure | CashoutFailure | None) -> dict[str, str] | None:
    if reason is None:
        return None
    known = failure(reason.code)
    message = reason.message or known.message
    return {"code": reason.code, "message": message, "retry": known.retry}
