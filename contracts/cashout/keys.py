"""What gateway and cash-out service must compute alike: a phone's key, a store's correlation.

The phone key is never rotated: it decides in which line a phone's commands stand, and whether a
store's try is the same as before.
"""

import base64
import hashlib
import hmac
import re
from typing import Literal

Kind = Literal["redemption", "reversal"]

_KEY_BYTES = 32
_CODE = re.compile(r"[0-9]{10}", re.ASCII)
_SPACES = re.compile(r"[ \-]")
_LONGEST_WRITTEN = 24


class CodeError(ValueError):
    """Not written like a code. Never shows what was written."""


class PhoneKey:
    """Keyed hashes under ``SALUR_PHONE_KEY``.

    Args:
        key: ``"id:base64"`` of 32 bytes, one only.
    """

    def __init__(self, key: str) -> None:
        _, colon, text = key.strip().partition(":")
        self._key = base64.b64decode(text, validate=True) if colon else b""
        if len(self._key) != _KEY_BYTES:
            raise ValueError("the phone key is written id:base64, with 32 bytes")

    def __repr__(self) -> str:
        return "PhoneKey(…)"

    def phone_hash(self, phone: str) -> str:
        """``phone`` as ``phones.normalised`` writes it (62…)."""
        return self._hash(phone)

    def redemption(self, code: str, phone: str, amount: int) -> str:
        """The fingerprint of a try: the same code, phone and amount are the same try."""
        return self._hash(f"redemption\n{code}\n{phone}\n{amount}")

    def reversal(self, phone: str, code: str | None) -> str:
        return self._hash(f"reversal\n{code or ''}\n{phone}")

    def _hash(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def reference_key(chain: str, store_ref: str) -> str:
    """The Kafka key of a store's answers; no chain's name holds a slash."""
    return f"{chain}/{store_ref}"


def store_correlation(chain: str, store_ref: str, kind: Kind, fingerprint: str) -> str:
    return f"{chain}/{store_ref}/{kind}/{fingerprint}"


def plain_code(text: str) -> str:
    """``4821 0937 56`` as ``4821093756``.

    Raises:
        CodeError: not ten digits.
    """
    digits = _SPACES.sub("", text) if len(text) <= _LONGEST_WRITTEN else ""
    if not _CODE.fullmatch(digits):
        raise CodeError("a code has ten digits, written like 4821 0937 56")
    return digits


def spaced_code(code: str) -> str:
    """``4821093756`` as people read it: ``4821 0937 56``."""
    return f"{code[:4]} {code[4:8]} {code[8:]}"
