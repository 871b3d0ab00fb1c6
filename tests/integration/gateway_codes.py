"""A partner who asks for codes, and the cash-out service that issues them, played by hand."""

from datetime import UTC, datetime
from typing import Any

import httpx

from contracts.cashout import v1 as cashout
from contracts.envelope import Envelope
from contracts.message import Message
from tests.integration.gateway_world import Partner, World
from tests.support.space import eventually

CODE = "4821093756"
PHONE = "081234567890"
EVENTS: dict[str, type[cashout.Cashout]] = {
    "requested": cashout.CashoutAccepted,
    "active": cashout.CodeIssued,
    "paid": cashout.CodeRedeemed,
    "failed": cashout.CashoutFailed,
    "cancelled": cashout.CashoutCancelled,
    "expired": cashout.CodeExpired,
    "blocked": cashout.CodeBlocked,
    "reversed": cashout.CashoutReversed,
}


def request(**changes: Any) -> dict[str, Any]:
    body = {"reference": "refund-42", "amount": 100_000, "phone": PHONE, "recipient_name": "ANI"}
    return body | changes


async def ask(
    partner: Partner, key: str = "key-1", prefer: str = "wait=0", **changes: Any
) -> httpx.Response:
    headers = {"Prefer": prefer} if prefer else {}
    return await partner.send("POST", "/v1/cashouts", request(**changes), key=key, headers=headers)


async def asked(world: World, partner: Partner) -> Envelope[Any]:
    said = await world.said("cashout.commands", cashout.RequestCashout)
    found = [one for one in said if one.message.order.account == partner.account]
    assert found, "nobody asked for a code yet"
    return found[-1]


async def become(
    world: World, partner: Partner, status: str, sequence: int, correlation: str = "", **more: Any
) -> None:
    """cashout says what became of the partner's newest life."""
    command = await asked(world, partner)
    if status == "active":
        more["code"] = world.sealer.seal(CODE, cashout.CODE)
    event = EVENTS[status].model_validate(
        {
            "cashout": command.message.cashout,
            "phone_hash": command.message.phone_hash,
            "order": command.message.order.model_dump(),
            "status": status,
            "created_at": command.occurred_at,
            "updated_at": datetime.now(UTC),
            **more,
        }
    )
    assert isinstance(event, Message)
    await world.say(event, correlation or command.message.cashout, sequence)


async def issue(world: World, partner: Partner) -> str:
    """A life that has its code, which the view knows."""
    life: str = (await ask(partner)).json()["id"]
    await become(world, partner, "active", 2)
    await eventually(lambda: shows(partner, life, "active"))
    return life


async def shows(partner: Partner, life: str, status: str) -> None:
    shown = (await partner.send("GET", f"/v1/cashouts/{life}")).json()
    assert shown["status"] == status
