"""What is refused at the door, and how what was let in is listed."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from contracts.disburse.v1 import Failure
from tests.integration.gateway_world import World, payment, running
from tests.support.space import Space, eventually


@pytest.fixture(scope="module")
async def world(kafka_url: str, mongo_url: str) -> AsyncIterator[World]:
    name = uuid4().hex[:12]
    async with running(Space(kafka_url, mongo_url, f"t{name}.", f"t{name}_")) as made:
        yield made


NUL = "A\x00B"
BAD: list[tuple[str, Any, int, str]] = [
    ("malformed", b'{"reference": ', 400, ""),
    ("empty", b"", 400, ""),
    ("not utf-8", b'{"reference": "\xff"}', 400, ""),
    ("no object", b"[]", 422, "body"),
    ("float", json.dumps(payment()).replace("1500000", "1500000.0").encode(), 422, "amount"),
    ("negative", payment(amount=-1), 422, "amount"),
    ("text amount", payment(amount="10000"), 422, "amount"),
    ("boolean amount", payment(amount=True), 422, "amount"),
    ("huge amount", payment(amount=10**30), 422, "amount"),
    ("too small", payment(amount=9_999), 422, "amount"),
    ("too large", payment(amount=50_000_001), 422, "amount"),
    ("unknown field", payment(colour="red"), 422, "colour"),
    ("currency", payment(currency="USD"), 422, "currency"),
    ("reference", payment(reference="a b"), 422, "reference"),
    ("newline", payment(reference="a\n"), 422, "reference"),
    ("NUL", payment(description=NUL), 422, "description"),
    ("past", payment(instruct_at="2020-01-01T00:00:00+07:00"), 422, "instruct_at"),
    ("no zone", payment(instruct_at="2099-01-01T00:00:00"), 422, "instruct_at"),
    ("far", payment(instruct_at="9999-12-31T23:59:59-12:00"), 422, "instruct_at"),
    ("metadata", payment(metadata={"a.b": "c"}), 422, "metadata.a.b"),
    ("many metadata", payment(metadata={str(n): "" for n in range(21)}), 422, "metadata"),
    (
        "unknown bank",
        payment(destination={"type": "bank_account", "bank": "BCAA", "account_number": "12345"}),
        422,
        "destination.bank",
    ),
    (
        "number",
        payment(destination={"type": "bank_account", "bank": "BCA", "account_number": "1 2"}),
        422,
        "destination.account_number",
    ),
    (
        "phone",
        payment(destination={"type": "e_wallet", "wallet": "OVO", "phone": "021555"}),
        422,
        "destination.phone",
    ),
    (
        "no such type",
        payment(destination={"type": "cheque"}),
        422,
        "destination",
    ),
    (
        "strict without a name",
        payment(
            name_check="strict",
            destination={"type": "bank_account", "bank": "BCA", "account_number": "12345"},
        ),
        422,
        "destination.account_name",
    ),
]


async def test_nothing_that_is_refused_reaches_kafka_or_is_stored(world: World) -> None:
    partner = await world.partner("refused")
    before = len(await world.said("disburse.commands"))

    for name, body, status, field in BAD:
        answer = await partner.send("POST", "/v1/disbursements", body, key=f"k-{len(name)}")
        problem = answer.json()
        assert answer.status_code == status, (name, problem)
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["request_id"] == answer.headers["Salur-Request-Id"]
        if field:
            assert [one["field"] for one in problem["errors"]] == [field], (name, problem)

    assert len(await world.said("disburse.commands")) == before
    listed = await partner.send("GET", "/v1/disbursements")
    assert listed.json() == {"data": [], "next_cursor": None}


async def test_an_unknown_bank_is_answered_with_what_comes_near(world: World) -> None:
    partner = await world.partner("misspelt")
    bank = {"type": "bank_account", "bank": "Mandri", "account_number": "12345"}

    problem = (await partner.pay(destination=bank)).json()

    assert problem["code"] == "UNKNOWN_BANK"
    assert "Mandiri" in problem["errors"][0]["message"]


async def test_lists_are_paged_filtered_and_newest_first(world: World) -> None:
    partner = await world.partner("lists")
    lives = [(await partner.pay(f"k{n}", reference=f"r{n}")).json()["id"] for n in range(5)]
    await world.become(lives[0], 1, "failed", failure=Failure(code="REJECTED_BY_BANK"))

    first = (await partner.send("GET", "/v1/disbursements?limit=3")).json()
    target = f"/v1/disbursements?limit=3&cursor={first['next_cursor']}"
    second = (await partner.send("GET", target)).json()
    by_reference = (await partner.send("GET", "/v1/disbursements?reference=r2")).json()

    assert [one["id"] for one in first["data"] + second["data"]] == lives[::-1]
    assert second["next_cursor"] is None
    assert [one["id"] for one in by_reference["data"]] == [lives[2]]

    async def filtered() -> None:
        found = (await partner.send("GET", "/v1/disbursements?status=failed")).json()
        assert [one["id"] for one in found["data"]] == [lives[0]]
        events = (await partner.send("GET", "/v1/events")).json()["data"]
        assert [one["type"] for one in events] == ["disbursement.failed"]
        assert events[0]["data"]["id"] == lives[0]

    await eventually(filtered)
    for query in ("limit=0", "limit=101", "cursor=x", "status=x", "created_from=x", "what=1"):
        wrong = await partner.send("GET", f"/v1/disbursements?{query}")
        assert wrong.status_code == 422, query
    since = "created_from=2020-01-01T00:00:00%2B07:00&created_to=2021-01-01T00:00:00%2B07:00"
    old = await partner.send("GET", f"/v1/disbursements?{since}")
    assert old.json()["data"] == []
