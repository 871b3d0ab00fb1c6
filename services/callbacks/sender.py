"""The calls to merchants: one signed POST for each errand, told apart by endpoint.

An attempt never raises for what a merchant does: it ends as ``RecordAttempt``, and the delivery's
table decides what follows. A worker that dies in between is replaced when its lease runs out, and
posts again under the same ``webhook-id``.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal

import structlog

from contracts.callbacks.v1 import Attempt, RecordAttempt
from contracts.envelope import now_ms
from contracts.sealed import Sealer
from services._kit.errands import Conclusion, Done, Lane
from services._kit.ports import Errand
from services.callbacks import signature
from services.callbacks.posting import Answer, Poster, UnansweredError
from services.callbacks.state import Endpoint

log = structlog.get_logger()

PURPOSE = "endpoint_secret"
_OK, _REDIRECT, _GONE = 200, 300, 410
_FRESH_S = 2.0
_SILENT_AFTER = 3

Outcome = Literal["delivered", "failed", "gone"]


class Lanes:
    """How many attempts run at once for one endpoint: ``limit``, or one while it is silent.

    Attempts that wait for a silent endpoint use up what a process can do at once; a hundred silent
    endpoints must leave room for the others. One answer, even an error, gives back the limit.
    """

    def __init__(self, limit: int, lease_s: float) -> None:
        self._limit = limit
        self._lease_s = lease_s
        self._unanswered: dict[str, int] = {}

    def __call__(self, lane: str) -> Lane:
        silent = self._unanswered.get(lane, 0) >= _SILENT_AFTER
        return Lane(limit=1 if silent else self._limit, lease_s=self._lease_s)

    def note(self, lane: str, *, answered: bool) -> None:
        if answered:
            self._unanswered.pop(lane, None)
        else:
            self._unanswered[lane] = self._unanswered.get(lane, 0) + 1


class Endpoints:
    """Endpoints as they were at most two seconds ago, so that a busy one is not read each time."""

    def __init__(self, read: Callable[[str], Awaitable[Endpoint]]) -> None:
        self._read = read
        self._known: dict[str, tuple[float, Endpoint]] = {}

    async def get(self, endpoint_id: str) -> Endpoint:
        read_at, known = self._known.get(endpoint_id, (0.0, None))
        now = time.monotonic()
        if known is None or now - read_at > _FRESH_S:
            known = await self._read(endpoint_id)
            self._known[endpoint_id] = (now, known)
        return known


class Sender:
    """Performs ``deliver`` errands."""

    def __init__(
        self,
        endpoints: Endpoints,
        sealer: Sealer,
        poster: Poster,
        lanes: Lanes,
        clock: Callable[[], datetime] = now_ms,
    ) -> None:
        self._endpoints = endpoints
        self._sealer = sealer
        self._poster = poster
        self._lanes = lanes
        self._clock = clock

    async def deliver(self, errand: Errand) -> Done:
        """One attempt.

        Raises:
            SealError, SecretError: our own configuration is wrong; the errand stays and is seen.
        """
        endpoint = await self._endpoints.get(errand.data["endpoint"])
        at, started = self._clock(), time.monotonic()
        answer = await self._answer(endpoint, errand, at)
        attempt = Attempt(
            number=errand.data["number"],
            at=at,
            status=answer.status,
            latency_ms=int((time.monotonic() - started) * 1000),
            error=answer.error,
            retry_after_s=answer.retry_after_s,
        )
        outcome = _outcome(answer.status)
        if outcome != "delivered":
            log.info(
                "a callback was not delivered",
                endpoint=endpoint.id,
                delivery=errand.data["delivery"],
                status=answer.status,
                error=answer.error,
            )
        record = RecordAttempt(
            delivery=errand.data["delivery"],
            attempt=attempt,
            outcome=outcome,
            endpoint_sequence=endpoint.sequence,
        )
        return Done([Conclusion(f"RecordAttempt/{attempt.number}", record)])

    async def _answer(self, endpoint: Endpoint, errand: Errand, at: datetime) -> Answer:
        if not endpoint.enabled:
            return Answer(None, "the endpoint is switched off")
        body = errand.data["body"].encode()
        secret = self._sealer.open(endpoint.secret, PURPOSE)
        headers = signature.headers(secret, errand.data["event_id"], int(at.timestamp()), body)
        try:
            answer = await self._poster.post(endpoint.id, endpoint.url, headers, body)
        except UnansweredError as error:
            answer = Answer(None, str(error))
        self._lanes.note(errand.lane, answered=answer.status is not None)
        return answer


def _outcome(status: int | None) -> Outcome:
    """Only 2xx is a success; a redirect is a failure, as it is never followed."""
    if status is not None and _OK <= status < _REDIRECT:
        return "delivered"
    return "gone" if status == _GONE else "failed"
