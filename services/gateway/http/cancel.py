"""``POST /v1/{kind}/{id}/cancel``: ask the life, and wait for what it says."""

from datetime import datetime
from typing import Any, Generic

from contracts.envelope import now_ms
from contracts.ids import derived_id
from services._kit.failures import ConflictError
from services._kit.mongo import Database, outages
from services.gateway import store
from services.gateway.commands import Commands, command_record
from services.gateway.http.edge import Answer, Call, Operation
from services.gateway.http.models import CancelRequest
from services.gateway.http.problems import Problem
from services.gateway.lives import L, View
from services.gateway.requests import Requests

WAIT_S = 5.0


class CancelOne(Operation, Generic[L]):
    """Only the life itself knows whether it can still be cancelled.

    The command's id is made of life and key, so a repeat is answered by the inbox as the first.
    """

    model = CancelRequest
    keyed = True

    def __init__(
        self, db: Database, requests: Requests[L], commands: Commands, wait_s: float = WAIT_S
    ) -> None:
        self._cancels = db[store.CANCELS]
        self._requests = requests
        self._kind = requests.kind
        self.name = f"cancel_{self._kind.noun}"
        self._commands = commands
        self._wait_s = wait_s

    async def __call__(self, call: Call[CancelRequest]) -> Answer:
        kind, show = self._kind, self._requests.show
        known = await self._requests.by_id(call.caller.account, call.path["id"])
        if known is None:
            raise Problem("NOT_FOUND")
        if known.life.status in kind.ends - {"cancelled"}:
            raise self._not_cancellable(known)
        call.refuse()
        headers, asked_at = await self._remember(call)
        if known.life.status == "cancelled":
            return Answer(200, show(known), headers)
        message = kind.cancel(known.life)
        name = f"{type(message).__name__}/{call.key}"
        command = derived_id(kind.id(known.life), known.life.created_at, name)
        record = command_record(message, command, asked_at)
        event = await self._commands.ask(
            record, command, (kind.cancelled, kind.refused), self._wait_s
        )
        if event is not None and isinstance(event.message, kind.cancelled):
            return Answer(200, show(await self._requests.heard(event)), headers)
        newest = await self._requests.by_id(call.caller.account, call.path["id"]) or known
        if newest.life.status == "cancelled":
            return Answer(200, show(newest), headers)
        if event is not None:
            raise self._not_cancellable(newest)
        return Answer(202, show(newest), headers)

    def _not_cancellable(self, view: View[L]) -> Problem:
        shown = self._requests.show(view)
        detail = f"Its status is {shown['status']}."
        return Problem("NOT_CANCELLABLE", detail, more={"current": shown})

    async def _remember(self, call: Call[Any]) -> tuple[dict[str, str], datetime]:
        """The key belongs to this life from now on; a repeat is told that it is one, and says the
        same bytes as the first.
        """
        now = now_ms()
        row = {
            "_id": f"{call.caller.account}/{call.key}",
            "about": call.path["id"],
            "at": now,
        }
        try:
            async with outages():
                await self._cancels.insert_one(row)
        except ConflictError:
            async with outages():
                first = await self._cancels.find_one({"_id": row["_id"]})
            if first is not None and first["about"] != call.path["id"]:
                raise Problem("IDEMPOTENCY_KEY_REUSED") from None
            return {"Idempotent-Replayed": "true"}, first["at"] if first else now
        return {}, now
