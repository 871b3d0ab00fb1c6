"""What partners send and get about cash-outs."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from services.gateway.http.models import (
    Body,
    FailureShown,
    Instant,
    MetadataKey,
    MetadataValue,
    Moment,
    Name,
    Note,
    Reference,
    Rupiah,
    Shown,
)

Phone = Annotated[Name, Field(description="08…, 62… or +62…", examples=["081234567890"])]


class CashoutRequest(Body):
    """Cash at a store's till, for whoever shows the code and the phone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "reference": "refund-42",
                    "amount": 100000,
                    "phone": "081234567890",
                    "recipient_name": "ANI WIJAYA",
                    "expires_at": None,
                }
            ]
        }
    )

    reference: Reference = Field(description="yours, unique for ever")
    amount: Rupiah
    currency: Literal["IDR"] = "IDR"
    phone: Phone
    recipient_name: Name = Field(examples=["ANI WIJAYA"])
    expires_at: Instant | None = Field(
        default=None, description="until then the code can be redeemed; null: your terms' default"
    )
    description: Note = ""
    metadata: dict[MetadataKey, MetadataValue] = Field(default_factory=dict, max_length=20)


class StoreShown(BaseModel):
    """Where the cash was paid."""

    chain: str = Field(examples=["indomaret"])
    store_id: str
    terminal_id: str
    store_ref: str


class CashoutTold(BaseModel):
    """As in callbacks and events: without the code."""

    model_config = Shown

    id: str = Field(examples=["cash_01K0PQX2M4ZJ8Y6T3V5W7N9RBC"])
    status: Literal[
        "processing",
        "active",
        "succeeded",
        "failed",
        "cancelled",
        "expired",
        "blocked",
        "reversed",
    ]
    sequence: int = Field(ge=0, description="number of the change; newer is greater")
    environment: Literal["sandbox", "production"]
    reference: str
    amount: int
    currency: Literal["IDR"]
    fee: int
    phone: str = Field(description="masked", examples=["0812****7890"])
    recipient_name: str
    expires_at: Moment
    description: str
    failure: FailureShown | None
    store: StoreShown | None
    paid_at: Moment | None
    reversed_at: Moment | None
    metadata: dict[str, str]
    created_at: Moment
    updated_at: Moment


class CashoutShown(CashoutTold):
    code: str | SkipJsonSchema[None] = Field(
        default=None,
        description="only while the status is active; in lists only with ?reference=",
        examples=["4821 0937 56"],
    )


class CashoutList(BaseModel):
    model_config = Shown

    data: list[CashoutShown]
    next_cursor: str | None
