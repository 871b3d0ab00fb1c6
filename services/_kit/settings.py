"""Settings come from the environment, are checked once at the start, and never change.

``SALUR_<SERVICE>_<FIELD>`` is a service's own; the shared ones are listed in ``Shared``. A secret
may also be a file, named by ``<VARIABLE>_FILE``. An unknown ``SALUR_<SERVICE>_*`` and a missing
variable stop the start with their name, because a misspelt limit is a limit that is not there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import AnyUrl, BaseModel, ConfigDict, Field, SecretStr, ValidationError

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class SettingsError(Exception):
    """A variable is unknown, missing or wrong; the text names it and the remedy."""


class ServiceSettings(BaseModel):
    """Base of each service's settings class; a subclass sets ``service`` and its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: ClassVar[str]
    shared: ClassVar[Mapping[str, str]] = {
        "kafka_url": "KAFKA_URL",
        "mongo_url": "MONGO_URL",
        "seal_key": "SALUR_SEAL_KEY",
        "phone_key": "SALUR_PHONE_KEY",
        "callback_seal_key": "SALUR_CALLBACK_SEAL_KEY",
        "log_level": "SALUR_LOG_LEVEL",
        "topic_prefix": "SALUR_TOPIC_PREFIX",
        "database_prefix": "SALUR_DATABASE_PREFIX",
        "topic_replication": "SALUR_TOPIC_REPLICATION",
        "topic_partitions": "SALUR_TOPIC_PARTITIONS",
        "otlp_endpoint": "SALUR_OTLP_ENDPOINT",
    }

    log_level: LogLevel = Field(default="INFO", description="least severe log line that is written")
    health_host: str = Field(
        default="127.0.0.1", description="address of /livez, /readyz, /metrics"
    )
    health_port: int = Field(ge=0, le=65535, description="port of /livez, /readyz and /metrics")
    otlp_endpoint: str = Field(
        default="", description="OTLP/HTTP traces address; empty: traces are propagated, not sent"
    )

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable that holds ``field``."""
        return cls.shared.get(field) or f"SALUR_{cls.service.upper()}_{field.upper()}"

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read and check all fields.

        Raises:
            SettingsError: names each variable that is unknown, missing or wrong.
        """
        known = {cls.variable(field): field for field in cls.model_fields}
        own = f"SALUR_{cls.service.upper()}_"
        unknown = [
            name
            for name in environ
            if name.startswith(own)
            and name not in known
            and name.removesuffix("_FILE") not in known
        ]
        if unknown:
            raise SettingsError(
                f"{', '.join(sorted(unknown))}: unknown to {cls.service}; "
                f"it knows {', '.join(sorted(known))}"
            )
        found: dict[str, object] = {}
        for name, field in known.items():
            text = _text(name, environ)
            if text is not None:
                found[field] = _parsed(name, text)
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            raise SettingsError(_complaint(cls, error)) from None


class PlatformSettings(ServiceSettings):
    """What each service that speaks over Kafka and keeps state in MongoDB needs."""

    kafka_url: str = Field(description="Kafka bootstrap servers, host:port,…")
    mongo_url: str = Field(description="MongoDB replica set, mongodb://…")
    topic_prefix: str = Field(
        default="", description="before each topic name (tests share a broker)"
    )
    database_prefix: str = Field(default="salur_", description="before each database name")
    topic_partitions: int = Field(default=4, ge=1, description="of topics made at start")
    topic_replication: int = Field(ge=1, description="replication factor of topics made at start")
    batch_messages_max: int = Field(default=500, ge=1, description="messages decided at once")
    batch_bytes_max: int = Field(default=4_194_304, ge=1024, description="bytes decided at once")
    batch_gather_ms: float = Field(
        default=120, ge=0, le=1000, description="shortest time from one full batch to the next"
    )
    commit_every_ms: float = Field(
        default=200, ge=0, le=5000, description="longest time from a batch to its offset's commit"
    )
    publish_timeout_s: float = Field(default=30, gt=0, description="a slower ack ends the process")
    outage_patience_s: float = Field(
        default=120, gt=0, description="how long a batch is tried again before the process leaves"
    )
    inbox_days: int = Field(default=16, ge=1, description="must outlive each topic's retention")


def _text(name: str, environ: Mapping[str, str]) -> str | None:
    path = environ.get(f"{name}_FILE")
    if path is None:
        return environ.get(name)
    if name in environ:
        raise SettingsError(f"{name} and {name}_FILE are both set; keep one")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{name}_FILE: {error.strerror}: {path}") from None


def _parsed(name: str, text: str) -> object:
    """Objects and lists are written as JSON; everything else is converted by its field's type."""
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{name}: not JSON: {error}") from None


def _complaint(cls: type[ServiceSettings], error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        first, *rest = item["loc"]
        where = ".".join(str(part) for part in rest)
        lines.append(f"{cls.variable(str(first))}{' at ' + where if where else ''}: {item['msg']}")
    return "; ".join(lines)


__all__ = ["AnyUrl", "Field", "PlatformSettings", "SecretStr", "ServiceSettings", "SettingsError"]
