"""What stores send and get."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

from services.gateway.http.cashout_models import Phone
from services.gateway.http.models import (
    Body,
    Instant,
    Moment,
    Note,
    Reference,
    Rupiah,
    Shown,
)

_CODE = r"^[0-9](?:[ -]?[0-9]){9}$"
# A till takes back what it sent, also what nobody could read.
_WRITTEN_MAX = 64

Place = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,64}$")]
Code = Annotated[
    str,
    StringConstraints(pattern=_CODE),
    Field(description="ten digits, spaces as you like", examples=["4821 0937 56"]),
]
StoreRef = Annotated[
    Reference,
    Field(description="the store's own, unique in its chain", examples=["T042-20260131-77"]),
]


class RedemptionRequest(Body):
    """May this be paid?"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "store_ref": "T042-20260131-77",
                    "store_id": "T042",
                    "terminal_id": "2",
                    "code": "4821 0937 56",
                    "phone": "081234567890",
                    "amount": 100000,
                    "cashier_at": "2026-01-31T16:05:00+07:00",
                }
            ]
        }
    )

    store_ref: StoreRef
    store_id: Place
    terminal_id: Place
    code: Code
    phone: Phone
    amount: Rupiah
    cashier_at: Instant | None = Field(default=None, description="when the cashier asked")


class ReversalRequest(Body):
    """Take it back: the store heard nothing, or paid nothing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "store_ref": "T042-20260131-77",
                    "phone": "081234567890",
                    "code": "4821 0937 56",
                    "reason": "timeout",
                }
            ]
        }
    )

    store_ref: StoreRef
    phone: Phone
    code: Annotated[str, StringConstraints(max_length=_WRITTEN_MAX)] | None = None
    reason: Note = ""


class CodeInquiry(Body):
    """Would it be paid?"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"code": "4821 0937 56", "phone": "081234567890", "amount": 100000}]
        }
    )

    code: Code
    phone: Phone
    amount: Rupiah
    store_id: Place | None = None
    terminal_id: Place | None = Field(
        default=None,
        description="all inquiries of a store that name none count as one terminal's when wrong "
        "codes are counted",
    )


class ReceiptShown(BaseModel):
    """The same to the byte, however often it is asked for."""

    model_config = Shown

    reference: str = Field(examples=["cash_01K0PQX2M4ZJ8Y6T3V5W7N9RBC"])
    amount: int
    phone: str = Field(description="masked", examples=["0812****7890"])
    paid_at: Moment
    text: str = Field(description="to print")


_Reason = Annotated[
    str,
    Field(
        description="INVALID_CODE, AMOUNT_MISMATCH, CODE_EXPIRED, CODE_ALREADY_USED, CODE_BLOCKED, "
        "REVERSED_BY_STORE, DUPLICATE_REFERENCE or TOO_LATE",
        examples=["INVALID_CODE"],
    ),
]


class RedemptionShown(BaseModel):
    """Pay only when it is ``valid``."""

    model_config = Shown

    result: Literal["valid", "invalid"]
    reason: _Reason | SkipJsonSchema[None] = None
    receipt: ReceiptShown | SkipJsonSchema[None] = None


class ReversalShown(BaseModel):
    model_config = Shown

    result: Literal["accepted"]
    effect: Literal["reversed", "already_reversed", "nothing_paid"]


class InquiryResult(BaseModel):
    model_config = Shown

    result: Literal["valid", "invalid"]
    reason: _Reason | SkipJsonSchema[None] = None


class StandingShown(BaseModel):
    model_config = Shown

    result: Literal["valid", "invalid", "reversed", "undecided"]
    reason: _Reason | SkipJsonSchema[None] = None
    advice: str | SkipJsonSchema[None] = Field(default=None, examples=["reverse it"])
    receipt: ReceiptShown | SkipJsonSchema[None] = None
