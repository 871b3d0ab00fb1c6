"""``POST /v1/disbursements/{id}/cancel``: ask the life, and wait for what it says."""

from datetime import datetime
from typing import Any

from contracts.disburse.v1 import (
    CancelDisbursement,
    CommandRefused,
    Disbursement,
    DisbursementCancelled,
)
from contracts.envelope import now_ms
from contracts.ids import derived_id
from contracts.public import DISBURSEMENT_ENDS, public_disbursement
from services._kit.failures import ConflictError
from services._kit.mongo import Database, outages
from services.gateway import store
from services.gateway.commands import Commands, command_record
from services.gateway.http.edge import Answer, Call, Operation
from services.gateway.http.models import CancelRequest
from services.gateway.http.problems import Problem
from services.gateway.requests import Requests

WAIT_S = 5.0


class CancelOne(Operation):
    """Only a scheduled life can be cancelled, and only the life itself knows whether it still is.

    The command's id is made of life and key, so a repeat is answered by the inbox as the first.
    """

    name = "cancel_disbursement"
    model = CancelRequest
    keyed = True

    def __init__(
        self, db: Database, requests: Requests, commands: Commands, wait_s: float = WAIT_S
    ) -> None:
        self._cancels = db[store.CANCELS]
        self._requests = requests
        self._commands = commands
        self._wait_s = wait_s

    async def __call__(self, call: Call[CancelRequest]) -> Answer:
        known = await self._requests.by_id(call.caller.account, call.path["id"])
        if known is None:
            raise Problem("NOT_FOUND")
        if known.life.status in DISBURSEMENT_ENDS - {"cancelled"}:
            raise _not_cancellable(known)
        call.refuse()
        headers, asked_at = await self._remember(call)
        if known.life.status == "cancelled":
            return Answer(200, known.shown(), headers)
        command = derived_id(
            known.life.disbursement, known.life.created_at, f"CancelDisbursement/{call.key}"
        )
        record = command_record(
            CancelDisbursement(disbursement=known.life.disbursement), command, asked_at
        )
        event = await self._commands.ask(
            record, command, (DisbursementCancelled, CommandRefused), self._wait_s
        )
        if event is not None and isinstance(event.message, Disbursement):
            return Answer(200, public_disbursement(event.message, event.sequence or 0), headers)
        newest = await self._requests.by_id(call.caller.account, call.path["id"]) or known
        if newest.life.status == "cancelled":
            return Answer(200, newest.shown(), headers)
        if event is not None:
            raise _not_cancellable(newest)
        return Answer(202, newest.shown(), headers)

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


def _not_cancellable(view: store.View) -> Problem:
    shown = view.shown()
    return Problem("NOT_CANCELLABLE", f"Its status is {shown['status']}.", more={"current": shown})
