"""What a partner asks beside payments: cancels, inquiries, balance, channels."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from contracts.disburse import v1 as disburse
from contracts.ledger import v1 as ledger
from tests.integration.gateway_world import Partner, World, payment, running
from tests.support.space import Space, eventually

INQUIRY = {"destination": payment()["destination"]}


@pytest.fixture(scope="module")
async def world(kafka_url: str, mongo_url: str) -> AsyncIterator[World]:
    name = uuid4().hex[:12]
    space = Space(kafka_url, mongo_url, f"t{name}.", f"t{name}_")
    tariffs = [
        {
            "partner": "cheap",
            "channel": "bank_account",
            "amount_from": 1_000,
            "amount_to": 99_999,
            "fee": 500,
        },
        {
            "partner": "cheap",
            "channel": "bank_account",
            "amount_from": 100_000,
            "amount_to": 250_000_000,
            "fee": 1_000,
        },
    ]
    waits = {"cancel_wait_s": 2, "inquiry_wait_s": 2}
    async with running(space, tariffs=tariffs, closed_channels=["OVO"], **waits) as made:
        yield made


async def scheduled(world: World, partner: Partner) -> str:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    life: str = (await partner.pay(instruct_at=tomorrow)).json()["id"]
    await world.become(life, 2, "scheduled")

    async def seen() -> None:
        shown = (await partner.send("GET", f"/v1/disbursements/{life}")).json()
        assert shown["status"] == "scheduled"

    await eventually(seen)
    return life


async def cancels(world: World, life: str) -> list[str]:
    said = await world.said("disburse.commands", disburse.CancelDisbursement)
    return [one.id for one in said if one.key == life]


async def test_a_scheduled_disbursement_is_cancelled_and_answered_from_its_event(
    world: World,
) -> None:
    partner = await world.partner("cancels")
    life = await scheduled(world, partner)
    target = f"/v1/disbursements/{life}/cancel"
    waiting = asyncio.create_task(partner.send("POST", target, key="c1"))

    async def cancelled() -> None:
        found = await cancels(world, life)
        assert found
        command = found[0]
        await world.become(life, 3, "cancelled", correlation=command)

    await eventually(cancelled)
    answer = await waiting

    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"


async def test_a_cancel_that_is_not_answered_yet_is_202_and_its_repeat_the_same_command(
    world: World,
) -> None:
    partner = await world.partner("cancels-late")
    life = await scheduled(world, partner)
    target = f"/v1/disbursements/{life}/cancel"

    first = await partner.send("POST", target, key="c1")
    again = await partner.send("POST", target, {}, key="c1")

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(set(await cancels(world, life))) == 1


async def test_a_cancel_that_comes_too_late_is_refused_with_the_status(world: World) -> None:
    partner = await world.partner("too-late")
    life = await scheduled(world, partner)
    target = f"/v1/disbursements/{life}/cancel"
    waiting = asyncio.create_task(partner.send("POST", target, key="c1"))

    async def refused() -> None:
        found = await cancels(world, life)
        assert found
        command = found[0]
        refusal = disburse.CommandRefused(
            disbursement=life,
            command=command,
            command_type=disburse.CancelDisbursement.type,
            reason="NOT_CANCELLABLE",
        )
        await world.say(refusal, command)

    await eventually(refused)
    answer = await waiting

    assert answer.status_code == 409
    assert answer.json()["code"] == "NOT_CANCELLABLE"
    assert answer.json()["current"]["id"] == life


async def test_what_has_ended_is_not_asked_to_cancel(world: World) -> None:
    partner = await world.partner("ended")
    life = (await partner.pay()).json()["id"]
    await world.become(life, 2, "succeeded", rail="bca")

    async def refused() -> None:
        answer = await partner.send("POST", f"/v1/disbursements/{life}/cancel", key=uuid4().hex)
        assert answer.status_code == 409
        assert answer.json()["current"]["status"] == "succeeded"

    await eventually(refused)


async def test_the_key_of_a_cancel_belongs_to_one_disbursement(world: World) -> None:
    partner = await world.partner("two-cancels")
    one = await scheduled(world, partner)
    other = (await partner.pay("key-2", reference="other")).json()["id"]
    await partner.send("POST", f"/v1/disbursements/{one}/cancel", key="c1")

    answer = await partner.send("POST", f"/v1/disbursements/{other}/cancel", key="c1")
    without = await partner.send("POST", f"/v1/disbursements/{other}/cancel")

    assert answer.json()["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert without.json()["code"] == "IDEMPOTENCY_KEY_MISSING"


async def inquired(world: World, partner: Partner) -> str:
    found: list[str] = []

    async def asked() -> None:
        said = await world.said("disburse.commands", disburse.InquireAccount)
        found[:] = [one.key for one in said if one.message.partner == partner.id]
        assert found

    await eventually(asked)
    return found[-1]


async def test_an_inquiry_is_answered_with_the_name_that_the_bank_gave(world: World) -> None:
    partner = await world.partner("asks")
    waiting = asyncio.create_task(partner.send("POST", "/v1/account-inquiries", INQUIRY))
    inquiry = await inquired(world, partner)
    name = world.sealer.seal("ANI WIJAYA", "account_name")

    said = disburse.AccountInquired(inquiry=inquiry, account_name=name, match="close")
    await world.say(said, inquiry)
    answer = await waiting

    assert answer.status_code == 200
    assert answer.json()["account_name"] == "ANI WIJAYA"
    assert answer.json()["match"] == "close"


@pytest.mark.parametrize(
    ("code", "status", "shown"),
    [
        ("INVALID_DESTINATION", 422, "INVALID_DESTINATION"),
        ("BANK_UNAVAILABLE", 504, "NO_ANSWER"),
    ],
)
async def test_an_inquiry_that_failed_says_whose_fault_it_is(
    world: World, code: str, status: int, shown: str
) -> None:
    partner = await world.partner(f"asks-{status}")
    waiting = asyncio.create_task(partner.send("POST", "/v1/account-inquiries", INQUIRY))
    inquiry = await inquired(world, partner)

    await world.say(disburse.AccountInquiryFailed(inquiry=inquiry, code=code), inquiry)
    answer = await waiting

    assert answer.status_code == status
    assert answer.json()["code"] == shown


async def test_an_inquiry_without_an_answer_is_504(world: World) -> None:
    partner = await world.partner("asks-in-vain")

    answer = await partner.send("POST", "/v1/account-inquiries", INQUIRY)

    assert answer.status_code == 504
    assert answer.json()["code"] == "NO_ANSWER"


async def test_the_balance_follows_the_ledger_by_entry_number(world: World) -> None:
    partner = await world.partner("rich")
    unknown = await partner.send("GET", "/v1/balance")
    await world.balance(partner.account, 1, 0)
    held = {"available": 900, "held": 100, "hold": "disb_1", "holder": "disburse"}
    await world.say(
        ledger.FundsHeld(account=partner.account, amount=90, fee=10, **held), "disb_1", 3
    )
    await world.say(
        ledger.DepositCredited(
            account=partner.account, amount=1_000, external_reference="t", available=1_000, held=0
        ),
        "x",
        2,
    )

    async def known() -> None:
        answer = await partner.send("GET", "/v1/balance")
        assert answer.json() == {
            "scheme": "deposit",
            "available": 900,
            "held": 100,
            "currency": "IDR",
            "credit_limit": None,
            "outstanding": None,
        }

    assert unknown.status_code == 404
    await eventually(known)


async def test_an_invoice_account_shows_what_is_left_and_what_is_owed(world: World) -> None:
    partner = await world.partner("invoiced")
    terms = {"scheme": "invoice", "credit_limit": 1_000, "available": -300, "held": 100}

    await world.say(ledger.TermsSet.model_validate({"account": partner.account, **terms}), "x", 5)

    async def known() -> None:
        answer = (await partner.send("GET", "/v1/balance")).json()
        assert answer.get("available") == 700
        assert answer["outstanding"] == 200
        assert answer["credit_limit"] == 1_000

    await eventually(known)


async def test_a_hold_that_an_unknown_account_was_refused_opens_no_balance(world: World) -> None:
    partner = await world.partner("nobody")
    refused = ledger.HoldRefused(
        account=partner.account, available=0, held=0, hold="h", holder="disburse", reason="X"
    )

    await world.say(refused, "h", 0)
    marker = await world.partner("marker")
    await world.balance(marker.account, 1, 5)

    async def passed() -> None:
        assert (await marker.send("GET", "/v1/balance")).status_code == 200

    await eventually(passed)
    assert (await partner.send("GET", "/v1/balance")).status_code == 404


async def test_channels_tell_a_partners_own_limits_fees_and_what_is_closed(world: World) -> None:
    partner = await world.partner("cheap")

    channels = (await partner.send("GET", "/v1/channels")).json()["data"]
    small = await partner.pay("s", reference="s", amount=1_000)
    large = await partner.pay("l", reference="l", amount=250_000_000)
    wallet = {"type": "e_wallet", "wallet": "OVO", "phone": "081234567890"}
    closed = await partner.pay("c", reference="c", destination=wallet)

    bca = next(one for one in channels if one["name"] == "BCA")
    assert (bca["amount_min"], bca["amount_max"], bca["open"]) == (1_000, 250_000_000, True)
    assert next(one for one in channels if one["name"] == "OVO")["open"] is False
    assert (small.json()["fee"], large.json()["fee"]) == (500, 1_000)
    assert closed.json()["code"] == "CHANNEL_NOT_SUPPORTED"
