"""Partners and the gateway in front of them: requests, repeats, cancellations, notices."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from contracts.callbacks.v1 import SetEndpoint
from contracts.cashout import v1 as cashout
from contracts.disburse import v1 as disburse
from contracts.envelope import Envelope
from contracts.ids import public_id, uuid7
from contracts.ledger import v1 as ledger
from contracts.phones import masked_phone, normalised
from contracts.sealed import Sealer
from services._kit.records import record_of
from tests.simulation.bank import RIGHT_NAME, Mood
from tests.simulation.world import RAILS, World
from tests.support.callbacks import SECRET
from tests.support.simulated import START

WITHIN_S = 3600.0
ACCOUNTS = {"toko.sandbox": 900_000_000, "warung.sandbox": 3_000_000, "grosir.production": None}
CREDIT_LIMIT = 20_000_000
ENDPOINTS = {
    "endp_toko": ("toko.sandbox", ("*",)),
    "endp_warung": ("warung.sandbox", ("*",)),
    "endp_grosir": ("grosir.production", ("*",)),
    "endp_grosir_2": ("grosir.production", ("disbursement.*",)),
}
FEES = {"disb": 2_500, "cash": 5_000}


async def open_accounts(world: World) -> None:
    for account, deposit in ACCOUNTS.items():
        scheme: Any = "invoice" if deposit is None else "deposit"
        limit = CREDIT_LIMIT if deposit is None else 0
        await world.say(ledger.OpenAccount(account=account, scheme=scheme, credit_limit=limit))
        if deposit:
            credit = ledger.CreditDeposit(
                account=account, amount=deposit, external_reference="grant"
            )
            await world.say(credit)
    for endpoint, (account, events) in ENDPOINTS.items():
        partner, environment = account.split(".")
        made = {
            "endpoint": endpoint,
            "partner": partner,
            "environment": environment,
            "url": f"https://{partner}.example/hooks",
            "events": events,
            "secret": world.sealer.seal(SECRET, "endpoint_secret"),
        }
        await world.say(SetEndpoint.model_validate(made))


def new_id(world: World, prefix: str) -> str:
    now_ms = int(world.clock().timestamp() * 1000)
    return public_id(prefix, uuid7(now_ms, world.rng.randbytes(10)))


def an_account(world: World) -> str:
    return world.rng.choice(("toko.sandbox", "toko.sandbox", *ACCOUNTS))


def _names(account: str) -> tuple[str, Any]:
    partner, _, environment = account.partition(".")
    return partner, environment


def moment(world: World, seconds: float) -> datetime:
    """Whole seconds and half minutes, so that much falls due at the same moment."""
    return START + timedelta(seconds=seconds - seconds % world.rng.choice((0.001, 1, 30)))


async def at(world: World, when: datetime) -> None:
    await asyncio.sleep(max(0.0, (when - world.clock()).total_seconds()))


# --- a disbursement ------------------------------------------------------------------------------


async def disburse_something(world: World) -> None:
    rng = world.rng
    await at(world, moment(world, rng.uniform(5, WITHIN_S)))
    life = new_id(world, "disb")
    order = _order(world, life)
    request = disburse.RequestDisbursement(disbursement=life, order=order)
    first = await world.say(request, life)
    if rng.random() < 0.3:
        # The gateway publishes again what it remembers, until its view has passed 0.
        await asyncio.sleep(rng.choice((0.01, 10, 600)))
        await world.publish([first])
    if order.instruct_at is not None and rng.random() < 0.5:
        nearly = order.instruct_at + timedelta(seconds=rng.choice((-100, -0.01, 0, 0.01, 1)))
        await at(world, nearly)
        cancel = disburse.CancelDisbursement(disbursement=life)
        for _ in range(rng.choice((1, 1, 2))):
            await world.say(cancel)


def _order(world: World, life: str) -> disburse.Order:
    rng = world.rng
    account = an_account(world)
    to = _destination(world)
    bank = world.banks[RAILS.get(to.bank or "CENAIDJA", "bca")]
    mood = bank.moods[life] = Mood.any(rng)
    instruct_at = send_before = None
    if rng.random() < 0.2:
        instruct_at = world.clock() + timedelta(seconds=rng.choice((-5, 60, 60, 900)))
    if rng.random() < 0.2:
        send_before = (instruct_at or world.clock()) + timedelta(seconds=rng.choice((1, 90, 900)))
    partner, environment = _names(account)
    return disburse.Order(
        partner=partner,
        environment=environment,
        account=account,
        reference=life,
        amount=rng.choice((10_000, 250_000, 1_500_000, 1_500_000)),
        fee=FEES["disb"],
        destination=to,
        name_check="strict" if mood.name != RIGHT_NAME or rng.random() < 0.2 else "off",
        instruct_at=instruct_at,
        send_before=send_before,
    )


def _destination(world: World) -> disburse.Destination:
    rng, sealer = world.rng, world.sealer
    if rng.random() < 0.1:
        number = sealer.seal("6281234567890", "account_number")
        return disburse.Destination(
            type="e_wallet", wallet="GOPAY", number=number, masked="08**", account_name=RIGHT_NAME
        )
    return disburse.Destination(
        type="bank_account",
        bank=rng.choice((*RAILS, *RAILS, *RAILS, "NOBODYJA")),
        number=sealer.seal("0123456789", "account_number"),
        masked="****6789",
        account_name=RIGHT_NAME,
    )


def tell_of_returns(world: World) -> None:
    """The gateway hears of returns over HTTP, and says each notice under one id."""

    def gave_back(rail: str, reference: str) -> None:
        for _ in range(world.rng.choice((1, 1, 2))):
            world.act(_notice(world, rail, reference))

    for bank in world.banks.values():
        bank.gave_back = gave_back


async def _notice(world: World, rail: str, life: str) -> None:
    returned_at = world.banks[rail].returned_at[life]
    message = disburse.TransferReturned(
        disbursement=life,
        rail=rail,
        notice=f"notice-{life}",
        reason="account closed",
        returned_at=returned_at,
    )
    name = str(uuid7(int(returned_at.timestamp() * 1000), life[-10:].encode()))
    await world.publish(
        [
            record_of(
                Envelope.model_construct(
                    id=name, type=message.type, source="/salur/gateway", key=life,
                    occurred_at=returned_at, correlation=life, cause=None, sequence=None,
                    message=message,
                )
            )
        ]
    )  # fmt: skip


# --- a cash-out ----------------------------------------------------------------------------------


async def order_cash(world: World, phone: str) -> str:
    """A request for a code; the customer is somebody else's story."""
    rng = world.rng
    account = an_account(world)
    life = new_id(world, "cash")
    expires_at = moment(
        world, (world.clock() - START).total_seconds() + rng.choice((90, 300, 1800, 1800))
    )
    partner, environment = _names(account)
    order = cashout.Order(
        partner=partner,
        environment=environment,
        account=account,
        reference=life,
        amount=rng.choice((50_000, 100_000, 2_500_000)),
        fee=FEES["cash"],
        phone=world.sealer.seal(normalised(phone), cashout.PHONE),
        phone_masked=masked_phone(phone),
        recipient_name="Budi",
        expires_at=max(expires_at, world.clock() + timedelta(seconds=40)),
    )
    request = cashout.RequestCashout(
        cashout=life, phone_hash=world.phones.phone_hash(normalised(phone)), order=order
    )
    first = await world.say(request, life)
    world.act(_second_thoughts(world, request))
    if rng.random() < 0.2:
        await world.publish([first])
    return life


async def _second_thoughts(world: World, request: cashout.RequestCashout) -> None:
    rng = world.rng
    if rng.random() < 0.8:
        return
    when = rng.choice(
        (
            world.clock() + timedelta(seconds=rng.choice((0, 0.05, 10, 100))),
            request.order.expires_at + timedelta(milliseconds=rng.choice((-1, 0, 1))),
        )
    )
    await at(world, when)
    await world.say(cashout.CancelCashout(cashout=request.cashout, phone_hash=request.phone_hash))


def opened(sealer: Sealer, issued: cashout.CodeIssued) -> str:
    return sealer.open(issued.code, cashout.CODE)
