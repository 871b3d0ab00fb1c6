"""A platform as a store sees it: it checks the signature and answers as docs/api says."""

import hashlib
import hmac
import json
import time
from typing import Any

import httpx

KEY, SECRET = "key_0123456789ABCDEFGHJKMNPQRS", "sk_sandbox_a-secret"
CODE = "4821093756"


class Platform(httpx.AsyncBaseTransport):
    """Pays ``CODE``; ``loses`` and ``breaks`` are for how many requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.standing: dict[str, str] = {}
        self.loses = 0
        self.breaks = 0
        self.paid = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        assert genuine(request), "a till signs what it sends"
        self.asked.append((request.url.path, body))
        if self.breaks:
            self.breaks -= 1
            return httpx.Response(503, json={"code": "UNAVAILABLE"})
        answer = self._answer(request, body)
        if self.loses:
            self.loses -= 1
            raise httpx.ReadTimeout("nothing came", request=request)
        return answer

    def _answer(self, request: httpx.Request, body: dict[str, Any]) -> httpx.Response:
        if request.method == "GET":
            found = self.standing.get(request.url.path.rpartition("/")[2], "undecided")
            return httpx.Response(200, json={"result": found})
        if request.url.path == "/v1/retail/inquiries":
            return httpx.Response(200, json={"result": "valid"})
        reference = body["store_ref"]
        if request.url.path == "/v1/retail/reversals":
            effects = {"valid": "reversed", "reversed": "already_reversed"}
            effect = effects.get(self.standing.get(reference, ""), "nothing_paid")
            self.standing[reference] = "reversed"
            return httpx.Response(200, json={"result": "accepted", "effect": effect})
        return self._redeem(reference, body)

    def _redeem(self, reference: str, body: dict[str, Any]) -> httpx.Response:
        if self.standing.get(reference) == "reversed":
            return httpx.Response(200, json={"result": "invalid", "reason": "REVERSED_BY_STORE"})
        if body["code"] != CODE:
            return httpx.Response(200, json={"result": "invalid", "reason": "INVALID_CODE"})
        self.paid += self.standing.get(reference) != "valid"
        self.standing[reference] = "valid"
        return httpx.Response(200, json={"result": "valid", "receipt": {"text": "TARIK TUNAI"}})

    def paths(self) -> list[str]:
        return [path.rpartition("/")[2] for path, _ in self.asked]


def genuine(request: httpx.Request) -> bool:
    headers = request.headers
    text = "\n".join(
        (
            "v1",
            request.method,
            request.url.raw_path.decode(),
            headers["Salur-Timestamp"],
            "",
            hashlib.sha256(request.content).hexdigest(),
        )
    )
    right = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    fresh = abs(time.time() - int(headers["Salur-Timestamp"])) < 5
    return fresh and headers["Salur-Key"] == KEY and headers["Salur-Signature"] == f"v1={right}"
