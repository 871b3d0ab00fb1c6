"""A partner asks for a code; the cash-out service is played by hand."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.cashout import v1 as cashout
from contracts.cashout.keys import PhoneKey
from contracts.envelope import Envelope
from tests.integration.gateway_codes import CODE, PHONE, ask, asked, become, issue, request, shows
from tests.integration.gateway_world import PHONE_KEY, World, running
from tests.support.space import Space, eventually


@pytest.fixture(scope="module")
async def world(kafka_url: str, mongo_url: str) -> AsyncIterator[World]:
    name = uuid4().hex[:12]
    lives = {"brief": 60, "brief.production": 30}
    space = Space(kafka_url, mongo_url, f"t{name}.", f"t{name}_")
    async with running(space, cancel_wait_s=2, cashout_wait_s=4, code_lives_s=lives) as made:
        yield made


async def test_the_code_comes_in_the_answer_when_it_is_issued_within_the_wait(world: World) -> None:
    partner = await world.partner("quick")
    waiting = asyncio.create_task(ask(partner, prefer=""))

    await eventually(lambda: become(world, partner, "active", 2))
    answer = await waiting
    again = await ask(partner)
    read = await partner.send("GET", f"/v1/cashouts/{answer.json()['id']}")

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["code"]) == ("active", "4821 0937 56")
    assert answer.json()["fee"] == 5_000
    assert answer.json()["phone"] == "0812****7890"
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json() == read.json() == answer.json()


async def test_a_code_that_takes_longer_is_202_and_comes_by_get(world: World) -> None:
    partner = await world.partner("slow")

    answer = await ask(partner)
    life = answer.json()["id"]

    assert answer.status_code == 202
    assert answer.json()["status"] == "processing"
    assert "code" not in answer.json()
    await become(world, partner, "active", 2)
    await eventually(lambda: shows(partner, life, "active"))
    by_reference = (await partner.send("GET", "/v1/cashouts?reference=refund-42")).json()["data"]
    assert [one["code"] for one in by_reference] == ["4821 0937 56"]


async def test_what_is_asked_for_stands_in_the_line_of_its_phone_and_is_sealed(
    world: World,
) -> None:
    partner = await world.partner("sealed")

    await ask(partner, phone="+62 812-3456-7890")
    command = await asked(world, partner)

    digest = PhoneKey(PHONE_KEY).phone_hash("6281234567890")
    assert (command.key, command.message.phone_hash) == (digest, digest)
    assert world.sealer.open(command.message.order.phone, cashout.PHONE) == "6281234567890"
    assert "81234567890" not in command.message.model_dump_json()


@pytest.mark.parametrize("status", ["paid", "cancelled", "expired", "blocked", "reversed"])
async def test_a_code_is_gone_once_it_cannot_be_redeemed(world: World, status: str) -> None:
    partner = await world.partner(f"gone-{status}")
    life = await issue(world, partner)
    more = {"failure": {"code": "REVERSED_BY_STORE"}} if status == "reversed" else {}

    await become(world, partner, status, 3, **more)
    shown_as = {"paid": "succeeded"}.get(status, status)
    await eventually(lambda: shows(partner, life, shown_as))
    # A slow process says an old thing again.
    await become(world, partner, "active", 2)
    await become(world, partner, "requested", 1)
    await asyncio.sleep(0.5)
    shown = (await partner.send("GET", f"/v1/cashouts/{life}")).json()

    assert (shown["status"], shown["sequence"]) == (shown_as, 3)
    assert "code" not in shown


async def test_a_code_stands_in_no_list_no_event_and_no_row(world: World) -> None:
    partner = await world.partner("grepped")
    await issue(world, partner)

    listed = (await partner.send("GET", "/v1/cashouts")).text
    events = await partner.send("GET", "/v1/events")
    db = world.gateway.requests._db
    rows = [
        str(row)
        for name in await db.list_collection_names()
        async for row in db[name].find({"account": partner.account})
    ]

    assert [one["type"] for one in events.json()["data"]] == ["cashout.active"]
    for text in (listed, events.text, *rows):
        for secret in (CODE, "4821 0937 56", "81234567890"):
            assert secret not in text


async def test_a_refused_hold_ends_the_wait_with_its_reason(world: World) -> None:
    partner = await world.partner("poor")
    waiting = asyncio.create_task(ask(partner, prefer=""))

    failure = {"failure": {"code": "INSUFFICIENT_BALANCE"}}
    await eventually(lambda: become(world, partner, "failed", 2, **failure))
    answer = await waiting

    assert answer.status_code == 200
    assert answer.json()["failure"]["retry"] == "after_top_up"


async def test_a_key_a_reference_and_a_body_are_held_to_each_other(world: World) -> None:
    partner = await world.partner("holds")
    first = (await ask(partner)).json()["id"]

    body = await ask(partner, amount=150_000)
    reference = await ask(partner, "key-2")
    crowd = await asyncio.gather(*(ask(partner, "key-3", reference="crowd") for _ in range(6)))

    assert body.json()["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert reference.status_code == 409
    assert reference.json()["original"] == {"id": first, "href": f"/v1/cashouts/{first}"}
    assert len({one.json()["id"] for one in crowd}) == 1


async def test_a_code_lives_as_long_as_its_partners_terms_say(world: World) -> None:
    lives = {}
    for name, environment in (("usual", "sandbox"), ("brief", "sandbox"), ("brief", "production")):
        partner = await world.partner(name, environment)  # type: ignore[arg-type]
        shown = (await ask(partner)).json()
        made, ends = (datetime.fromisoformat(shown[n]) for n in ("created_at", "expires_at"))
        lives[partner.account] = (ends - made).total_seconds()
    tomorrow = (datetime.now(UTC) + timedelta(hours=30)).isoformat(timespec="milliseconds")
    partner = await world.partner("says-when")
    said = (await ask(partner, expires_at=tomorrow)).json()["expires_at"]

    assert lives == {"usual.sandbox": 86_400, "brief.sandbox": 60, "brief.production": 30}
    assert datetime.fromisoformat(said) == datetime.fromisoformat(tomorrow)


BAD: list[tuple[str, Any, int, str]] = [
    ("malformed", b'{"reference": ', 400, ""),
    ("no object", b"[]", 422, "body"),
    ("float", json.dumps(request()).replace("100000", "100000.0").encode(), 422, "amount"),
    ("text amount", request(amount="100000"), 422, "amount"),
    ("too small", request(amount=49_999), 422, "amount"),
    ("too large", request(amount=2_550_000), 422, "amount"),
    ("no multiple", request(amount=75_000), 422, "amount"),
    ("landline", request(phone="021555"), 422, "phone"),
    ("no phone", {k: v for k, v in request().items() if k != "phone"}, 422, "phone"),
    ("no name", request(recipient_name=""), 422, "recipient_name"),
    ("NUL", request(recipient_name="A\x00"), 422, "recipient_name"),
    ("reference", request(reference="a b"), 422, "reference"),
    ("currency", request(currency="USD"), 422, "currency"),
    ("past", request(expires_at="2020-01-01T00:00:00+07:00"), 422, "expires_at"),
    ("far", request(expires_at="9999-01-01T00:00:00+07:00"), 422, "expires_at"),
    ("no zone", request(expires_at="2099-01-01T00:00:00"), 422, "expires_at"),
    ("own code", request(code="1234567890"), 422, "code"),
]


async def test_nothing_that_is_refused_reaches_kafka_or_is_stored(world: World) -> None:
    partner = await world.partner("refused")
    before = len(await world.said("cashout.commands"))

    for name, body, status, field in BAD:
        answer = await partner.send("POST", "/v1/cashouts", body, key=f"k-{name[:2]}")
        assert answer.status_code == status, (name, answer.text)
        if field:
            assert [one["field"] for one in answer.json()["errors"]] == [field], name
        assert PHONE[1:] not in answer.text

    assert len(await world.said("cashout.commands")) == before
    assert (await partner.send("GET", "/v1/cashouts")).json()["data"] == []


async def cancels(world: World, life: str) -> list[Envelope[Any]]:
    said = await world.said("cashout.commands", cashout.CancelCashout)
    found = [one for one in said if one.message.cashout == life]
    assert found
    return found


async def test_an_active_code_is_cancelled_in_the_line_of_its_phone(world: World) -> None:
    partner = await world.partner("cancels")
    life = await issue(world, partner)
    waiting = asyncio.create_task(partner.send("POST", f"/v1/cashouts/{life}/cancel", key="c1"))

    async def cancelled() -> None:
        command = (await cancels(world, life))[0]
        assert command.key == command.message.phone_hash
        await become(world, partner, "cancelled", 3, command.id)

    await eventually(cancelled)
    answer = await waiting

    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    await shows(partner, life, "cancelled")


async def test_a_refused_cancel_is_409_and_shows_what_it_is(world: World) -> None:
    partner = await world.partner("too-late")
    life = await issue(world, partner)
    waiting = asyncio.create_task(partner.send("POST", f"/v1/cashouts/{life}/cancel", key="c1"))

    async def refused() -> None:
        command = (await cancels(world, life))[0]
        refusal = cashout.CommandRefused(
            cashout=life,
            command=command.id,
            command_type=command.type,
            reason="NOT_CANCELLABLE",
        )
        await world.say(refusal, command.id)

    await eventually(refused)
    answer = await waiting

    assert answer.status_code == 409
    assert answer.json()["code"] == "NOT_CANCELLABLE"
    assert answer.json()["current"]["id"] == life


async def test_anothers_cashout_is_unknown_and_so_is_a_disbursement(world: World) -> None:
    owner, stranger = await world.partner("owner"), await world.partner("stranger")
    life = (await ask(owner)).json()["id"]
    paid = (await owner.pay()).json()["id"]

    for caller, one in ((stranger, life), (owner, paid)):
        assert (await caller.send("GET", f"/v1/cashouts/{one}")).status_code == 404
        cancel = await caller.send("POST", f"/v1/cashouts/{one}/cancel", key="c")
        assert cancel.status_code == 404


async def test_one_reference_may_name_a_payment_and_a_cashout(world: World) -> None:
    partner = await world.partner("both")

    paid = await partner.pay("one", reference="same")
    cash = await ask(partner, "one", reference="same")

    assert (paid.status_code, cash.status_code) == (202, 202)


async def test_a_request_nobody_heard_is_said_again_under_its_id(world: World) -> None:
    partner = await world.partner("unheard")
    await ask(partner)
    await ask(partner)

    said = await world.said("cashout.commands", cashout.RequestCashout)
    mine = [one for one in said if one.message.order.account == partner.account]

    assert len(mine) == 2
    assert mine[0] == mine[1]
