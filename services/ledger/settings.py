"""The ledger's settings: those of every service, with larger batches."""

from typing import ClassVar

from services._kit.settings import Field, PlatformSettings


class Settings(PlatformSettings):
    service: ClassVar[str] = "ledger"

    # One fsync carries one batch, and under load the fsync is what holds take longest over.
    batch_messages_max: int = Field(default=2000, ge=1, description="messages decided at once")
