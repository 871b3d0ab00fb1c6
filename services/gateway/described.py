"""Each operation in words for people: what it takes, answers and refuses. ``openapi`` makes the
published description of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from services.gateway.http import cashout_models as cashout
from services.gateway.http import models
from services.gateway.http import retail_models as retail
from services.gateway.http import shared_models as shared
from services.gateway.http.paging import LIMIT, LIMIT_MAX
from services.gateway.lives import CASHOUT, DISBURSEMENT, Kind

Json = dict[str, Any]

ALWAYS = (
    "AUTHENTICATION_REQUIRED",
    "SIGNATURE_INVALID",
    "TIMESTAMP_OUT_OF_RANGE",
    "ADDRESS_NOT_ALLOWED",
    "ENVIRONMENT_NOT_ALLOWED",
    "KEY_NOT_ALLOWED",
    "BODY_TOO_LARGE",
    "RATE_LIMITED",
    "INTERNAL_ERROR",
    "UNAVAILABLE",
    "OVERLOADED",
)
_DESTINATION = ("VALIDATION_FAILED", "UNKNOWN_BANK", "UNKNOWN_WALLET", "CHANNEL_NOT_SUPPORTED")
_AMOUNTS = ("AMOUNT_BELOW_MINIMUM", "AMOUNT_ABOVE_MAXIMUM", "AMOUNT_NOT_A_MULTIPLE")
_BODY = ("MALFORMED_JSON", "UNSUPPORTED_MEDIA_TYPE")
_KEYED = ("IDEMPOTENCY_KEY_MISSING", "IDEMPOTENCY_KEY_REUSED")


@dataclass(frozen=True)
class Described:
    """One operation for people. ``answers``: status to (model, when)."""

    name: str
    summary: str
    description: str
    answers: Mapping[int, tuple[type[BaseModel], str]]
    body: type[BaseModel] | None = None
    parameters: Sequence[str] = ()
    problems: Sequence[str] = ()
    body_optional: bool = field(default=False)


def _id(prefix: str) -> Json:
    return {
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": f"^{prefix}_[0-9A-HJKMNP-TV-Z]{{26}}$"},
        "example": f"{prefix}_01K0PQX2M4ZJ8Y6T3V5W7N9RBC",
    }


def _status(kind: Kind[Any]) -> Json:
    return {"in": "query", "schema": {"type": "string", "enum": list(kind.shown_statuses)}}


# What a request may carry beside its signature.
# The last word is its name.
PARAMETERS: dict[str, Json] = {
    "Idempotency-Key": {
        "in": "header",
        "required": True,
        "description": "Yours. A repeat with the same key and bytes gets the first answer.",
        "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,128}$"},
        "example": "payroll-7-ani",
    },
    "Prefer": {
        "in": "header",
        "description": "wait=N, at most 20: answer as soon as it has ended, or has its code.",
        "schema": {"type": "string", "pattern": "^wait=([0-9]|1[0-9]|20)$"},
        "example": "wait=1",
    },
    "disbursement id": _id("disb"),
    "cashout id": _id("cash"),
    "store_ref": {
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "example": "T042-20260131-77",
    },
    "limit": {
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
    },
    "cursor": {
        "in": "query",
        "description": "next_cursor of the page before",
        "schema": {"type": "string", "minLength": 1, "maxLength": 64},
    },
    "reference": {"in": "query", "schema": {"type": "string", "maxLength": 64}},
    "disbursement status": _status(DISBURSEMENT),
    "cashout status": _status(CASHOUT),
    "created_from": {
        "in": "query",
        "description": "made then or later",
        "schema": {"type": "string", "format": "date-time"},
    },
    "created_to": {
        "in": "query",
        "description": "made before then",
        "schema": {"type": "string", "format": "date-time"},
    },
    "type": {"in": "query", "schema": {"type": "string", "maxLength": 64}},
    "about": {
        "in": "query",
        "description": "the id of what the event tells of",
        "schema": {"type": "string", "maxLength": 64},
    },
}
_PAGE = ("limit", "cursor")

OPERATIONS: dict[tuple[str, str], Described] = {
    ("POST", "/v1/disbursements"): Described(
        "create_disbursement",
        "Pay a bank account or an e-wallet",
        "Answers 202 when the request is safely taken in; what ledger or bank decide follows as "
        "status, also under Prefer: wait. After a 5xx, a time-out or a broken connection send the "
        "same bytes under the same Idempotency-Key again: the money leaves once.",
        {
            202: (models.DisbursementShown, "Taken in"),
            200: (models.DisbursementShown, "Ended: by Prefer: wait, or a repeat of an ended one"),
        },
        body=models.DisbursementRequest,
        parameters=("Idempotency-Key", "Prefer"),
        problems=(
            *_BODY,
            *_KEYED,
            *_DESTINATION,
            "DUPLICATE_REFERENCE",
            "REQUEST_IN_PROGRESS",
            *_AMOUNTS,
        ),
    ),
    ("GET", "/v1/disbursements"): Described(
        "list_disbursements",
        "List disbursements, newest first",
        "Also the way to find one by its reference.",
        {200: (models.DisbursementList, "A page")},
        parameters=(*_PAGE, "reference", "disbursement status", "created_from", "created_to"),
        problems=("VALIDATION_FAILED",),
    ),
    ("GET", "/v1/disbursements/{id}"): Described(
        "get_disbursement",
        "Get one disbursement",
        "The same object as in callbacks.",
        {200: (models.DisbursementShown, "As it is now")},
        parameters=("disbursement id",),
        problems=("NOT_FOUND",),
    ),
    ("POST", "/v1/disbursements/{id}/cancel"): Described(
        "cancel_disbursement",
        "Cancel a scheduled disbursement",
        "Waits up to 5 s. 202: it has not said yet; ask again, or repeat under the same key.",
        {
            200: (models.DisbursementShown, "Cancelled"),
            202: (models.DisbursementShown, "Asked; not decided yet"),
        },
        body=models.CancelRequest,
        body_optional=True,
        parameters=("disbursement id", "Idempotency-Key"),
        problems=(*_BODY, *_KEYED, "VALIDATION_FAILED", "NOT_FOUND", "NOT_CANCELLABLE"),
    ),
    ("POST", "/v1/account-inquiries"): Described(
        "inquire_account",
        "Ask whose account it is",
        "Waits up to 10 s for the bank. Nothing is moved or stored.",
        {200: (models.InquiryShown, "The bank's name for the account")},
        body=models.InquiryRequest,
        problems=(*_BODY, *_DESTINATION, "INVALID_DESTINATION", "ACCOUNT_INACTIVE", "NO_ANSWER"),
    ),
    ("GET", "/v1/balance"): Described(
        "get_balance",
        "Get the balance",
        "May trail a disbursement's status by a moment; it is settled when held is 0.",
        {200: (models.BalanceShown, "The account")},
        problems=("NOT_FOUND",),
    ),
    ("GET", "/v1/channels"): Described(
        "list_channels",
        "List banks, wallets and chains of stores with limits and fees",
        "All on one page.",
        {200: (models.ChannelList, "What can be paid to")},
    ),
    ("GET", "/v1/events"): Described(
        "list_events",
        "List events, newest first",
        "What callbacks tell, for who missed one.",
        {200: (shared.EventList, "A page")},
        parameters=(*_PAGE, "type", "about"),
        problems=("VALIDATION_FAILED",),
    ),
    ("POST", "/v1/cashouts"): Described(
        "create_cashout",
        "Have cash paid at a store's till",
        "Waits up to 5 s for the code unless Prefer says otherwise. 202: ask for it by GET. After "
        "a 5xx, a time-out or a broken connection send the same bytes under the same "
        "Idempotency-Key again: there is one code.",
        {
            200: (cashout.CashoutShown, "With its code, or ended"),
            202: (cashout.CashoutShown, "Taken in; no code yet"),
        },
        body=cashout.CashoutRequest,
        parameters=("Idempotency-Key", "Prefer"),
        problems=(
            *_BODY,
            *_KEYED,
            "VALIDATION_FAILED",
            "CHANNEL_NOT_SUPPORTED",
            "DUPLICATE_REFERENCE",
            "REQUEST_IN_PROGRESS",
            *_AMOUNTS,
        ),
    ),
    ("GET", "/v1/cashouts"): Described(
        "list_cashouts",
        "List cash-outs, newest first",
        "Also the way to find one by its reference; only then with the code of an active one.",
        {200: (cashout.CashoutList, "A page")},
        parameters=(*_PAGE, "reference", "cashout status", "created_from", "created_to"),
        problems=("VALIDATION_FAILED",),
    ),
    ("GET", "/v1/cashouts/{id}"): Described(
        "get_cashout",
        "Get one cash-out",
        "The same object as in callbacks, and the code while it is active.",
        {200: (cashout.CashoutShown, "As it is now")},
        parameters=("cashout id",),
        problems=("NOT_FOUND",),
    ),
    ("POST", "/v1/cashouts/{id}/cancel"): Described(
        "cancel_cashout",
        "Cancel an active cash-out",
        "Waits up to 5 s. 202: it has not said yet; ask again, or repeat under the same key.",
        {
            200: (cashout.CashoutShown, "Cancelled"),
            202: (cashout.CashoutShown, "Asked; not decided yet"),
        },
        body=models.CancelRequest,
        body_optional=True,
        parameters=("cashout id", "Idempotency-Key"),
        problems=(*_BODY, *_KEYED, "VALIDATION_FAILED", "NOT_FOUND", "NOT_CANCELLABLE"),
    ),
    ("POST", "/v1/retail/redemptions"): Described(
        "redeem_code",
        "May this be paid?",
        "For stores. Waits up to 25 s. Pay only if the result is valid. A repeat under the same "
        "store_ref with the same code, phone and amount gets the same answer and receipt; "
        "after a 504, or without an answer, reverse it.",
        {200: (retail.RedemptionShown, "Decided")},
        body=retail.RedemptionRequest,
        problems=(*_BODY, "VALIDATION_FAILED", "REDEMPTION_UNDECIDED"),
    ),
    ("GET", "/v1/retail/redemptions/{store_ref}"): Described(
        "get_redemption",
        "How does a redemption stand?",
        "For stores. Undecided is no error: reverse it, and it stays unpaid.",
        {200: (retail.StandingShown, "As it is now")},
        parameters=("store_ref",),
        problems=("VALIDATION_FAILED",),
    ),
    ("POST", "/v1/retail/reversals"): Described(
        "reverse_redemption",
        "Take a redemption back",
        "For stores: heard nothing for 30 s, or paid nothing. Always accepted, also before the "
        "redemption, instead of it, and again. Repeat it until it is answered.",
        {200: (retail.ReversalShown, "Taken back")},
        body=retail.ReversalRequest,
        problems=(*_BODY, "VALIDATION_FAILED", "REVERSAL_UNANSWERED"),
    ),
    ("POST", "/v1/retail/inquiries"): Described(
        "inquire_code",
        "Would it be paid?",
        "For stores. Changes nothing but the count of wrong tries.",
        {200: (retail.InquiryResult, "Would it")},
        body=retail.CodeInquiry,
        problems=(*_BODY, "VALIDATION_FAILED", "NO_ANSWER"),
    ),
}
