"""Health and metrics of a process: /livez, /readyz and /metrics as plain ASGI."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Check = Callable[[], str | None]


class Health:
    """What a process says of itself.

    ``live`` checks fail only if a restart would help; ``ready`` checks fail while work should go
    elsewhere. A check returns None when all is well, else one sentence.
    """

    def __init__(self) -> None:
        self.live: dict[str, Check] = {}
        self.ready: dict[str, Check] = {}

    def routes(self) -> tuple[tuple[str, AsgiApp], ...]:
        return (
            ("/livez", self._answer(self.live)),
            ("/readyz", self._answer(self.ready)),
            ("/metrics", metrics),
        )

    def _answer(self, checks: dict[str, Check]) -> AsgiApp:
        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            wrong = {name: text for name, check in checks.items() if (text := check())}
            body = json.dumps({"status": "fail" if wrong else "ok", **wrong}).encode()
            await respond(send, 503 if wrong else 200, b"application/json", body)

        return app


async def metrics(_scope: Scope, _receive: Receive, send: Send) -> None:
    await respond(send, 200, CONTENT_TYPE_LATEST.encode(), generate_latest(REGISTRY))


async def respond(send: Send, status: int, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
