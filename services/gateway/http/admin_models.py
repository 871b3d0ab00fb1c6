"""What operators send."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl, BaseModel, ConfigDict, Field, StringConstraints

from contracts.money import RUPIAH_MAX
from contracts.public import CASHOUT_STATUSES, DISBURSEMENT_STATUSES
from contracts.terms import Environment, Scheme

_EVENTS = frozenset(
    kind
    for table in (DISBURSEMENT_STATUSES, CASHOUT_STATUSES)
    for _, kind in table.values()
    if kind
)


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


def _event(text: str) -> str:
    if text != "*" and text not in _EVENTS:
        raise ValueError(f"is neither * nor one of {', '.join(sorted(_EVENTS))}")
    return text


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
Line = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", min_length=1, max_length=100)
]
Rupiah = Annotated[int, Field(strict=True, ge=1, le=RUPIAH_MAX)]
Limit = Annotated[int, Field(strict=True, ge=0, le=RUPIAH_MAX)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NewPartner(_Body):
    id: Slug = Field(description="part of the account id, never changed", examples=["toko-maju"])
    name: Line = Field(examples=["Toko Maju"])


class NewKey(_Body):
    label: Line = Field(default="key", description="where it is used")


class NewChain(_Body):
    id: Slug = Field(description="on receipts, never changed", examples=["indomaret"])
    name: Line = Field(examples=["Indomaret"])
    environment: Environment = Field(default="sandbox", description="where its key redeems")
    label: Line = Field(default="key", description="where the key is used")


class AllowList(_Body):
    networks: list[Annotated[str, AfterValidator(_network)]] = Field(
        max_length=100,
        description="addresses or networks; empty: all",
        examples=[["203.0.113.0/24"]],
    )


class NewEndpoint(_Body):
    url: AnyHttpUrl = Field(examples=["https://shop.example/callbacks"])
    events: list[Annotated[str, AfterValidator(_event)]] = Field(
        default=["*"], min_length=1, max_length=50
    )


class TopUp(_Body):
    amount: Rupiah
    external_reference: Line = Field(description="the bank's; unique per account")


class Terms(_Body):
    scheme: Scheme
    credit_limit: Limit = 0


class Thaw(_Body):
    by: Line = Field(description="who has looked")
    reason: Line
