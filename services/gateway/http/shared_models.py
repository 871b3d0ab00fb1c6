"""What partners get about any kind of life: events and problems."""

from typing import Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from services.gateway.http.cashout_models import CashoutShown, CashoutTold
from services.gateway.http.models import DisbursementShown, Moment, Shown


class EventShown(BaseModel):
    """The body of a callback."""

    model_config = Shown

    id: str
    type: str = Field(examples=["disbursement.succeeded"])
    occurred_at: Moment
    sequence: int
    data: DisbursementShown | CashoutTold


class EventList(BaseModel):
    model_config = Shown

    data: list[EventShown]
    next_cursor: str | None


class ErrorShown(BaseModel):
    field: str
    message: str


class ProblemShown(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[ErrorShown]
    retry: Literal["no", "yes", "after_top_up", "later"]
    request_id: str
    original: dict[str, str] | SkipJsonSchema[None] = None
    current: DisbursementShown | CashoutShown | SkipJsonSchema[None] = None
