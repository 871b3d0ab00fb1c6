"""What the service can be told; see ``services._kit.settings`` for how."""

from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from services._kit.settings import Field, PlatformSettings, SecretStr
from services.callbacks.state import Policy

_MINUTE_S, _HOUR_S = 60, 3600
_MONGO_MARGIN_S = 5.0

Pause = Annotated[float, Field(gt=0, le=7 * 24 * _HOUR_S)]


class Settings(PlatformSettings):
    service: ClassVar[str] = "callbacks"

    batch_gather_ms: float = Field(
        default=250,
        ge=0,
        le=1000,
        description="shortest time from one full batch to the next; nobody waits for these",
    )
    callback_seal_key: SecretStr = Field(
        description="seals endpoint secrets; shared with the gateway"
    )
    allow_private_addresses: bool = Field(
        description="also call loopback, private and other special addresses; false in production"
    )
    timeout_s: float = Field(default=15, gt=0, le=15, description="for all of one attempt")
    connect_timeout_s: float = Field(default=5, gt=0, description="for one connection")
    endpoint_limit: int = Field(
        default=16, ge=1, le=100, description="attempts at once to one endpoint, over all processes"
    )
    errands_max: int = Field(default=400, ge=1, description="attempts at once in one process")
    # The schedule that Standard Webhooks suggests.
    retry_schedule_s: tuple[Pause, ...] = Field(
        default=(
            5,
            5 * _MINUTE_S,
            30 * _MINUTE_S,
            2 * _HOUR_S,
            5 * _HOUR_S,
            10 * _HOUR_S,
            14 * _HOUR_S,
            20 * _HOUR_S,
            24 * _HOUR_S,
        ),
        max_length=40,
        description="pause after the first, second … failure",
    )
    retry_after_most_s: float = Field(
        default=_HOUR_S, ge=0, description="longest pause that an endpoint may ask for"
    )
    attempts_kept: int = Field(default=50, ge=1, le=50, description="in a delivery's log")

    @model_validator(mode="after")
    def _connects_in_time(self) -> Self:
        if self.connect_timeout_s > self.timeout_s:
            raise ValueError("connect_timeout_s is part of timeout_s and cannot be longer")
        return self

    @property
    def lease_s(self) -> float:
        """Longer than all deadlines of one attempt: the call, its publish, and MongoDB."""
        return self.timeout_s + self.publish_timeout_s + _MONGO_MARGIN_S

    def policy(self) -> Policy:
        return Policy(self.retry_schedule_s, self.retry_after_most_s, self.attempts_kept)
