"""A store at its till, and the cash-out service that answers it, played by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx

from contracts.cashout import v1 as cashout
from contracts.cashout.keys import PhoneKey
from contracts.envelope import Envelope
from tests.integration.gateway_world import PHONE_KEY, Partner, World, running
from tests.support.space import Space, eventually

CODE, PHONE = "4821093756", "081234567890"
KEY = PhoneKey(PHONE_KEY)
RECEIPT = cashout.Receipt(
    reference="cash_1",
    amount=100_000,
    phone="0812****7890",
    paid_at=datetime(2026, 1, 31, 9, 5, tzinfo=UTC),
    text="TARIK TUNAI\n",
)
WAIT_S = 3.0


def redemption(**changes: Any) -> dict[str, Any]:
    return {
        "store_ref": "r-1",
        "store_id": "T042",
        "terminal_id": "2",
        "code": "4821 0937 56",
        "phone": PHONE,
        "amount": 100_000,
        "cashier_at": "2026-01-31T16:05:00+07:00",
        **changes,
    }


async def redeem(store: Partner, **changes: Any) -> httpx.Response:
    return await store.send("POST", "/v1/retail/redemptions", redemption(**changes))


async def reverse(store: Partner, **changes: Any) -> httpx.Response:
    body = {"store_ref": "r-1", "phone": PHONE, "code": CODE, "reason": "timeout"}
    return await store.send("POST", "/v1/retail/reversals", body | changes)


async def status(store: Partner, reference: str = "r-1") -> dict[str, Any]:
    found: dict[str, Any] = (await store.send("GET", f"/v1/retail/redemptions/{reference}")).json()
    return found


async def requests(world: World, store: Partner, kind: type[Any]) -> list[Envelope[Any]]:
    """What the chain asked, each request once."""
    said = await world.said("cashout.commands", kind)
    mine = {one.id: one for one in said if one.message.chain == store.account}
    return list(mine.values())


async def nth(world: World, store: Partner, kind: type[Any], n: int) -> Envelope[Any]:
    found: list[Envelope[Any]] = []

    async def asked() -> None:
        found[:] = await requests(world, store, kind)
        assert len(found) > n

    await eventually(asked)
    return found[n]


async def answer_redemption(
    world: World, command: Envelope[Any], sequence: int = 1, reason: str | None = None
) -> None:
    message: cashout.RedeemCode = command.message
    receipt = None if reason else RECEIPT
    state = "refused" if reason else "paid"
    said = cashout.RedemptionAnswered.model_validate(
        {
            "chain": message.chain,
            "store_ref": message.store_ref,
            "fingerprint": message.fingerprint,
            "result": "invalid" if reason else "valid",
            "reason": reason,
            "receipt": receipt,
            "standing": {
                "state": state,
                "fingerprint": message.fingerprint,
                "reason": reason,
                "receipt": receipt,
            },
        }
    )
    await world.say(said, said.correlation, sequence, command.id)


async def answer_reversal(
    world: World, command: Envelope[Any], effect: str = "reversed", sequence: int = 2
) -> None:
    message: cashout.ReverseRedemption = command.message
    said = cashout.ReversalAnswered.model_validate(
        {
            "chain": message.chain,
            "store_ref": message.store_ref,
            "fingerprint": message.fingerprint,
            "effect": effect,
            "standing": {"state": "reversed"},
        }
    )
    await world.say(said, said.correlation, sequence, command.id)


async def paid(world: World, store: Partner) -> httpx.Response:
    waiting = asyncio.create_task(redeem(store))
    await answer_redemption(world, await nth(world, store, cashout.RedeemCode, 0))
    return await waiting


async def reversed_by(world: World, store: Partner, effect: str = "reversed") -> httpx.Response:
    waiting = asyncio.create_task(reverse(store))
    await answer_reversal(world, await nth(world, store, cashout.ReverseRedemption, 0), effect)
    return await waiting


@asynccontextmanager
async def tills(kafka_url: str, mongo_url: str) -> AsyncIterator[World]:
    """A gateway whose stores are impatient."""
    name = uuid4().hex[:12]
    waits = {"redemption_wait_s": WAIT_S, "reversal_wait_s": WAIT_S, "till_again_s": 0.5}
    async with running(Space(kafka_url, mongo_url, f"t{name}.", f"t{name}_"), **waits) as made:
        yield made
