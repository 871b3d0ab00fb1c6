"""The one layer between the wire and an operation: body, signature, limits, problems, metrics.

It is plain ASGI, because each middleware and each dependency would cost more than the operation.
The order of its checks is the published order of status codes: of several, the first is answered.
"""

import asyncio
import hashlib
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import parse_qsl

import orjson
import structlog
from prometheus_client import Histogram
from pydantic import BaseModel, ValidationError

from contracts.ids import new_public_id
from services._kit import tracing
from services._kit.failures import ConflictError, OutageError
from services.gateway.auth import Gate, Signed
from services.gateway.http.models import field_errors, is_malformed
from services.gateway.http.problems import CONTENT_TYPE, Problem, from_errors
from services.gateway.limits import Limits
from services.gateway.outlet import NotAcknowledgedError
from services.gateway.partners import Caller, Role

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

http_s = Histogram(
    "salur_http_seconds",
    "Time from the request's head to its answer",
    ["operation", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)

# A body over the limit is still read up to here, so that its signature can be checked first.
BODY_READ_MAX = 1024 * 1024
QUERY_CHARS_MAX = 4096
# The longest ``Prefer: wait`` and the database's patience fit into it, and most callers' is 30 s.
ANSWER_S = 27.0
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back; ``body`` is JSON-like."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Call(Generic[B]):
    """A request that was let in. ``refusal`` is what is wrong with it beside 404 and 409, which
    come first and only the operation knows: it calls ``refuse`` when it has looked. ``started_s``
    is when its head arrived, on the monotonic clock.
    """

    caller: Caller
    body: B | None
    raw: bytes
    key: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    prefer: str
    refusal: Problem | None
    started_s: float = field(default_factory=time.monotonic)

    def refuse(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def asked(self) -> B:
        """The parsed body, of a call that is not refused."""
        self.refuse()
        assert self.body is not None, "only an operation with a model has a body"
        return self.body


class Operation(ABC):
    """What is done for a caller. ``model`` None: it takes no body. ``keyed``: it moves money or
    cancels, so it needs an Idempotency-Key. ``role``: whose keys may call it. Whatever hangs behind
    the gateway, it is answered after ``answer_s``, then with the problem ``late``.
    """

    name: str
    answer_s: float = ANSWER_S
    late: ClassVar[str] = "UNAVAILABLE"
    role: ClassVar[Role] = "partner"
    model: ClassVar[type[BaseModel] | None] = None
    keyed: ClassVar[bool] = False

    @abstractmethod
    async def __call__(self, call: Call[Any]) -> Answer:
        """The answer; a Problem is raised."""


@dataclass(slots=True)
class _Body:
    raw: bytes
    sha256: str
    too_large: bool


class Edge:
    """An operation as an ASGI endpoint."""

    def __init__(
        self,
        operation: Operation,
        gate: Gate,
        limits: Limits,
        *,
        body_bytes_max: int,
        problems_url: str,
    ) -> None:
        self._operation = operation
        self._gate = gate
        self._limits = limits
        self._bytes_max = body_bytes_max
        self._problems_url = problems_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        request_id = new_public_id("req")
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        trace = tuple((n, headers[n]) for n in tracing.CARRIED if n in headers)
        try:
            # A body that trickles in is nobody's work yet and takes nobody's place.
            read = await self._read(receive)
            with self._limits.one(), tracing.continued(self._operation.name, trace):
                answer = await self._in_time(scope, read, headers, started)
            status, extra = answer.status, answer.headers
            body, kind = orjson.dumps(answer.body), "application/json"
        except _GoneError:
            return
        except Problem as problem:
            status, extra = problem.type.status, problem.headers
            body, kind = problem.body(self._problems_url, request_id), CONTENT_TYPE
        except Exception as error:  # noqa: BLE001 - a bug is answered and logged with its id
            found = _unexpected(error, self._operation.name, request_id)
            status, extra = found.type.status, found.headers
            body, kind = found.body(self._problems_url, request_id), CONTENT_TYPE
        http_s.labels(self._operation.name, status).observe(time.monotonic() - started)
        await _send(send, status, kind, body, {"Salur-Request-Id": request_id, **extra})

    async def _in_time(
        self, scope: Scope, body: _Body, headers: dict[str, str], started: float
    ) -> Answer:
        operation = self._operation
        try:
            async with asyncio.timeout(started + operation.answer_s - time.monotonic()) as limit:
                return await self._answer(scope, body, headers, started)
        except TimeoutError:
            if not limit.expired():
                raise
            log.warning("something behind the gateway hangs", operation=operation.name)
            raise Problem(operation.late) from None

    async def _answer(
        self, scope: Scope, body: _Body, headers: dict[str, str], started: float
    ) -> Answer:
        operation = self._operation
        key = headers.get("idempotency-key", "")
        if operation.keyed and not _IDEMPOTENCY_KEY.fullmatch(key):
            raise Problem("IDEMPOTENCY_KEY_MISSING")
        parsed, wrong = self._parsed(body)
        caller = await self._gate.admit(_signed(scope, headers, body.sha256), time.time())
        if caller.role != operation.role:
            raise Problem("KEY_NOT_ALLOWED", f"This is for keys of a {operation.role}.")
        call: Call[Any] = Call(
            caller,
            parsed,
            body.raw,
            key,
            scope.get("path_params", {}),
            _query(scope),
            headers.get("prefer", ""),
            self._refusal(body, headers.get("content-type", ""), wrong, caller.owner),
            started,
        )
        return await operation(call)

    async def _read(self, receive: Receive) -> _Body:
        digest, kept, size = hashlib.sha256(), [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > BODY_READ_MAX:
                raise Problem("BODY_TOO_LARGE", headers={"Connection": "close"})
            digest.update(chunk)
            if size <= self._bytes_max:
                kept.append(chunk)
            if not message.get("more_body"):
                return _Body(b"".join(kept), digest.hexdigest(), size > self._bytes_max)

    def _parsed(self, body: _Body) -> tuple[BaseModel | None, Problem | None]:
        model = self._operation.model
        if model is None or body.too_large:
            return None, None
        needed = any(one.is_required() for one in model.model_fields.values())
        try:
            return model.model_validate_json(body.raw or (b"" if needed else b"{}")), None
        except ValidationError as error:
            if is_malformed(error):
                raise Problem("MALFORMED_JSON") from None
            return None, from_errors(field_errors(error))

    def _refusal(
        self, body: _Body, content_type: str, wrong: Problem | None, owner: str
    ) -> Problem | None:
        """413, 415, 422, 429, 503: the first of them."""
        wait_s = self._limits.take(owner)
        if body.too_large:
            return Problem("BODY_TOO_LARGE")
        kind = content_type.partition(";")[0].strip().lower()
        if body.raw and self._operation.model is not None and kind != "application/json":
            return Problem("UNSUPPORTED_MEDIA_TYPE")
        if wrong is not None:
            return wrong
        if wait_s > 0:
            return Problem("RATE_LIMITED", headers={"Retry-After": str(int(wait_s) + 1)})
        return Problem("OVERLOADED") if self._limits.overloaded else None


class _GoneError(Exception):
    """The caller hung up before it had sent everything."""


def _unexpected(error: Exception, operation: str, request_id: str) -> Problem:
    if isinstance(error, OutageError | NotAcknowledgedError | ConflictError | TimeoutError):
        log.warning("not taken in", operation=operation, request=request_id, reason=str(error))
        return Problem("UNAVAILABLE")
    log.error("an operation failed", operation=operation, request=request_id, exc_info=error)
    return Problem("INTERNAL_ERROR")


def _signed(scope: Scope, headers: Mapping[str, str], sha256: str) -> Signed:
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    client = scope.get("client")
    return Signed(
        scope["method"],
        f"{path}?{query}" if query else path,
        headers,
        sha256,
        client[0] if client else "",
    )


def _query(scope: Scope) -> dict[str, str]:
    text = scope["query_string"][:QUERY_CHARS_MAX].decode("latin-1")
    return dict(parse_qsl(text, keep_blank_values=True))


async def _send(
    send: Send, status: int, kind: str, body: bytes, headers: Mapping[str, str]
) -> None:
    sent = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})
