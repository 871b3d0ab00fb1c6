"""Step 1 of the walk: remember the request, publish it, wait for the ack, answer.

The remembered row is the first row of the view. The command's id is derived from the life's, so it
may be published any number of times; a 202 is sent only for what is in Kafka.
"""

import asyncio
import hashlib
import re
from typing import Any

import orjson

from contracts.disburse import v1 as disburse
from contracts.disburse.v1 import Disbursement
from contracts.envelope import now_ms
from contracts.ids import new_public_id
from contracts.public import DISBURSEMENT_ENDS, public_disbursement
from services._kit.failures import OutageError
from services.gateway.http.edge import Answer, Call, Operation
from services.gateway.http.models import DisbursementRequest
from services.gateway.http.orders import Orders
from services.gateway.http.problems import Problem, from_errors
from services.gateway.outlet import Outlet
from services.gateway.requests import Requests
from services.gateway.store import View
from services.gateway.tail import Tail

WAIT_MAX_S = 20
READ_AGAIN_S = 1.0
_UNPROCESSABLE = 422
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,4})\"?(?:$|[,;\s])", re.ASCII)

# A scheduled one ends the wait too: nothing more will happen for a while.
_ENDS = (
    disburse.DisbursementScheduled,
    disburse.DisbursementSucceeded,
    disburse.DisbursementFailed,
    disburse.DisbursementCancelled,
    disburse.DisbursementReversed,
)
_STAYS = DISBURSEMENT_ENDS | {"scheduled"}


class CreateDisbursement(Operation):
    """``POST /v1/disbursements``."""

    name = "create_disbursement"
    model = DisbursementRequest
    keyed = True

    def __init__(self, requests: Requests, orders: Orders, outlet: Outlet, tail: Tail) -> None:
        self._requests = requests
        self._orders = orders
        self._outlet = outlet
        self._tail = tail

    async def __call__(self, call: Call[DisbursementRequest]) -> Answer:
        fingerprint = hashlib.sha256(call.raw).hexdigest()
        now = now_ms()
        order = None
        if call.refusal is None:
            order = self._orders.order(call.caller, call.asked(), now)
            if isinstance(order, list):
                call.refusal = from_errors(order)
        if call.refusal is None and not self._outlet.open:
            # What cannot be said is not remembered either: this request leaves no trace.
            call.refusal = Problem("UNAVAILABLE", "Nothing was stored.")
        if call.refusal is not None or not isinstance(order, disburse.Order):
            return await self._refused(call, fingerprint)
        life = Disbursement(
            disbursement=new_public_id("disb"),
            order=order,
            status="holding",
            created_at=now,
            updated_at=now,
        )
        if not await self._requests.remember(life, call.key, fingerprint):
            known = await self._known(call, fingerprint, order.reference)
            return await self._again(call, known)
        return await self._said(call, View(life, 0, call.key, fingerprint), {})

    async def _refused(self, call: Call[DisbursementRequest], fingerprint: str) -> Answer:
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
        self, call: Call[DisbursementRequest], fingerprint: str, reference: str | None
    ) -> View | None:
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
                        raise _duplicate(original)
        except (TimeoutError, OutageError):
            raise _in_progress() from None
        if known is not None and known.fingerprint != fingerprint:
            raise Problem("IDEMPOTENCY_KEY_REUSED")
        return known

    async def _again(self, call: Call[DisbursementRequest], known: View | None) -> Answer:
        if known is None:
            raise _in_progress()
        return await self._said(call, known, {"Idempotent-Replayed": "true"})

    async def _said(
        self, call: Call[DisbursementRequest], view: View, headers: dict[str, str]
    ) -> Answer:
        """Publish until the view has passed 0, wait if asked to, and render what is known."""
        wait_s = preferred_wait_s(call.prefer)
        if wait_s:
            headers["Preference-Applied"] = f"wait={wait_s}"
        if wait_s and view.life.status not in _STAYS:
            with self._tail.waiting(view.life.disbursement, _ENDS) as waiter:
                if view.sequence == 0:
                    await self._requests.publish(view.life)
                if headers.get("Idempotent-Replayed"):
                    view = await self._now(call, view)
                if view.life.status not in _STAYS:
                    event = await waiter.event(wait_s)
                    if event is not None:
                        view = View(event.message, event.sequence or 0, None, None)
                    else:
                        view = await self._now(call, view)
        elif view.sequence == 0:
            await self._requests.publish(view.life)
        shown = public_disbursement(view.life, view.sequence)
        return Answer(200 if view.life.status in DISBURSEMENT_ENDS else 202, shown, headers)

    async def _now(self, call: Call[Any], view: View) -> View:
        newer = await self._requests.by_id(call.caller.account, view.life.disbursement)
        return newer or view


def preferred_wait_s(prefer: str) -> int:
    """``Prefer: wait=N`` (RFC 7240), at most 20; 0 if it is not asked for."""
    found = _WAIT.search(prefer)
    return min(int(found[1]), WAIT_MAX_S) if found else 0


def _reference(call: Call[DisbursementRequest]) -> str | None:
    if call.body is not None:
        return call.body.reference
    return reference_of(call.raw)


def reference_of(raw: bytes) -> str | None:
    """The reference in a body that is wrong elsewhere."""
    try:
        body = orjson.loads(raw)
    except ValueError:
        return None
    reference = body.get("reference") if isinstance(body, dict) else None
    return reference if isinstance(reference, str) and len(reference) <= 64 else None  # noqa: PLR2004


def _duplicate(original: View) -> Problem:
    life = original.life.disbursement
    href = f"/v1/disbursements/{life}"
    return Problem(
        "DUPLICATE_REFERENCE",
        f"The reference belongs to {life}.",
        headers={"Link": f'<{href}>; rel="original"'},
        more={"original": {"id": life, "href": href}},
    )


def _in_progress() -> Problem:
    return Problem("REQUEST_IN_PROGRESS", headers={"Retry-After": "1"})
