"""A store's line to the platform: signed requests, and what came back, or that nothing did.

Written from the published signature (docs/api/signature.md), not from the code that checks it.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr

Asked = Literal["redemption", "reversal", "status", "inquiry"]

# Sent again these may be taken in; any other 4xx stays what it is.
_PASSING = {408, 429}
_MASK = "**********"


class Credentials(BaseModel):
    """Where the platform is, and a chain's key there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: HttpUrl
    key: str = Field(min_length=1, max_length=100)
    secret: SecretStr = Field(min_length=1, max_length=500)


@dataclass(slots=True)
class Exchange:
    """One request of a till and what became of it; ``request`` never shows the code."""

    asked: Asked
    method: str
    path: str
    request: dict[str, Any] | None
    sent_at: datetime
    took_ms: float = 0
    status: int | None = None
    """None: nothing came back, and ``error`` says why."""
    answer: Any = None
    error: str = ""
    heard: bool = True
    """False: an answer came, and the till behaves as if none had."""

    def result(self) -> str | None:
        """``valid``, ``accepted``, …; None if it is not a 200 that says so."""
        if self.status != httpx.codes.OK or not isinstance(self.answer, dict):
            return None
        found = self.answer.get("result")
        return found if isinstance(found, str) else None

    def refused(self) -> bool:
        """Whether the request itself is wrong, so that repeating it helps nobody."""
        status = self.status or 0
        return 400 <= status < 500 and status not in _PASSING  # noqa: PLR2004 - HTTP's range


class Line:
    """Asks the platform as one store would."""

    def __init__(self, http: httpx.AsyncClient, credentials: Credentials) -> None:
        self._http = http
        self._credentials = credentials

    async def ask(
        self, asked: Asked, path: str, body: dict[str, Any] | None, timeout_s: float
    ) -> Exchange:
        """Whatever happens is in the exchange; nothing is raised."""
        method = "GET" if body is None else "POST"
        exchange = Exchange(asked, method, path, _masked(body), datetime.now(UTC))
        begun = time.monotonic()
        try:
            # Built anew each time: the timestamp is signed, and too old after five minutes.
            request = signed(self._credentials, method, path, body, time.time(), timeout_s)
            answer = await self._http.send(request)
            exchange.status, exchange.answer = answer.status_code, _parsed(answer)
        except httpx.HTTPError as error:
            exchange.error = type(error).__name__
        exchange.took_ms = round(1000 * (time.monotonic() - begun), 1)
        return exchange


def signed(
    credentials: Credentials,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    now_s: float,
    timeout_s: float,
) -> httpx.Request:
    """The request; its idempotency key is empty, because ``store_ref`` says what repeats."""
    raw = b"" if body is None else orjson.dumps(body)
    url = httpx.URL(str(credentials.url).rstrip("/") + path)
    timestamp = str(int(now_s))
    digest = hashlib.sha256(raw).hexdigest()
    text = f"v1\n{method}\n{url.raw_path.decode()}\n{timestamp}\n\n{digest}"
    secret = credentials.secret.get_secret_value().encode()
    headers = {
        "Salur-Key": credentials.key,
        "Salur-Timestamp": timestamp,
        "Salur-Signature": f"v1={hmac.digest(secret, text.encode(), 'sha256').hex()}",
    }
    if raw:
        headers["Content-Type"] = "application/json"
    limits = httpx.Timeout(timeout_s).as_dict()
    return httpx.Request(method, url, headers=headers, content=raw, extensions={"timeout": limits})


def _masked(body: dict[str, Any] | None) -> dict[str, Any] | None:
    return body | {"code": _MASK} if body and "code" in body else body


def _parsed(answer: httpx.Response) -> Any:
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return answer.text[:500]
