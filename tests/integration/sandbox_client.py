"""A partner of the play bank, written from SNAP BI and not from the platform's client."""

import asyncio
import base64
import hashlib
import hmac
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from services.sandbox.app import create_app
from services.sandbox.keys import make_keys
from services.sandbox.settings import Settings

WIB = timezone(timedelta(hours=7))
T = TypeVar("T")
numbers = count(1)

Listener = Callable[[httpx.Request], httpx.Response]


@cache
def sandbox_keys() -> dict[str, Path]:
    """One set for the whole run, because RSA keys are slow to make."""
    return make_keys(Path(tempfile.mkdtemp(prefix="sandbox-keys-")))


def sandbox_settings(folder: Path, **changes: Any) -> Settings:
    """A sandbox that keeps its journals in ``folder`` and waits for nothing long."""
    keys = sandbox_keys()
    quick = {
        "latency_ms": 0,
        "hang_s": 0.05,
        "pending_s": 0.3,
        "return_after_s": 0.3,
        "notify_backoff_s": 0.05,
        "notify_url": "http://gateway.test",
        "till_silent_s": 0.2,
        "till_late_s": 0.2,
        "till_reversal_timeout_s": 0.2,
        "till_reversal_every_s": 0.02,
    }
    return Settings(
        port=0,
        health_port=0,
        data_dir=folder,
        client_id=keys["client_id"].read_text(),
        client_secret=keys["client_secret"].read_text(),
        client_public_key=keys["client_public.pem"].read_text(),
        bank_private_key=keys["bank_private.pem"].read_text(),
        **(quick | changes),
    )


@asynccontextmanager
async def open_sandbox(
    folder: Path,
    listener: Listener | None = None,
    stores: httpx.AsyncBaseTransport | None = None,
    **changes: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """The sandbox as ASGI; opening it on the same folder again is a restart. ``listener`` hears
    the bank's notices, ``stores`` what the tills ask.
    """
    heard = httpx.MockTransport(listener or (lambda _request: httpx.Response(200)))
    app = create_app(sandbox_settings(folder, **changes), heard, stores)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://sandbox.test") as http,
    ):
        yield http


@asynccontextmanager
async def open_bank(
    folder: Path, listener: Listener | None = None, **changes: Any
) -> AsyncIterator["Client"]:
    async with open_sandbox(folder, listener, **changes) as http:
        yield Client(http)


class Client:
    """Signs as SNAP BI says; ``access_token`` is asked for at the first call."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        keys = sandbox_keys()
        self.http = http
        self.client_id = keys["client_id"].read_text()
        self.secret = keys["client_secret"].read_text()
        key = serialization.load_pem_private_key(keys["client_private.pem"].read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self.key = key
        self.access_token = ""

    async def ask_token(self, **changes: str) -> httpx.Response:
        timestamp = changes.get("timestamp", stamp())
        client = changes.get("client", self.client_id)
        text = f"{client}|{timestamp}".encode()
        signature = base64.b64encode(self.key.sign(text, padding.PKCS1v15(), hashes.SHA256()))
        headers = {
            "X-TIMESTAMP": timestamp,
            "X-CLIENT-KEY": client,
            "X-SIGNATURE": changes.get("signature", signature.decode()),
        }
        body = {"grantType": changes.get("grant", "client_credentials")}
        url = "/bank/v1.0/access-token/b2b"
        return await self.http.post(url, headers=headers, json=body)

    async def call(
        self, path: str, body: dict[str, Any] | bytes, **headers: str | None
    ) -> httpx.Response:
        """Post to ``/v1.0<path>``; ``headers`` replace what would be right, None leaves out."""
        if not self.access_token:
            self.access_token = (await self.ask_token()).json()["accessToken"]
        raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        timestamp = headers.pop("X_TIMESTAMP", None) or stamp()
        digest = hashlib.sha256(raw).hexdigest()
        text = f"POST:/v1.0{path}:{self.access_token}:{digest}:{timestamp}"
        signature = hmac.new(self.secret.encode(), text.encode(), hashlib.sha512).digest()
        sent: dict[str, str | None] = {
            "Authorization": f"Bearer {self.access_token}",
            "X-TIMESTAMP": timestamp,
            "X-SIGNATURE": base64.b64encode(signature).decode(),
            "X-PARTNER-ID": self.client_id,
            "X-EXTERNAL-ID": f"{next(numbers):020d}",
            "CHANNEL-ID": "95221",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        right = {name: value for name, value in sent.items() if value is not None}
        return await self.http.post(f"/bank/v1.0{path}", headers=right, content=raw)

    async def pay(
        self, reference: str, account: str = "0123456789", **changes: Any
    ) -> httpx.Response:
        headers = {name: changes.pop(name) for name in list(changes) if name.startswith("X_")}
        return await self.call(
            "/transfer-interbank", transfer(reference, account) | changes, **headers
        )

    async def status(self, reference: str, service: str = "18") -> dict[str, Any]:
        body = {"originalPartnerReferenceNo": reference, "serviceCode": service}
        found: dict[str, Any] = (await self.call("/transfer/status", body)).json()
        return found

    async def statement(self, **changes: Any) -> dict[str, Any]:
        now = datetime.now(WIB)
        window = {
            "fromDateTime": (now - timedelta(hours=1)).isoformat(),
            "toDateTime": (now + timedelta(hours=1)).isoformat(),
        }
        found: dict[str, Any] = (await self.call("/bank-statement", window | changes)).json()
        return found

    async def executions(self, reference: str = "") -> list[dict[str, Any]]:
        found = await self.http.get("/bank/executions", params={"reference": reference})
        rows: list[dict[str, Any]] = found.json()["data"]
        return rows


def stamp(shift_s: float = 0) -> str:
    return (datetime.now(WIB) + timedelta(seconds=shift_s)).isoformat(timespec="seconds")


def transfer(reference: str, account: str = "0123456789") -> dict[str, Any]:
    return {
        "partnerReferenceNo": reference,
        "amount": {"value": "150000.00", "currency": "IDR"},
        "beneficiaryAccountName": "ANI",
        "beneficiaryAccountNo": account,
        "beneficiaryBankCode": "CENAIDJA",
        "sourceAccountNo": "1122334455",
        "transactionDate": stamp(),
    }


async def until(check: Callable[[], Awaitable[T]], deadline_s: float = 5) -> T:
    """The first true answer of an asynchronous check."""
    end = time.monotonic() + deadline_s
    while not (found := await check()):
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)
    return found
