"""Signatures of SNAP BI (1.0.2, "Standar Teknis dan Keamanan"), as pure functions over raw bytes.

Whoever signs and whoever checks must see the same bytes: nothing here parses or re-serialises a
body. What is sent is already minified, so "minify(body)" of the standard is the body itself.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

JAKARTA = timezone(timedelta(hours=7))
# 2048 bits is what SNAP BI asks for; a shorter key is a mistake in a setting.
_RSA_BITS_MIN = 2048
_TIMESTAMP_CHARS_MAX = 40


class SnapKeyError(Exception):
    """A key is not PEM, not RSA, too short, or its file cannot be read; never shows the key."""


class NoticeRefused(Exception):  # noqa: N818 - the sender is refused; nothing failed here
    """A notice is not from the bank, or not from now; the text says which check it failed."""


def timestamp(moment: datetime) -> str:
    """``2026-01-31T09:00:00+07:00``: 25 characters, as X-TIMESTAMP and transactionDate want it."""
    return moment.astimezone(JAKARTA).isoformat(timespec="seconds")


def token_signature(private_key: RSAPrivateKey, client_id: str, at: str) -> str:
    """X-SIGNATURE of ``/access-token/b2b``: base64 SHA256withRSA over ``clientId|timestamp``."""
    return _rsa_sign(private_key, f"{client_id}|{at}")


def verify_token_signature(
    public_key: RSAPublicKey, client_id: str, at: str, signature: str
) -> bool:
    return _rsa_verify(public_key, f"{client_id}|{at}", signature)


def service_signature(
    secret: str, *, method: str, path: str, token: str, body: bytes, at: str
) -> str:
    """X-SIGNATURE of a service call: base64 HMAC-SHA512 with the client secret.

    Args:
        secret: the client secret.
        method: ``POST``.
        path: the relative URL, ``/v1.0/...``.
        token: the access token, without ``Bearer``.
        body: the raw bytes that are sent.
        at: the X-TIMESTAMP that is sent.
    """
    text = f"{method}:{path}:{token}:{_body_hash(body)}:{at}"
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha512")).decode()


def verify_service_signature(
    secret: str, *, method: str, path: str, token: str, body: bytes, at: str, signature: str
) -> bool:
    expected = service_signature(secret, method=method, path=path, token=token, body=body, at=at)
    return hmac.compare_digest(expected.encode(), signature.encode())


def notice_signature(
    private_key: RSAPrivateKey, *, method: str, path: str, body: bytes, at: str
) -> str:
    """X-SIGNATURE of what the bank sends by itself: asymmetric, without a token."""
    return _rsa_sign(private_key, f"{method}:{path}:{_body_hash(body)}:{at}")


def verify_notice(
    public_key: RSAPublicKey,
    *,
    method: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    now: datetime,
    tolerance_s: float = 300,
) -> None:
    """Check that the bank signed this body for this path, and lately.

    Args:
        public_key: the bank's.
        method: ``POST``.
        path: the path that the bank called, as it signed it.
        body: the raw bytes that came.
        headers: of the request; their names in any case.
        now: aware.
        tolerance_s: how far X-TIMESTAMP may be from ``now``, on either side.

    Raises:
        NoticeRefused: a header is missing, too old or too new, or the signature does not fit.
    """
    found = {name.lower(): value for name, value in headers.items()}
    at, signature = found.get("x-timestamp", ""), found.get("x-signature", "")
    if not at or not signature:
        raise NoticeRefused("X-TIMESTAMP or X-SIGNATURE is missing")
    age_s = abs((now - _moment(at)).total_seconds())
    if age_s > tolerance_s:
        raise NoticeRefused(f"X-TIMESTAMP is more than {tolerance_s:g} s away")
    if not _rsa_verify(public_key, f"{method}:{path}:{_body_hash(body)}:{at}", signature):
        raise NoticeRefused("X-SIGNATURE does not fit")


def private_key_from(pem_or_path: str) -> RSAPrivateKey:
    """The key in a PEM text, or in the file that is named.

    Raises:
        SnapKeyError: see there.
    """
    try:
        key = load_pem_private_key(_pem(pem_or_path), password=None)
    except (ValueError, TypeError):
        raise SnapKeyError("not an RSA private key in PEM without a passphrase") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _RSA_BITS_MIN:
        raise SnapKeyError(f"not an RSA private key of at least {_RSA_BITS_MIN} bits")
    return key


def public_key_from(pem_or_path: str) -> RSAPublicKey:
    """The key in a PEM text, or in the file that is named.

    Raises:
        SnapKeyError: see there.
    """
    try:
        key = load_pem_public_key(_pem(pem_or_path))
    except ValueError:
        raise SnapKeyError("not an RSA public key in PEM") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < _RSA_BITS_MIN:
        raise SnapKeyError(f"not an RSA public key of at least {_RSA_BITS_MIN} bits")
    return key


def _pem(pem_or_path: str) -> bytes:
    text = pem_or_path.strip()
    if text.startswith("-----BEGIN"):
        return text.encode()
    try:
        return Path(text).read_bytes()
    except (OSError, ValueError):
        # Without the value: it may be a key whose first line was lost.
        raise SnapKeyError("neither PEM nor the path of a readable file") from None


def _body_hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _moment(text: str) -> datetime:
    if len(text) > _TIMESTAMP_CHARS_MAX:
        raise NoticeRefused("X-TIMESTAMP is not ISO-8601")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise NoticeRefused("X-TIMESTAMP is not ISO-8601") from None
    if moment.tzinfo is None:
        raise NoticeRefused("X-TIMESTAMP has no offset")
    return moment


def _rsa_sign(key: RSAPrivateKey, text: str) -> str:
    signature = key.sign(text.encode(), padding.PKCS1v15(), SHA256())
    return base64.b64encode(signature).decode()


def _rsa_verify(key: RSAPublicKey, text: str, signature: str) -> bool:
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, text.encode(), padding.PKCS1v15(), SHA256())
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True
