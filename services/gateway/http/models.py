"""What partners send and get, as models: requests are parsed by them, OpenAPI is made of them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    ValidationError,
)
from pydantic.json_schema import SkipJsonSchema

from contracts.money import RUPIAH_MAX
from services.gateway.http.problems import FieldError

# No control characters: they break receipts, bank files and logs. Python's and JSON Schema's
# regular expressions agree on this form.
_VISIBLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"


def _written_out(value: Any) -> Any:
    """pydantic would also take unix seconds, as a number or in a text."""
    if not isinstance(value, datetime) and "T" not in str(value).upper():
        raise ValueError("must be ISO-8601 with date, time and offset")
    return value


Instant = Annotated[AwareDatetime, Strict(strict=False), BeforeValidator(_written_out)]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Rupiah = Annotated[int, Field(ge=1, le=RUPIAH_MAX, description="whole rupiah")]
Name = Annotated[str, StringConstraints(pattern=_VISIBLE, min_length=1, max_length=100)]
Note = Annotated[str, StringConstraints(pattern=_VISIBLE, max_length=140)]
MetadataKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
MetadataValue = Annotated[str, StringConstraints(pattern=_VISIBLE, max_length=500)]

_DESTINATIONS = ("bank_account", "e_wallet")


class Body(BaseModel):
    """What a partner sends: exact types, no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class BankAccount(Body):
    type: Literal["bank_account"]
    bank: Name = Field(description="short name, BIC or three-digit code", examples=["BCA"])
    account_number: Annotated[
        str, StringConstraints(pattern=r"^[0-9]{5,34}$"), Field(examples=["0123456789"])
    ]
    account_name: Name | None = Field(default=None, examples=["ANI"])


class EWallet(Body):
    type: Literal["e_wallet"]
    wallet: Name = Field(description="a name from GET /v1/channels", examples=["GOPAY"])
    phone: Name = Field(description="08…, 62… or +62…", examples=["081234567890"])
    account_name: Name | None = None


Destination = Annotated[BankAccount | EWallet, Field(discriminator="type")]


class DisbursementRequest(Body):
    """A payment to a bank account or an e-wallet."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "reference": "payroll-7-ani",
                    "amount": 1500000,
                    "currency": "IDR",
                    "description": "Gaji Juli",
                    "destination": {
                        "type": "bank_account",
                        "bank": "BCA",
                        "account_number": "0123456789",
                        "account_name": "ANI",
                    },
                    "metadata": {"run": "7"},
                }
            ]
        }
    )

    reference: Reference = Field(description="yours, unique for ever")
    amount: Rupiah
    currency: Literal["IDR"]
    destination: Destination
    description: Note = ""
    name_check: Literal["off", "strict"] = Field(
        default="off", description="strict: the bank's name must be account_name"
    )
    instruct_at: Instant | None = Field(default=None, description="send it then; null: now")
    send_before: Instant | None = Field(
        default=None, description="fail instead of paying later than this"
    )
    metadata: dict[MetadataKey, MetadataValue] = Field(default_factory=dict, max_length=20)


class InquiryRequest(Body):
    destination: Destination


class CancelRequest(Body):
    """Nothing needs to be said; an empty body does as well."""


# --- what partners get --------------------------------------------------------------------------

Shown = ConfigDict(extra="forbid")
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class FailureShown(BaseModel):
    code: str = Field(examples=["INSUFFICIENT_BALANCE"])
    message: str
    retry: Literal["no", "yes", "after_top_up", "later"]


class DestinationShown(BaseModel):
    """The number is masked; ``bank`` is a BIC."""

    type: Literal["bank_account", "e_wallet"]
    bank: str | SkipJsonSchema[None] = None
    account_number: str | SkipJsonSchema[None] = None
    wallet: str | SkipJsonSchema[None] = None
    phone: str | SkipJsonSchema[None] = None
    account_name: str | None


class DisbursementShown(BaseModel):
    model_config = Shown

    id: str = Field(examples=["disb_01K0PQX2M4ZJ8Y6T3V5W7N9RBC"])
    status: Literal["processing", "scheduled", "succeeded", "failed", "cancelled", "reversed"]
    sequence: int = Field(ge=0, description="number of the change; newer is greater")
    environment: Literal["sandbox", "production"]
    reference: str
    amount: int
    currency: Literal["IDR"]
    fee: int
    destination: DestinationShown
    description: str
    name_check: Literal["off", "strict"]
    failure: FailureShown | None
    rail: str | None
    bank_reference: str | None
    trace_no: str | None
    transferred_at: Moment | None
    instruct_at: Moment | None
    send_before: Moment | None
    metadata: dict[str, str]
    created_at: Moment
    updated_at: Moment


class DisbursementList(BaseModel):
    model_config = Shown

    data: list[DisbursementShown]
    next_cursor: str | None


class InquiryShown(BaseModel):
    model_config = Shown

    id: str
    account_name: str
    match: Literal["exact", "close", "none", "not_asked"]
    destination: DestinationShown


class BalanceShown(BaseModel):
    """``available`` may be spent. Invoice scheme: ``outstanding`` is used and not yet paid."""

    model_config = Shown

    scheme: Literal["deposit", "invoice"]
    available: int
    held: int
    currency: Literal["IDR"]
    credit_limit: int | None
    outstanding: int | None


class FeeShown(BaseModel):
    amount_from: int
    amount_to: int
    fee: int
    step: int


class ChannelShown(BaseModel):
    model_config = Shown

    type: Literal["bank_account", "e_wallet", "store"]
    name: str = Field(examples=["BCA"])
    bic: str | None
    code: str | None
    sharia_unit: bool | None
    amount_min: int
    amount_max: int
    fees: list[FeeShown]
    open: bool


class ChannelList(BaseModel):
    model_config = Shown

    data: list[ChannelShown]
    next_cursor: str | None


def field_errors(error: ValidationError) -> list[FieldError]:
    """Which fields are wrong and why, without their values: one may be an account number."""
    return [
        FieldError(_path(item["loc"]), item["msg"])
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def is_malformed(error: ValidationError) -> bool:
    """Whether the bytes are no JSON at all."""
    return any(item["type"] == "json_invalid" for item in error.errors(include_url=False))


def _path(loc: tuple[Any, ...]) -> str:
    """``destination.bank``: the union's tag, which the sender did not write, is left out."""
    parts = [str(p) for i, p in enumerate(loc) if not (i == 1 and p in _DESTINATIONS)]
    return ".".join(part for part in parts if part != "[key]") or "body"
