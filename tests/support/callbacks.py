"""What callback tests are made of: events as other services say them, and a small shell."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import catalog
from contracts.callbacks import v1 as callbacks
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
