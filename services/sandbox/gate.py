"""Who may call the bank: tokens by RSA, every other call by HMAC. Written from SNAP BI alone.

``relativeUrl`` in a signature is the path after the rail's base URL: with the base URL
``http://host:port/bank`` a client posts to ``/bank/v1.0/transfer-interbank`` and signs
``/v1.0/transfer-interbank``. The body is minified here by dropping the white space between tokens
of the raw bytes, never by parsing and writing it again, so a client that sends minified JSON signs
exactly the bytes that it sends.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from services.sandbox.settings import Settings, public_key
from services.sandbox.snap import Fields, RefusalError, parsed_time

BASE = "/bank"
# Name of each header that a service call must have, and its greatest length.
CALL_HEADERS = {
    "authorization": 2048,
    "x-timestamp": 32,
    "x-signature": 1024,
    "x-partner-id": 36,
    "x-external-id": 36,
    "channel-id": 5,
}
_TEXT_OR_SPACE = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')


class Gate:
    """Checks signatures and remembers tokens; a restart forgets them, as a bank's may."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._public_key = public_key(settings.client_public_key)
        self._secret = settings.client_secret.get_secret_value().encode()
        self._tolerance = timedelta(seconds=settings.timestamp_tolerance_s)
        self._tokens: dict[str, datetime] = {}

    def token(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
        """A new access token for a request that the client's private key signed."""
        client = _header(headers, "x-client-key", 36)
        timestamp = _header(headers, "x-timestamp", 32)
        signature = _header(headers, "x-signature", 1024)
        self._check_time(timestamp, now)
        if client != self._settings.client_id:
            raise RefusalError("401xx00", "[Unknown client]")
        try:
            self._public_key.verify(
                base64.b64decode(signature.encode(), validate=True),
                f"{client}|{timestamp}".encode(),
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
        except (InvalidSignature, binascii.Error):
            raise RefusalError("401xx00", "[Signature]") from None
        Fields.of(body).text("grantType", 32, "client_credentials")
        return self._new_token(now)

    def admit(self, path: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Refuse a service call whose token, signature or time is not right."""
        found = {name: _header(headers, name, longest) for name, longest in CALL_HEADERS.items()}
        token = found["authorization"].removeprefix("Bearer ")
        expires_at = self._tokens.get(token)
        if expires_at is None or expires_at <= now:
            raise RefusalError("401xx01")
        digest = hashlib.sha256(minified(body)).hexdigest()
        relative = path.removeprefix(BASE)
        text = f"POST:{relative}:{token}:{digest}:{found['x-timestamp']}"
        right = hmac.digest(self._secret, text.encode(), "sha512")
        if not hmac.compare_digest(base64.b64encode(right), found["x-signature"].encode()):
            raise RefusalError("401xx00", "[Signature]")
        self._check_time(found["x-timestamp"], now)

    def _check_time(self, timestamp: str, now: datetime) -> None:
        if abs(parsed_time(timestamp, "X-TIMESTAMP") - now) > self._tolerance:
            raise RefusalError("401xx00", "[X-TIMESTAMP is too far from the bank's clock]")

    def _new_token(self, now: datetime) -> str:
        self._tokens = {token: end for token, end in self._tokens.items() if end > now}
        token = secrets.token_urlsafe(32)
        self._tokens[token] = now + timedelta(seconds=self._settings.token_life_s)
        return token


def minified(body: bytes) -> bytes:
    """The JSON without white space between its tokens; every other byte stays as it was."""
    return _TEXT_OR_SPACE.sub(lambda found: found[1] or b"", body)


def _header(headers: Mapping[str, str], name: str, longest: int) -> str:
    value = headers.get(name, "")
    if not value:
        raise RefusalError("400xx02", f"{{{name.upper()}}}")
    if len(value) > longest:
        raise RefusalError("400xx01", f"{{{name.upper()}}}")
    return value
