"""Who is calling: a signature over the raw bytes, or HTTP Basic with a sandbox key.

The text that is signed has the idempotency key in it, so a replayed POST can only fetch its first
answer, and no nonce needs to be remembered (docs/api/signature.md holds test vectors).
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.gateway.http.problems import Problem
from services.gateway.partners import Caller, Partners

_VERSION = "v1"
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_KEY = re.compile(r"key_[0-9A-Z]{26}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a request says of itself; ``target`` is path and query as they were sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body_sha256: str
    address: str


def signature(
    secret: bytes,
    method: str,
    target: str,
    timestamp: str,
    idempotency_key: str,
    body_sha256: str,
) -> str:
    """The ``Salur-Signature`` of a request."""
    text = f"{_VERSION}\n{method}\n{target}\n{timestamp}\n{idempotency_key}\n{body_sha256}"
    return f"{_VERSION}={hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()}"


class Gate:
    """Lets callers in.

    Args:
        partners: who has which key.
        tolerance_s: how far ``Salur-Timestamp`` may be from now.
    """

    def __init__(self, partners: Partners, tolerance_s: int) -> None:
        self._partners = partners
        self._tolerance_s = tolerance_s

    async def admit(self, asked: Signed, now_s: float) -> Caller:
        """The caller.

        Raises:
            Problem: 401, or 403 for an address that is not on the partner's list.
        """
        if "salur-signature" in asked.headers or "salur-key" in asked.headers:
            caller = await self._by_signature(asked, now_s)
        else:
            caller = await self._by_password(asked.headers.get("authorization", ""))
        if caller.networks and not _listed(asked.address, caller):
            raise Problem("ADDRESS_NOT_ALLOWED", f"{asked.address} is not on the allow-list.")
        return caller

    async def _by_signature(self, asked: Signed, now_s: float) -> Caller:
        headers = asked.headers
        key = headers.get("salur-key", "")
        timestamp = headers.get("salur-timestamp", "")
        given = headers.get("salur-signature", "")
        if not key or not timestamp or not given:
            raise Problem(
                "AUTHENTICATION_REQUIRED",
                "Send Salur-Key, Salur-Timestamp and Salur-Signature together.",
            )
        if not _TIMESTAMP.fullmatch(timestamp):
            raise Problem("TIMESTAMP_OUT_OF_RANGE", "Salur-Timestamp is not unix seconds.")
        caller = await self._partners.caller(key) if _KEY.fullmatch(key) else None
        # An unknown key costs as much as a wrong signature and is answered the same.
        expected = signature(
            caller.secret if caller is not None else b"",
            asked.method,
            asked.target,
            timestamp,
            headers.get("idempotency-key", ""),
            asked.body_sha256,
        )
        fits = any(
            hmac.compare_digest(expected.encode(), one.strip().encode())
            for one in given.split(",", 4)
        )
        if caller is None or not fits:
            raise Problem("SIGNATURE_INVALID", "The key is unknown or the signature does not fit.")
        if abs(now_s - int(timestamp)) > self._tolerance_s:
            raise Problem(
                "TIMESTAMP_OUT_OF_RANGE",
                f"Salur-Timestamp is more than {self._tolerance_s} s from now.",
            )
        return caller

    async def _by_password(self, authorization: str) -> Caller:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            raise Problem("AUTHENTICATION_REQUIRED", "Sign the request, or use a sandbox key.")
        try:
            text = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Problem("AUTHENTICATION_REQUIRED", "HTTP Basic is not base64.") from None
        key, _, secret = text.partition(":")
        caller = await self._partners.caller(key) if _KEY.fullmatch(key) else None
        expected = caller.secret if caller is not None else b""
        if not hmac.compare_digest(expected, secret.encode()) or caller is None:
            raise Problem("SIGNATURE_INVALID", "The key is unknown or its secret does not fit.")
        if caller.environment != "sandbox":
            raise Problem("ENVIRONMENT_NOT_ALLOWED", "A production key is never a password.")
        return caller


def _listed(address: str, caller: Caller) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in caller.networks)
