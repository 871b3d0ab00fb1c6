"""A partner's client, written from docs/api and not from the gateway's code."""

import hashlib
import hmac
import json
import time
from typing import Any, Self

import httpx

from services._kit.http import Transport

_TIMEOUT = httpx.Timeout(30).as_dict()


class PartnerClient:
    """Signs every request as docs/api/signature.md says.

    Args:
        url: of the gateway.
        key: ``key_…``.
        secret: shown once when the key was made.
    """

    def __init__(self, url: str, key: str, secret: str) -> None:
        # A load generator must not wait for its own connections, nor use much of the machine, so
        # there is a transport and no client above it.
        self._url = url
        self._http = Transport(
            httpx.create_ssl_context(trust_env=False), connections_max=2000, keepalive_s=4
        )
        self._key = key
        self._secret = secret.encode()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str) -> httpx.Response:
        return await self._send("GET", path, b"", "", {})

    async def post(
        self, path: str, body: Any, *, idempotency_key: str = "", prefer: str | None = None
    ) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        if prefer is not None:
            headers["Prefer"] = prefer
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self._send("POST", path, raw, idempotency_key, headers)

    async def _send(
        self, method: str, path: str, raw: bytes, idempotency_key: str, headers: dict[str, str]
    ) -> httpx.Response:
        stamp = str(int(time.time()))
        text = "\n".join(
            ("v1", method, path, stamp, idempotency_key, hashlib.sha256(raw).hexdigest())
        )
        signature = hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
        request = httpx.Request(
            method,
            self._url + path,
            content=raw,
            headers={
                **headers,
                "Salur-Key": self._key,
                "Salur-Timestamp": stamp,
                "Salur-Signature": f"v1={signature}",
            },
            extensions={"timeout": _TIMEOUT},
        )
        response = await self._http.handle_async_request(request)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response


def to_bank(reference: str, amount: int, account: str = "0123456789", **more: Any) -> Any:
    """The body of a disbursement to a bank account."""
    return {
        "reference": reference,
        "amount": amount,
        "currency": "IDR",
        "destination": {"type": "bank_account", "bank": "BCA", "account_number": account},
        **more,
    }


def to_wallet(
    reference: str, amount: int, wallet: str = "GOPAY", phone: str = "081234567890", **more: Any
) -> Any:
    """The body of a disbursement to an e-wallet."""
    return {
        "reference": reference,
        "amount": amount,
        "currency": "IDR",
        "destination": {"type": "e_wallet", "wallet": wallet, "phone": phone},
        **more,
    }
