"""Sealed values: what only the rail, the code check and the gateway for its partner may read.

AES-256-GCM with a random nonce. The text form is ``<key id>.<base64url(nonce + ciphertext)>``, so
that a key can be rotated while both are live. A sealed value never shows itself in a log or repr.
"""

import base64
import os
from collections.abc import Mapping
from typing import Annotated

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Field

_NONCE_BYTES = 12
_KEY_BYTES = 32

Sealed = Annotated[
    str, Field(pattern=r"^[a-z0-9]+\.[A-Za-z0-9_-]+=*$", max_length=2048, repr=False)
]


class SealError(Exception):
    """The value was sealed with a key that is not here, for something else, or is damaged."""


class Sealer:
    """Seals and opens values.

    Args:
        keys: ``"id:base64key"``, comma separated, newest first. The first seals, all open.
    """

    def __init__(self, keys: str) -> None:
        self._keys: Mapping[str, AESGCM] = dict(_key(part) for part in keys.split(","))
        self._newest = next(iter(self._keys))

    def __repr__(self) -> str:
        return f"Sealer(keys={list(self._keys)})"

    def seal(self, text: str, purpose: str) -> str:
        """``purpose`` is bound to the value: a sealed phone cannot be opened as a code."""
        nonce = os.urandom(_NONCE_BYTES)
        hidden = self._keys[self._newest].encrypt(nonce, text.encode(), purpose.encode())
        return f"{self._newest}.{base64.urlsafe_b64encode(nonce + hidden).decode()}"

    def open(self, sealed: str, purpose: str) -> str:
        """The text.

        Raises:
            SealError: another key, another purpose, or damage.
        """
        key_id, _, text = sealed.partition(".")
        key = self._keys.get(key_id)
        if key is None:
            raise SealError(f"sealed with key {key_id!r}, which is not configured")
        try:
            raw = base64.urlsafe_b64decode(text)
            return key.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], purpose.encode()).decode()
        except (InvalidTag, ValueError):  # ValueError: no base64, or cut short
            raise SealError(f"cannot be opened as {purpose}") from None


def new_key(key_id: str = "k1") -> str:
    """A fresh key in the form that ``Sealer`` takes."""
    return f"{key_id}:{base64.b64encode(os.urandom(_KEY_BYTES)).decode()}"


def _key(part: str) -> tuple[str, AESGCM]:
    key_id, _, text = part.strip().partition(":")
    raw = base64.b64decode(text)
    if not key_id.isalnum() or not key_id.islower() or len(raw) != _KEY_BYTES:
        raise SealError("a seal key is written id:base64, with a lower-case id and 32 bytes")
    return key_id, AESGCM(raw)
