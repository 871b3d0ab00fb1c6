"""Step 1 of the walk: remember the request, publish it, wait for the ack, answer.

The remembered row is the first row of the view. The command's id is derived from the life's, so it
may be published any number of times; a 202 is sent only for what is in Kafka.
"""

import asyncio
import hashlib
import re
import time
from abc import abstractmethod
from datetime import datetime
from typing import Any, Generic

import orjson

from contracts.envelope import now_ms
from services._kit.failures import OutageError
from services.gateway.http.edge import Answer, Call, Operation
from services.gateway.http.problems import FieldError, Problem, from_errors
from services.gateway.lives import L, View
from services.gateway.outlet import Outlet
from services.gateway.requests import Requests
from services.gateway.tail import Tail

WAIT_MAX_S = 20
READ_AGAIN_S = 1.0
LOOK_AGAIN_S = 0.5
_UNPROCESSABLE = 422
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,4})\"?(?:$|[,;\s])", re.ASCII)


class Create(Operation, Generic[L]):
    """A new life of a kind.

    Args:
        requests: remembers it.
        outlet: whether it can be said at all.
        tail: hears what becomes of it.
        wait_s: how long a request waits that does not say.
    """

    keyed = True

    def __init__(
        self, requests: Requests[L], outlet: Outlet, tail: Tail, wait_s: float = 0
    ) -> None:
        self._requests = requests
        self._kind = requests.kind
        self.name = f"create_{self._kind.noun}"
        self._outlet = outlet
        self._tail = tail
        self._wait_s = wait_s

    @abstractmethod
    def begin(self, call: Call[Any], now: datetime) -> L | list[FieldError]:
        """The life as it begins, or all that is wrong with the request."""

    async def __call__(self, call: Call[Any]) -> Answer:
        fingerprint = hashlib.sha256(call.raw).hexdigest()
        now = now_ms()
        life: L | None = None
        if call.refusal is None:
            begun = self.begin(call, now)
            if isinstance(begun, list):
                call.refusal = from_errors(begun)
            else:
                life = begun
        if call.refusal is None and not self._outlet.open:
            # What cannot be said is not remembered either: this request leaves no trace.
            call.refusal = Problem("UNAVAILABLE", "Nothing was stored.")
        if call.refusal is not None or life is None:
            return await self._refused(call, fingerprint)
        if not await self._requests.remember(life, call.key, fingerprint):
            known = await self._known(call, fingerprint, life.order.reference)
            return await self._again(call, known)
        return await self._said(call, View(life, 0, call.key, fingerprint), {})

    async def _refused(self, call: Call[Any], fingerprint: str) -> Answer:
        """A repeat is answered as the first, also when limits or the clock have moved since; and a
        reference that is taken comes before what is wrong with a field.
        """
        refusal = call.refusal
        assert refusal is not None, "only a refused call comes here"
        if refusal.code == "OVERLOADED":
            raise refusal
        try:
            known = await self._known(call, fingerprint, _reference(call))
        except Problem as conflict:
            raise min(conflict, refusal, key=lambda p: p.type.ranked) from None
        sayable = refusal.type.status == _UNPROCESSABLE or (
            refusal.code == "UNAVAILABLE" and known is not None and known.sequence > 0
        )
        if known is None or not sayable:
            raise refusal
        return await self._again(call, known)

    async def _known(
        self, call: Call[Any], fingerprint: str, reference: str | None
    ) -> View[L] | None:
        """The first request under this key.

        Raises:
            Problem: another body under the key, or the reference under another key.
        """
        account = call.caller.account
        try:
            async with asyncio.timeout(READ_AGAIN_S):
                known = await self._requests.by_key(account, call.key)
                if known is None and reference is not None:
                    original = await self._requests.by_reference(account, reference)
                    if original is not None:
                        raise self._duplicate(original)
        except (TimeoutError, OutageError):
            raise _in_progress() from None
        if known is not None and known.fingerprint != fingerprint:
            raise Problem("IDEMPOTENCY_KEY_REUSED")
        return known

    async def _again(self, call: Call[Any], known: View[L] | None) -> Answer:
        if known is None:
            raise _in_progress()
        return await self._said(call, known, {"Idempotent-Replayed": "true"})

    async def _said(self, call: Call[Any], view: View[L], headers: dict[str, str]) -> Answer:
        """Publish until the view has passed 0, wait if asked to, and render what is known."""
        wait_s = preferred_wait_s(call.prefer, self._wait_s)
        if preferred_wait_s(call.prefer):
            headers["Preference-Applied"] = f"wait={wait_s:g}"
        if wait_s and view.life.status not in self._kind.rests:
            view = await self._awaited(call, view, wait_s, again="Idempotent-Replayed" in headers)
        elif view.sequence == 0:
            await self._requests.publish(view.life)
        done = view.life.status in self._kind.done
        return Answer(200 if done else 202, self._requests.show(view), headers)

    async def _awaited(
        self, call: Call[Any], view: View[L], wait_s: float, *, again: bool
    ) -> View[L]:
        with self._tail.waiting(self._kind.id(view.life), self._kind.wakes) as waiter:
            if view.sequence == 0:
                await self._requests.publish(view.life)
            until_s = call.started_s + wait_s
            while True:
                if again:
                    view = await self._now(call, view)
                if view.life.status in self._kind.rests:
                    return view
                # The event that ends the wait of a repeat may have passed before the repeat came,
                # and the view may be told of it a moment later: so a repeat looks now and then.
                left_s = until_s - time.monotonic()
                event = await waiter.event(min(left_s, LOOK_AGAIN_S) if again else left_s)
                if event is not None:
                    return await self._requests.heard(event)
                if until_s <= time.monotonic():
                    return await self._now(call, view)

    async def _now(self, call: Call[Any], view: View[L]) -> View[L]:
        newer = await self._requests.by_id(call.caller.account, self._kind.id(view.life))
        return newer or view

    def _duplicate(self, original: View[L]) -> Problem:
        life = self._kind.id(original.life)
        href = f"{self._kind.path}/{life}"
        return Problem(
            "DUPLICATE_REFERENCE",
            f"The reference belongs to {life}.",
            headers={"Link": f'<{href}>; rel="original"'},
            more={"original": {"id": life, "href": href}},
        )


def preferred_wait_s(prefer: str, otherwise_s: float = 0) -> float:
    """``Prefer: wait=N`` (RFC 7240), at most 20; ``otherwise_s`` if it does not say."""
    found = _WAIT.search(prefer)
    return min(int(found[1]), WAIT_MAX_S) if found else otherwise_s


def _reference(call: Call[Any]) -> str | None:
    if call.body is not None:
        reference: str = call.body.reference
        return reference
    return reference_of(call.raw)


def reference_of(raw: bytes) -> str | None:
    """The reference in a body that is wrong elsewhere."""
    try:
        body = orjson.loads(raw)
    except ValueError:
        return None
    reference = body.get("reference") if isinstance(body, dict) else None
    return reference if isinstance(reference, str) and len(reference) <= 64 else None  # noqa: PLR2004


def _in_progress() -> Problem:
    return Problem("REQUEST_IN_PROGRESS", headers={"Retry-After": "1"})
