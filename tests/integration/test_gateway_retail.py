"""What stores ask of a code, and hear; the cash-out service is played by hand."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest

from contracts.cashout import v1 as cashout
from contracts.envelope import now_ms
from tests.integration.gateway_till import (
    CODE,
    KEY,
    PHONE,
    WAIT_S,
    answer_redemption,
    nth,
    paid,
    redeem,
    redemption,
    requests,
    reverse,
    status,
    tills,
)
from tests.integration.gateway_world import Partner, World


@pytest.fixture(scope="module")
async def world(kafka_url: str, mongo_url: str) -> AsyncIterator[World]:
    async with tills(kafka_url, mongo_url) as made:
        yield made


async def test_a_valid_code_is_answered_with_its_receipt(world: World) -> None:
    store = await world.chain("valid")
    before = now_ms()

    answer = await paid(world, store)

    assert answer.status_code == 200
    assert answer.json() == {
        "result": "valid",
        "receipt": {
            "reference": "cash_1",
            "amount": 100_000,
            "phone": "0812****7890",
            "paid_at": "2026-01-31T16:05:00.000+07:00",
            "text": "TARIK TUNAI\n",
        },
    }
    (command,) = await requests(world, store, cashout.RedeemCode)
    message: cashout.RedeemCode = command.message
    assert command.key == KEY.phone_hash("6281234567890")
    assert message.fingerprint == KEY.redemption(CODE, "6281234567890", 100_000)
    assert world.sealer.open(message.code, cashout.CODE) == CODE
    assert CODE not in message.model_dump_json()
    assert before < message.answer_by <= now_ms() + timedelta(seconds=WAIT_S)
    assert await status(store) == answer.json()


@pytest.mark.parametrize("reason", ["INVALID_CODE", "AMOUNT_MISMATCH", "A_NEWER_REASON"])
async def test_an_invalid_one_is_answered_with_its_reason(world: World, reason: str) -> None:
    store = await world.chain(f"no-{reason.lower().replace('_', '-')}")
    waiting = asyncio.create_task(redeem(store))

    command = await nth(world, store, cashout.RedeemCode, 0)
    await answer_redemption(world, command, reason=reason)

    assert (await waiting).json() == {"result": "invalid", "reason": reason}
    assert await status(store) == {"result": "invalid", "reason": reason}


async def test_a_phone_is_one_however_it_is_spelled(world: World) -> None:
    store = await world.chain("spelled")

    tries = await asyncio.gather(
        *(redeem(store, phone=one) for one in (PHONE, "6281234567890", "+62 812 3456 7890"))
    )
    asked = await requests(world, store, cashout.RedeemCode)

    assert {one.status_code for one in tries} == {504}
    assert len({(one.key, one.message.fingerprint) for one in asked}) == 1


async def test_an_undecided_redemption_is_504_before_answer_by_has_passed(world: World) -> None:
    store = await world.chain("undecided")
    started = time.monotonic()

    answer = await redeem(store)

    assert answer.status_code == 504
    assert answer.json()["code"] == "REDEMPTION_UNDECIDED"
    assert "reverse, or ask the status" in answer.json()["detail"]
    assert time.monotonic() - started < WAIT_S + 2
    assert await status(store) == {"result": "undecided", "advice": "reverse it"}


async def test_what_is_not_answered_is_said_again_as_the_same_request(world: World) -> None:
    store = await world.chain("patient")

    await redeem(store)
    said = await world.said("cashout.commands", cashout.RedeemCode)
    mine = [one for one in said if one.message.chain == store.account]

    assert len(mine) >= 3
    assert len({one.id for one in mine}) == 1
    assert mine[0] == mine[-1]


async def test_a_reference_belongs_to_its_chain(world: World) -> None:
    one, other = await world.chain("one"), await world.chain("other")
    live = await world.chain("one", "production")
    await paid(world, one)

    assert (await status(one))["result"] == "valid"
    assert (await status(other))["result"] == "undecided"
    assert (await status(live))["result"] == "undecided"


@pytest.mark.parametrize("reason", [None, "INVALID_CODE"])
async def test_an_inquiry_says_whether_it_would_be_paid(world: World, reason: str | None) -> None:
    store = await world.chain(f"asks-{'no' if reason else 'yes'}")
    body = {"code": CODE, "phone": PHONE, "amount": 100_000}
    waiting = asyncio.create_task(store.send("POST", "/v1/retail/inquiries", body))

    command = await nth(world, store, cashout.InquireCode, 0)
    said = cashout.InquiryAnswered(
        inquiry=command.message.inquiry,
        chain=store.account,
        result="invalid" if reason else "valid",
        reason=reason,
    )
    await world.say(said, said.inquiry, cause=command.id)
    answer = (await waiting).json()

    assert answer == ({"result": "invalid", "reason": reason} if reason else {"result": "valid"})


PARTNERS_ONLY = ("/v1/balance", "/v1/cashouts", "/v1/disbursements", "/v1/events", "/v1/channels")


async def test_a_store_is_no_partner_and_a_partner_no_store(world: World) -> None:
    store, partner = await world.chain("apart"), await world.partner("apart")

    for path in PARTNERS_ONLY:
        assert (await store.send("GET", path)).json()["code"] == "KEY_NOT_ALLOWED"
    answers: Sequence[httpx.Response] = (
        await partner.send("POST", "/v1/retail/redemptions", redemption()),
        await partner.send("GET", "/v1/retail/redemptions/r-1"),
        await reverse(partner),
    )

    assert {one.status_code for one in answers} == {403}
    assert await requests(world, partner, cashout.RedeemCode) == []


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("letters", {"code": "48210937AB"}, "code"),
    ("nine digits", {"code": "482109375"}, "code"),
    ("eleven digits", {"code": "48210937567"}, "code"),
    ("number", {"code": 4821093756}, "code"),
    ("arabic digits", {"code": "٤٨٢١٠٩٣٧٥٦"}, "code"),
    ("newline", {"code": "4821093756\n"}, "code"),
    ("landline", {"phone": "0215551234"}, "phone"),
    ("empty phone", {"phone": ""}, "phone"),
    ("float", {"amount": 100_000.5}, "amount"),
    ("zero", {"amount": 0}, "amount"),
    ("text", {"amount": "100000"}, "amount"),
    ("slash", {"store_ref": "a/b"}, "store_ref"),
    ("no reference", {"store_ref": None}, "store_ref"),
    ("long reference", {"store_ref": "x" * 65}, "store_ref"),
    ("no store", {"store_id": ""}, "store_id"),
    ("terminal", {"terminal_id": "a b"}, "terminal_id"),
    ("no zone", {"cashier_at": "2026-01-31T16:05:00"}, "cashier_at"),
    ("unknown", {"colour": "red"}, "colour"),
]


async def test_nothing_that_is_malformed_reaches_kafka(world: World) -> None:
    store = await world.chain("malformed")

    for name, changes, field in BAD:
        answer = await redeem(store, **changes)
        assert answer.status_code == 422, name
        assert [one["field"] for one in answer.json()["errors"]] == [field], name
        assert CODE not in answer.text
    broken = await store.send("POST", "/v1/retail/redemptions", b'{"code": ')
    phone = await reverse(store, phone="12")
    wrong = await store.send("GET", "/v1/retail/redemptions/a%20b")

    assert broken.json()["code"] == "MALFORMED_JSON"
    assert [one["field"] for one in phone.json()["errors"]] == ["phone"]
    assert wrong.status_code == 422
    assert await requests(world, store, cashout.RedeemCode) == []
    assert await requests(world, store, cashout.ReverseRedemption) == []


async def test_operators_make_chains_and_end_their_keys(world: World) -> None:
    body = {"id": "made", "name": "Made"}
    first = (await world.admin("POST", "/admin/chains", body)).json()
    again = (await world.admin("POST", "/admin/chains", body)).json()
    other = await world.admin("POST", "/admin/chains", body | {"name": "Other"})
    path = "/admin/chains/made/sandbox/keys"
    keys = (await world.admin("GET", path)).json()["data"]
    ended = await world.admin("DELETE", f"{path}/{first['key']}")
    partner = await world.partner("looks")
    channels = (await partner.send("GET", "/v1/channels")).json()["data"]

    assert first["key"] != again["key"]
    assert {one["key"] for one in keys} == {first["key"], again["key"]}
    assert "secret" not in keys[0]
    assert other.json()["code"] == "ALREADY_EXISTS"
    assert ended.json()["revoked"] is True
    store = Partner(world, "made", "sandbox", first["key"], first["secret"])
    assert (await store.send("GET", "/v1/retail/redemptions/x")).status_code == 401
    stores = {one["name"]: one for one in channels if one["type"] == "store"}
    assert stores["made"]["amount_min"] == 50_000
    assert stores["made"]["fees"][0]["step"] == 50_000
