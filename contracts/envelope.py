"""The envelope of every message: CloudEvents 1.0 in JSON, plus correlation, cause and sequence.

Reading and writing sit on the hot path of every service, so a message is parsed once by pydantic
from the raw bytes, and written by splicing the message's JSON into the envelope's.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Generic, TypeVar

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from contracts import upcast
from contracts.message import Message

M = TypeVar("M", bound=Message)

# Kafka header that names the type, so that nobody parses what is not for them.
TYPE_HEADER = "ce_type"


class UnreadableMessageError(Exception):
    """Bytes that are no envelope, an unknown type, or data that does not fit its type."""


class Envelope(BaseModel, Generic[M]):
    """One message with all that identifies it.

    ``correlation`` is what a waiting request listens for, usually the life's id; ``cause`` is the
    id of the message or errand that led here; ``sequence`` numbers the changes of one life.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    id: str = Field(min_length=1, max_length=100)
    type: str
    source: str
    key: str = Field(alias="subject")
    occurred_at: AwareDatetime = Field(alias="time")
    correlation: str = Field(alias="correlationid")
    cause: str | None = Field(default=None, alias="causationid")
    sequence: int | None = None
    message: M = Field(alias="data")


def encode(envelope: Envelope[Any]) -> bytes:
    """The CloudEvents JSON of ``envelope``."""
    return written(
        envelope.id,
        envelope.type,
        envelope.source,
        envelope.key,
        envelope.occurred_at,
        envelope.correlation,
        envelope.cause,
        envelope.sequence,
        envelope.message,
    )


def written(
    message_id: str,
    message_type: str,
    source: str,
    key: str,
    occurred_at: datetime,
    correlation: str,
    cause: str | None,
    sequence: int | None,
    message: Message,
) -> bytes:
    """The CloudEvents JSON of an envelope that nobody needs as an object: the shell writes one per
    answer, and making the object takes longer than writing it.
    """
    head: dict[str, Any] = {
        "specversion": "1.0",
        "id": message_id,
        "type": message_type,
        "source": source,
        "subject": key,
        "time": occurred_at,
        "correlationid": correlation,
        "datacontenttype": "application/json",
    }
    if cause is not None:
        head["causationid"] = cause
    if sequence is not None:
        head["sequence"] = sequence
    head["data"] = orjson.Fragment(message.__pydantic_serializer__.to_json(message))
    return orjson.dumps(head, option=orjson.OPT_UTC_Z)


def decode(raw: bytes, type_hint: str | None = None) -> Envelope[Any]:
    """Parse one message, upcast to the newest version of its type.

    Raises:
        UnreadableMessageError: says what is wrong; the value itself is never repeated in the text.
    """
    try:
        message_type = type_hint or orjson.loads(raw)["type"]
        model = upcast.models()[message_type]
    except (ValueError, KeyError, TypeError):
        raise UnreadableMessageError("no CloudEvents JSON of a known type") from None
    try:
        envelope: Envelope[Any] = _reader(model).model_validate_json(raw)
    except ValidationError as error:
        raise UnreadableMessageError(complaint(error)) from None
    if envelope.type != message_type:
        raise UnreadableMessageError(f"header says {message_type}, body says {envelope.type}")
    lifted: Envelope[Any] = upcast.newest(envelope)
    return lifted


def complaint(error: ValidationError) -> str:
    """Where and why, without the value: it may be a secret."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    )


def now_ms() -> datetime:
    """The clock in UTC at the resolution that MongoDB keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def headers_of(message_type: str, extra: Mapping[str, str]) -> list[tuple[str, bytes]]:
    return [(TYPE_HEADER, message_type.encode()), *((k, v.encode()) for k, v in extra.items())]


@cache
def _reader(model: type[Message]) -> type[Envelope[Any]]:
    return Envelope[model]  # type: ignore[valid-type]
