"""What partners see of a life: one picture for GET, list and callback alike."""

from datetime import datetime, timedelta, timezone
from typing import Any

from contracts.disburse.v1 import Disbursement
from contracts.failures import failure

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
# fmt: on
# A succeeded disbursement may still be reversed, but a waiting request need not wait for that.
DISBURSEMENT_ENDS = frozenset({"succeeded", "failed", "cancelled", "reversed"})


def moment(value: datetime | None) -> str | None:
    """ISO-8601 with +07:00, milliseconds."""
    return None if value is None else value.astimezone(JAKARTA).isoformat(timespec="milliseconds")


def public_disbursement(life: Disbursement, sequence: int) -> dict[str, Any]:
    """The object of ``GET /v1/disbursements/{id}`` and of callbacks' ``data``."""
    order, reason = life.order, life.failure
    shown = None
    if reason is not None:
        known = failure(reason.code)
        shown = {"code": reason.code, "message": reason.message or known.message}
        shown["retry"] = known.retry
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
        "failure": shown,
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
