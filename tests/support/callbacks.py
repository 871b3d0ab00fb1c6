"""What callback tests are made of: events as other services say them, and a small shell."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import catalog
from contracts.callbacks import v1 as callbacks
from contracts.cashout import v1 as cashout
from contracts.disburse import v1 as disburse
from contracts.envelope import TYPE_HEADER, Envelope, decode
from contracts.ids import uuid7
from contracts.ledger import v1 as ledger
from contracts.message import Message
from contracts.sealed import Sealer, new_key
from services._kit.life import Received
from services._kit.ports import Record
from services._kit.records import record_of

NOW = datetime(2026, 3, 2, 3, 4, 5, 678000, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SEAL_KEY = new_key()
SEALED = Sealer(SEAL_KEY).seal(SECRET, "endpoint_secret")
ENDS: dict[str, type[Message]] = {
    "scheduled": disburse.DisbursementScheduled,
    "succeeded": disburse.DisbursementSucceeded,
    "failed": disburse.DisbursementFailed,
    "cancelled": disburse.DisbursementCancelled,
    "reversed": disburse.DisbursementReversed,
}


CODED = "k1.Y29kZQ=="
CASHOUT_ENDS: dict[str, tuple[str, type[Message]]] = {
    "active": ("active", cashout.CodeIssued),
    "paid": ("succeeded", cashout.CodeRedeemed),
    "failed": ("failed", cashout.CashoutFailed),
    "cancelled": ("cancelled", cashout.CashoutCancelled),
    "expired": ("expired", cashout.CodeExpired),
    "blocked": ("blocked", cashout.CodeBlocked),
    "reversed": ("reversed", cashout.CashoutReversed),
}


def set_endpoint(endpoint: str = "endp_1", **changes: Any) -> callbacks.SetEndpoint:
    fields: dict[str, Any] = {
        "endpoint": endpoint,
        "partner": "toko",
        "environment": "sandbox",
        "url": "http://merchant.example/hooks",
        "secret": SEALED,
    }
    return callbacks.SetEndpoint.model_validate(fields | changes)


def life_event(status: str = "succeeded", life: str = "disb_1", **order: Any) -> Message:
    fields: dict[str, Any] = {
        "partner": "toko",
        "environment": "sandbox",
        "account": "toko.sandbox",
        "reference": "payroll-7-ani",
        "amount": 1_500_000,
        "fee": 2_500,
        "destination": {
            "type": "bank_account",
            "bank": "CENAIDJA",
            "number": "k1.c2VjcmV0",
            "masked": "****6789",
        },
    }
    failure = {"code": "REJECTED_BY_BANK"} if status in ("failed", "reversed") else None
    return ENDS[status].model_validate(
        {
            "disbursement": life,
            "order": fields | order,
            "status": status,
            "failure": failure,
            "created_at": NOW - timedelta(seconds=9),
            "updated_at": NOW,
        }
    )


def cashout_event(status: str = "paid", life: str = "cash_1") -> Message:
    paid = status in ("paid", "reversed")
    till = {"chain": "indomaret.sandbox", "store_ref": "s-1", "store_id": "T042"}
    failed = {"failed": "INSUFFICIENT_BALANCE", "reversed": "REVERSED_BY_STORE"}.get(status)
    return CASHOUT_ENDS[status][1].model_validate(
        {
            "cashout": life,
            "phone_hash": "0" * 64,
            "order": {
                "partner": "toko",
                "environment": "sandbox",
                "account": "toko.sandbox",
                "reference": "refund-42",
                "amount": 100_000,
                "fee": 5_000,
                "phone": "k1.cGhvbmU=",
                "phone_masked": "0812****7890",
                "recipient_name": "ANI",
                "expires_at": NOW + timedelta(hours=24),
            },
            "status": status,
            "failure": {"code": failed} if failed else None,
            "redemption": till | {"terminal_id": "2", "paid_at": NOW} if paid else None,
            "reversed_at": NOW if status == "reversed" else None,
            "created_at": NOW - timedelta(seconds=9),
            "updated_at": NOW,
            **({"code": CODED} if status == "active" else {}),
        }
    )


def deposit(account: str = "toko.sandbox") -> ledger.DepositCredited:
    return ledger.DepositCredited(
        account=account, available=70_000, held=0, amount=50_000, external_reference="va-1"
    )


def received(message: Message, sequence: int | None = None, at: datetime = NOW) -> Received:
    row = catalog.row(message.type)
    if sequence is None and not isinstance(message, callbacks.SetEndpoint):
        sequence = 3
    return Envelope.model_construct(
        id=str(uuid7()),
        type=message.type,
        source="/salur/test",
        key=getattr(message, row.key),
        occurred_at=at,
        correlation=getattr(message, row.key),
        cause=None,
        sequence=sequence,
        message=message,
    )


def record(message: Message, sequence: int | None = None) -> Record:
    return record_of(received(message, sequence))


def said(records: list[Record]) -> list[Any]:
    return [decode(one.value, one.header(TYPE_HEADER)).message for one in records]
