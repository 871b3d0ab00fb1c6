"""The demo merchants over HTTP: they take callbacks, show them, and misbehave when asked to.

The merchant ``demo`` is at ``/merchant/callbacks`` and ``/merchant/mode``; any other is at
``/merchant/<name>/callbacks`` and ``/merchant/<name>/mode``.
"""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.sandbox.bodies import BodyTooLargeError, json_response, read_body
from services.sandbox.deliveries import Callback, Deliveries, complaint

DEMO = "demo"
SHOWN_MAX = 1000


class Mode(BaseModel):
    """How a merchant answers: well by default; an error, late, or both when asked.

    ``status`` replaces the answer to a genuine delivery (500, 410 …); ``delay_s`` comes before any
    answer, so a hang is a delay longer than the sender's deadline; ``next`` is for how many
    deliveries this holds, null for all. A restart forgets it.
    """

    model_config = ConfigDict(extra="forbid")

    status: int = Field(default=200, ge=200, le=599)
    delay_s: float = Field(default=0, ge=0, le=600)
    next: int | None = Field(default=None, ge=0)


class Secret(BaseModel):
    """``merchant`` owns the endpoint: by default ``demo`` for an endpoint id, else the name."""

    model_config = ConfigDict(extra="forbid")

    secret: str = Field(min_length=1, max_length=500)
    merchant: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")


class Merchant:
    def __init__(self, deliveries: Deliveries, body_bytes_max: int) -> None:
        self._deliveries = deliveries
        self._body_bytes_max = body_bytes_max
        self._modes: dict[str, Mode] = {}

    def routes(self) -> list[Route]:
        found = [Route("/merchant/secrets/{endpoint}", self._put_secret, methods=["PUT"])]
        for base in ("/merchant", "/merchant/{name}"):
            found += [
                Route(f"{base}/callbacks", self._receive, methods=["POST"]),
                Route(f"{base}/callbacks", self._list, methods=["GET"]),
                Route(f"{base}/mode", self._put_mode, methods=["PUT"]),
                Route(f"{base}/mode", self._get_mode, methods=["GET"]),
            ]
        return found

    async def _receive(self, request: Request) -> Response:
        """Written down before it is answered: 200 if genuine, 401 if not, else as the mode says."""
        merchant = _merchant(request)
        try:
            body = await read_body(request, self._body_bytes_max)
        except BodyTooLargeError:
            return json_response({"error": "too large"}, 413)
        now = datetime.now(UTC)
        headers = dict(request.headers)
        reason = complaint(headers, body, self._deliveries.secrets(merchant), now)
        mode = self._take_mode(merchant)
        status = 401 if reason else mode.status
        self._deliveries.receive(
            merchant,
            headers.get("webhook-id", ""),
            reason,
            body,
            accepted=200 <= status < 300,  # noqa: PLR2004 - HTTP's successes
            now=now,
        )
        await asyncio.sleep(mode.delay_s)
        return json_response({"verified": not reason, "reason": reason or None}, status)

    async def _list(self, request: Request) -> Response:
        """Filters: ``since`` (ISO 8601), ``after`` (number), ``reference`` (or id), ``type``."""
        query = request.query_params
        try:
            # In a query a bare + is a space, which is how people paste an offset.
            since = datetime.fromisoformat(
                query.get("since", "1970-01-01T00:00Z").replace(" ", "+")
            )
            after = int(query.get("after", "0"))
            limit = min(int(query.get("limit", "100")), SHOWN_MAX)
            rows = [
                row
                for row in self._deliveries.find(_merchant(request), query.get("reference"))
                if row.number > after and row.last_received_at >= since
            ]
        except (ValueError, TypeError):
            return json_response({"error": "since is ISO 8601 with offset, the rest numbers"}, 400)
        rows = _of_type(rows, query.get("type"))
        verified = sum(1 for row in rows if row.verified)
        return json_response(
            {
                "total": len(rows),
                "verified": verified,
                "data": [_shown(row) for row in rows[: max(limit, 0)]],
            }
        )

    async def _put_secret(self, request: Request) -> Response:
        endpoint = request.path_params["endpoint"]
        try:
            asked = Secret.model_validate_json(await read_body(request, 4096))
            # An endpoint id says nothing about its merchant.
            default = DEMO if re.match(r"endp_", endpoint) else endpoint
            self._deliveries.set_secret(endpoint, asked.merchant or default, asked.secret)
        except (ValidationError, ValueError, BodyTooLargeError):
            return json_response({"error": 'send {"secret": "whsec_<base64>"}'}, 422)
        return json_response({"endpoint": endpoint, "merchant": asked.merchant or default})

    async def _put_mode(self, request: Request) -> Response:
        try:
            mode = Mode.model_validate_json(await read_body(request, 4096))
        except (ValidationError, BodyTooLargeError):
            return json_response({"error": 'send {"status": 500, "delay_s": 0, "next": 3}'}, 422)
        self._modes[_merchant(request)] = mode
        return json_response(mode.model_dump())

    async def _get_mode(self, request: Request) -> Response:
        return json_response(self._modes.get(_merchant(request), Mode()).model_dump())

    def _take_mode(self, merchant: str) -> Mode:
        mode = self._modes.get(merchant, Mode())
        if mode.next is None:
            return mode
        if mode.next == 0:
            return Mode()
        self._modes[merchant] = mode.model_copy(update={"next": mode.next - 1})
        return mode


def _merchant(request: Request) -> str:
    return str(request.path_params.get("name", DEMO))


def _of_type(rows: Iterable[Callback], wanted: str | None) -> list[Callback]:
    return [row for row in rows if wanted is None or row.type() == wanted]


def _shown(row: Callback) -> dict[str, Any]:
    return {"type": row.type(), **asdict(row)}
