"""Ids are sorted by time and, where a cause exists, derived from it instead of rolled.

A life's id is a UUIDv7 chosen once. A message's id is a UUIDv8 made of its cause's time and a hash
of (cause id, name), so that a handler that runs again says the same thing under the same id.
"""

import hashlib
import os
import time
import uuid
from datetime import datetime

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CROCKFORD_VALUES = {char: value for value, char in enumerate(_CROCKFORD)}
_PUBLIC_LENGTH = 26


def uuid7(now_ms: int | None = None, random: bytes | None = None) -> uuid.UUID:
    """A time-ordered UUID, RFC 9562 §5.7; ``random`` is 10 bytes."""
    ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return _timed_uuid(ms, 7, int.from_bytes(random or os.urandom(10), "big"))


def derived_id(cause_id: str, cause_time: datetime, name: str) -> str:
    """The id of what ``cause_id`` leads to under ``name``: a UUIDv8, RFC 9562 §5.8.

    Args:
        cause_id: the causing message or errand.
        cause_time: its own recorded time (never the clock), at millisecond resolution.
        name: ``"<service>/<index>"`` or the conclusion's name, unique within the cause.
    """
    digest = hashlib.sha256(f"{cause_id}\n{name}".encode()).digest()
    ms = int(cause_time.timestamp() * 1000 + 0.5)
    text = f"{_timed(ms, 8, int.from_bytes(digest[:10], 'big')):032x}"
    # As ``str(uuid.UUID(int=…))`` writes it, without the object: each answer needs one.
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_public_id(prefix: str) -> str:
    """``disb_01J…``: what partners see, sortable by time."""
    return public_id(prefix, uuid7())


def public_id(prefix: str, value: uuid.UUID) -> str:
    """``prefix`` and 26 characters of Crockford base32."""
    number = value.int
    return f"{prefix}_" + "".join(
        _CROCKFORD[(number >> shift) & 31] for shift in range(5 * (_PUBLIC_LENGTH - 1), -1, -5)
    )


def parse_public_id(prefix: str, text: str) -> uuid.UUID:
    """The UUID behind a public id.

    Raises:
        ValueError: another prefix, another length, or a character outside the alphabet.
    """
    head, _, tail = text.partition("_")
    if head != prefix or len(tail) != _PUBLIC_LENGTH or not set(tail) <= _CROCKFORD_VALUES.keys():
        raise ValueError(f"not an id of the form {prefix}_ and {_PUBLIC_LENGTH} characters")
    number = 0
    for char in tail:
        number = number << 5 | _CROCKFORD_VALUES[char]
    if number >> 128:
        raise ValueError(f"not an id of the form {prefix}_ and {_PUBLIC_LENGTH} characters")
    return uuid.UUID(int=number)


def _timed_uuid(ms: int, version: int, bits: int) -> uuid.UUID:
    return uuid.UUID(int=_timed(ms, version, bits))


def _timed(ms: int, version: int, bits: int) -> int:
    """48 bits of milliseconds, then version, 12 bits, variant and 62 bits of ``bits`` (80)."""
    high = (bits >> 62) & 0xFFF
    low = bits & ((1 << 62) - 1)
    return (ms & (1 << 48) - 1) << 80 | version << 76 | high << 64 | 1 << 63 | low
