"""How a till behaves: well, silent, backwards, twice or late. It ends when the store is sure.

Only a 200 that says ``valid`` makes the cashier pay. Whatever leaves the till in doubt (nothing
came, 5xx, 504) it takes back, and it repeats the reversal until it is answered.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from services.sandbox.settings import Settings
from services.sandbox.till_line import Asked, Exchange, Line
from services.sandbox.till_rolls import Outcome, Roll, Rolls

RETAIL = "/v1/retail"
HEARD_NOTHING = "the till heard no answer"
SWITCHED_OFF = "the till was switched off"


class Cashier:
    """Plays conversations; asks the credentials of ``rolls`` each time, since they may change."""

    def __init__(self, http: httpx.AsyncClient, rolls: Rolls, settings: Settings) -> None:
        self._http = http
        self._rolls = rolls
        self._settings = settings

    async def play(self, roll: Roll, code: str) -> None:
        behaviours: dict[str, Callable[[Roll, str], Awaitable[Outcome]]] = {
            "redeem": self._redeem,
            "silent": self._silent,
            "reverse_first": self._reverse_first,
            "reverse_twice": self._reverse_twice,
            "late": self._late,
            "reverse": self._take_back,
        }
        self._rolls.end(roll, await behaviours[roll.behaviour](roll, code))

    async def resume(self, roll: Roll) -> None:
        """A till that was switched off does not know what it would have heard."""
        self._rolls.end(roll, await self._reverse(roll, SWITCHED_OFF))

    async def look(
        self, asked: Asked, path: str, body: dict[str, Any] | None, *, timeout_s: float
    ) -> Exchange:
        """A question that changes nothing and belongs to no roll."""
        return await self._line().ask(asked, RETAIL + path, body, timeout_s)

    # --- behaviours --------------------------------------------------------------------------

    async def _redeem(self, roll: Roll, code: str) -> Outcome:
        exchange = await self._ask(roll, code)
        return _sure(exchange) or await self._reverse(roll, HEARD_NOTHING)

    async def _silent(self, roll: Roll, code: str) -> Outcome:
        await self._ask(roll, code, heard=False)
        await _until(roll.begun_at + timedelta(seconds=roll.silent_s))
        return await self._reverse(roll, HEARD_NOTHING)

    async def _reverse_first(self, roll: Roll, code: str) -> Outcome:
        await self._reverse(roll, "the reversal overtakes its redemption")
        exchange = await self._ask(roll, code)
        return _sure(exchange) or await self._reverse(roll, HEARD_NOTHING)

    async def _reverse_twice(self, roll: Roll, code: str) -> Outcome:
        outcome = _sure(await self._ask(roll, code))
        if outcome in {"refused", "failed"}:
            return outcome
        await self._reverse(roll, HEARD_NOTHING)
        return await self._reverse(roll, HEARD_NOTHING)

    async def _late(self, roll: Roll, code: str) -> Outcome:
        """The first answer is lost; the same is asked again when nobody waits for it any more."""
        await self._ask(roll, code, heard=False)
        await _until(roll.begun_at + timedelta(seconds=roll.late_s))
        exchange = await self._ask(roll, code)
        return _sure(exchange) or await self._reverse(roll, HEARD_NOTHING)

    async def _take_back(self, roll: Roll, _code: str) -> Outcome:
        return await self._reverse(roll, "the cashier asked for it")

    # --- what they are made of ---------------------------------------------------------------

    async def _ask(self, roll: Roll, code: str, *, heard: bool = True) -> Exchange:
        body = {
            "store_ref": roll.store_ref,
            "store_id": roll.store_id,
            "terminal_id": roll.terminal_id,
            "code": code,
            "phone": roll.phone,
            "amount": roll.amount,
            "cashier_at": roll.begun_at.isoformat(),
        }
        exchange = await self._line().ask(
            "redemption", f"{RETAIL}/redemptions", body, max(roll.silent_s, 0.1)
        )
        exchange.heard = heard and exchange.status is not None
        self._rolls.note(roll, exchange)
        return exchange

    async def _reverse(self, roll: Roll, reason: str) -> Outcome:
        """Again and again, until the platform says yes, or that the request itself is wrong."""
        body = {"store_ref": roll.store_ref, "phone": roll.phone, "reason": reason}
        give_up_at = datetime.now(UTC) + timedelta(seconds=self._settings.till_give_up_s)
        while True:
            exchange = await self._line().ask(
                "reversal", f"{RETAIL}/reversals", body, self._settings.till_reversal_timeout_s
            )
            self._rolls.note(roll, exchange)
            if exchange.result() == "accepted":
                return "reversed"
            if exchange.refused() or datetime.now(UTC) > give_up_at:
                return "failed"
            await asyncio.sleep(self._settings.till_reversal_every_s)

    def _line(self) -> Line:
        assert self._rolls.credentials, "a till without credentials asks nobody"
        return Line(self._http, self._rolls.credentials)


def _sure(exchange: Exchange) -> Outcome | None:
    """What the cashier does after this answer; None: the till cannot know whether it may pay."""
    known: dict[str | None, Outcome] = {"valid": "paid", "invalid": "refused"}
    return "failed" if exchange.refused() else known.get(exchange.result())


async def _until(moment: datetime) -> None:
    await asyncio.sleep(max((moment - datetime.now(UTC)).total_seconds(), 0))
