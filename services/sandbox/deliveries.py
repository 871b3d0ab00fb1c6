"""What the demo merchants know: their secrets, and each callback that arrived, genuine or not."""

import base64
import binascii
import hashlib
import hmac
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from services.sandbox.journal import Journal

TOLERANCE_S = 300
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix is public, see the Standard Webhooks spec


@dataclass(slots=True)
class Callback:
    """One webhook id of one merchant; a forged one under the same id is another row."""

    number: int
    merchant: str
    webhook_id: str
    verified: bool
    reason: str
    """Why it was not verified; "" if it was."""
    body: Any
    """Parsed, or the text if it is not JSON."""
    received_at: datetime
    last_received_at: datetime
    sha256: str
    """Of the raw body that came first."""
    times: int = 1
    times_accepted: int = 0
    """How often the merchant answered 2xx."""
    times_changed: int = 0
    """How often another body came under the same id, which a genuine sender never does."""

    def type(self) -> str | None:
        return self.body.get("type") if isinstance(self.body, dict) else None

    def names(self) -> set[str]:
        """The references and ids by which it can be found."""
        data = self.body.get("data") if isinstance(self.body, dict) else None
        found = [data.get("reference"), data.get("id")] if isinstance(data, dict) else []
        return {name for name in found if isinstance(name, str)}


class Deliveries:
    """Callbacks and secrets, in a journal so that a killed merchant still knows them."""

    def __init__(self, journal: Journal, kept_max: int) -> None:
        self._journal = journal
        self._kept_max = kept_max
        self._secrets: dict[str, tuple[str, bytes]] = {}
        self._rows: deque[Callback] = deque()
        self._by_id: dict[tuple[str, str, bool], Callback] = {}
        self._by_name: dict[str, list[Callback]] = {}
        self._numbers = 0
        for fact in journal.lines():
            if fact["kind"] == "secret":
                self._secrets[fact["name"]] = (fact["merchant"], secret_bytes(fact["secret"]))
            else:
                self._apply(fact)

    def set_secret(self, name: str, merchant: str, secret: str) -> None:
        """``name`` is the endpoint's; a merchant may have several endpoints.

        Raises:
            ValueError: the secret is not ``whsec_`` and base64.
        """
        decoded = secret_bytes(secret)
        self._journal.append(
            {"kind": "secret", "name": name, "merchant": merchant, "secret": secret}
        )
        self._secrets[name] = (merchant, decoded)

    def secrets(self, merchant: str) -> list[bytes]:
        return [secret for owner, secret in self._secrets.values() if owner == merchant]

    def receive(
        self,
        merchant: str,
        webhook_id: str,
        reason: str,
        body: bytes,
        *,
        accepted: bool,
        now: datetime,
    ) -> Callback:
        fact = {
            "kind": "callback",
            "merchant": merchant,
            "webhook_id": webhook_id,
            "reason": reason,
            "at": now.isoformat(),
            "accepted": accepted,
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        # A genuine repetition has the same body, so it is written once.
        if (merchant, webhook_id, not reason) not in self._by_id:
            fact["body"] = body.decode("utf-8", "replace")
        self._journal.append(fact)
        return self._apply(fact)

    def find(self, merchant: str, name: str | None) -> Iterable[Callback]:
        """A merchant's callbacks in the order of their first arrival."""
        rows = self._rows if name is None else self._by_name.get(name, [])
        return (row for row in rows if row.merchant == merchant)

    def _apply(self, fact: dict[str, Any]) -> Callback:
        key = (fact["merchant"], fact["webhook_id"], not fact["reason"])
        at = datetime.fromisoformat(fact["at"])
        row = self._by_id.get(key)
        if row is None:
            row = self._new(key, fact, at)
        else:
            row.times += 1
            row.last_received_at = at
            row.times_changed += fact["sha256"] != row.sha256
        row.times_accepted += fact["accepted"]
        return row

    def _new(self, key: tuple[str, str, bool], fact: dict[str, Any], at: datetime) -> Callback:
        merchant, webhook_id, verified = key
        self._numbers += 1
        body = _parsed(fact.get("body", ""))
        row = Callback(
            number=self._numbers,
            merchant=merchant,
            webhook_id=webhook_id,
            verified=verified,
            reason=fact["reason"],
            body=body,
            received_at=at,
            last_received_at=at,
            sha256=fact["sha256"],
        )
        self._rows.append(row)
        self._by_id[key] = row
        for name in row.names():
            self._by_name.setdefault(name, []).append(row)
        if len(self._rows) > self._kept_max:
            self._drop(self._rows.popleft())
        return row

    def _drop(self, row: Callback) -> None:
        del self._by_id[row.merchant, row.webhook_id, row.verified]
        for name in row.names():
            self._by_name[name].remove(row)
            if not self._by_name[name]:
                del self._by_name[name]


def secret_bytes(secret: str) -> bytes:
    """The key behind ``whsec_<base64>``."""
    try:
        decoded = base64.b64decode(secret.removeprefix(SECRET_PREFIX).encode(), validate=True)
    except binascii.Error:
        decoded = b""
    if not decoded:
        raise ValueError("a secret is whsec_ and base64")
    return decoded


def complaint(headers: dict[str, str], body: bytes, secrets: list[bytes], now: datetime) -> str:
    """Why a Standard Webhooks delivery is not genuine; "" if it is.

    The signature is over the raw bytes, ``<id>.<timestamp>.<body>``. The header may hold several,
    because both keys sign while a secret is being changed; one that is right is enough.
    """
    webhook_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not webhook_id or not headers.get("webhook-signature"):
        return "a webhook header is missing"
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):  # noqa: PLR2004
        return "webhook-timestamp is not in unix seconds"
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_S:
        return f"webhook-timestamp is more than {TOLERANCE_S} s away"
    if not secrets:
        return "no secret is registered for this merchant"
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    claims = [
        claim.removeprefix("v1,").encode()
        for claim in headers["webhook-signature"].split()
        if claim.startswith("v1,")
    ]
    for secret in secrets:
        right = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256))
        if any(hmac.compare_digest(right, claim) for claim in claims):
            return ""
    return "no signature matches"


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
