"""Standard Webhooks 1.0: https://www.standardwebhooks.com, symmetric signatures (``v1``)."""

import base64
import binascii
import hmac

PREFIX = "whsec_"
# The specification's bounds for the random bytes behind the prefix.
_BYTES_MIN, _BYTES_MAX = 24, 64


class SecretError(ValueError):
    """Not ``whsec_`` and base64 of 24 to 64 bytes. Never shows the secret."""


def headers(secret: str, event_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three headers that let a merchant check who sent ``body``, and when.

    Args:
        secret: ``whsec_…``.
        event_id: the same at every attempt, so that a merchant can drop what came before.
        at_s: unix seconds of this attempt.
        body: the raw bytes that are sent.

    Raises:
        SecretError: see there.
    """
    signed = b"%s.%d.%s" % (event_id.encode(), at_s, body)
    digest = hmac.digest(_key(secret), signed, "sha256")
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _key(secret: str) -> bytes:
    try:
        text = secret.removeprefix(PREFIX)
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not secret.startswith(PREFIX) or not _BYTES_MIN <= len(raw) <= _BYTES_MAX:
        raise SecretError(f"a callback secret is {PREFIX} and base64 of 24 to 64 bytes")
    return raw
