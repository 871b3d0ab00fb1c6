"""A store's till pays only when it heard a yes, and takes back whatever it is not sure of."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import HttpUrl, SecretStr

from services.sandbox.till_line import Credentials, signed
from tests.integration.retail_desk import CODE, KEY, SECRET, Platform
from tests.integration.sandbox_client import open_sandbox, until

ROOT = Path(__file__).parents[2]
CREDENTIALS = {"url": "http://platform.test", "key": KEY, "secret": SECRET}
PHONE, AMOUNT = "081234567890", 100_000
TYPED = {"code": CODE, "phone": PHONE, "amount": AMOUNT}


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
async def http(tmp_path: Path, platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with open_sandbox(tmp_path, stores=platform) as opened:
        await opened.put("/till/credentials", json=CREDENTIALS)
        yield opened


async def redeem(http: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await http.post("/till/redemptions", json=TYPED | changes)
    assert answer.status_code == 200, answer.text
    roll: dict[str, Any] = answer.json()
    return roll


def test_a_till_signs_as_the_published_vectors_say() -> None:
    published = json.loads((ROOT / "docs/api/signature-vectors.json").read_text())
    [vector] = [one for one in published["vectors"] if one["method"] == "GET"]
    credentials = Credentials(
        url=HttpUrl("http://platform.test/"), key=KEY, secret=SecretStr(published["secret"])
    )

    request = signed(credentials, "GET", vector["target"], None, int(published["timestamp"]), 1)

    assert request.headers["Salur-Signature"] == vector["signature"]


async def test_a_valid_code_is_paid_and_its_receipt_printed(
    http: httpx.AsyncClient, platform: Platform
) -> None:
    roll = await redeem(http)

    [exchange] = roll["exchanges"]
    assert (roll["outcome"], roll["receipt"]) == ("paid", {"text": "TARIK TUNAI"})
    assert exchange["answer"]["result"] == "valid"
    assert datetime.fromisoformat(exchange["sent_at"]) >= datetime.fromisoformat(roll["begun_at"])
    assert platform.asked[0][1] == {
        **TYPED,
        "store_ref": roll["store_ref"],
        "store_id": "TJKT-0001",
        "terminal_id": "01",
        "cashier_at": roll["begun_at"],
    }


async def test_a_refused_code_is_not_paid_and_not_reversed(
    http: httpx.AsyncClient, platform: Platform
) -> None:
    roll = await redeem(http, code="1111111111")

    assert (roll["outcome"], roll["reason"]) == ("refused", "INVALID_CODE")
    assert platform.paths() == ["redemptions"]


async def test_a_silent_till_waits_and_reverses_by_itself(
    http: httpx.AsyncClient, platform: Platform
) -> None:
    begun = time.monotonic()

    roll = await redeem(http, behaviour="silent", silent_s=0.15)

    assert time.monotonic() - begun >= 0.15
    assert (roll["outcome"], roll["receipt"]) == ("reversed", None)
    assert [one["heard"] for one in roll["exchanges"]] == [False, True]
    assert roll["exchanges"][1]["answer"]["effect"] == "reversed"
    assert platform.standing[roll["store_ref"]] == "reversed"


async def test_a_reversal_is_repeated_until_it_is_answered(
    http: httpx.AsyncClient, platform: Platform
) -> None:
    platform.loses, platform.breaks = 3, 0

    roll = await redeem(http)

    assert platform.paths() == ["redemptions", *["reversals"] * 3]
    assert roll["outcome"] == "reversed"
    assert [one["error"] for one in roll["exchanges"]] == [*["ReadTimeout"] * 3, ""]
    assert roll["exchanges"][-1]["answer"]["effect"] == "already_reversed"


async def test_a_platform_in_trouble_leaves_no_till_in_doubt(
    http: httpx.AsyncClient, platform: Platform
) -> None:
    platform.breaks = 2

    roll = await redeem(http)

    assert [one["status"] for one in roll["exchanges"]] == [503, 503, 200]
    assert (roll["outcome"], platform.paid) == ("reversed", 0)


async def test_a_redemption_that_comes_after_its_reversal_is_not_paid(
    http: httpx.AsyncClient, platform: Platform
) -> None:
    roll = await redeem(http, behaviour="reverse_first")

    assert platform.paths() == ["reversals", "redemptions"]
    assert (roll["outcome"], roll["reason"]) == ("refused", "REVERSED_BY_STORE")


async def test_a_till_can_reverse_twice_and_hears_yes_both_times(
    http: httpx.AsyncClient,
) -> None:
    roll = await redeem(http, behaviour="reverse_twice")

    effects = [one["answer"].get("effect") for one in roll["exchanges"]]
    assert effects == [None, "reversed", "already_reversed"]
    assert roll["outcome"] == "reversed"


async def test_a_late_till_asks_the_same_again_and_pays_once(
    http: httpx.AsyncClient, platform: Platform
) -> None:
    roll = await redeem(http, behaviour="late", late_s=0.15)

    first, second = (body for _, body in platform.asked)
    assert first == second
    assert roll["ended_at"] > roll["begun_at"]
    assert (roll["outcome"], platform.paid) == ("paid", 1)


async def test_an_amount_that_ends_in_77_is_silent(http: httpx.AsyncClient) -> None:
    roll = await redeem(http, amount=100_077)

    assert (roll["behaviour"], roll["outcome"]) == ("silent", "reversed")


async def test_a_cashier_can_reverse_and_ask_how_it_stands(http: httpx.AsyncClient) -> None:
    paid = await redeem(http, store_ref="ref-1")
    before = (await http.get("/till/redemptions/ref-1")).json()

    reversal = await http.post("/till/reversals", json={"store_ref": "ref-1", "phone": PHONE})

    after = (await http.get("/till/redemptions/ref-1")).json()
    assert paid["outcome"] == "paid"
    assert reversal.json()["outcome"] == "reversed"
    assert (before["answer"]["result"], after["answer"]["result"]) == ("valid", "reversed")
    assert [one["behaviour"] for one in after["rolls"]] == ["reverse", "redeem"]


async def test_a_reference_that_is_none_is_the_platforms_to_refuse(
    http: httpx.AsyncClient, platform: Platform
) -> None:
    answer = await http.get("/till/redemptions/no%2Fsuch ref?")

    assert answer.json()["path"] == "/v1/retail/redemptions/no%2Fsuch%20ref"
    assert len(platform.asked) == 1


async def test_an_inquiry_leaves_no_roll(http: httpx.AsyncClient) -> None:
    answer = (await http.post("/till/inquiries", json=TYPED)).json()

    listed = (await http.get("/till/redemptions")).json()
    assert answer["answer"] == {"result": "valid"}
    assert listed["total"] == 0


async def test_conversations_are_listed_newest_first(http: httpx.AsyncClient) -> None:
    for reference in ("a", "b", "a"):
        await redeem(http, store_ref=reference)

    everything = (await http.get("/till/redemptions", params={"limit": 2})).json()
    about_b = (await http.get("/till/redemptions", params={"store_ref": "b"})).json()
    assert everything["total"] == 3
    assert [row["number"] for row in everything["data"]] == [3, 2]
    assert [row["number"] for row in about_b["data"]] == [2]


async def test_no_conversation_shows_the_code(http: httpx.AsyncClient, tmp_path: Path) -> None:
    await redeem(http)
    await redeem(http, behaviour="silent", silent_s=0)
    await http.post("/till/inquiries", json=TYPED)

    shown = (await http.get("/till/redemptions")).text
    kept = (tmp_path / "till.jsonl").read_text()
    assert PHONE in shown
    assert CODE not in shown + kept


async def test_a_till_that_was_switched_off_takes_back_what_it_asked(
    tmp_path: Path, platform: Platform
) -> None:
    async with open_sandbox(tmp_path, stores=platform) as http:
        await http.put("/till/credentials", json=CREDENTIALS)
        asking = asyncio.create_task(redeem(http, behaviour="silent", silent_s=60))
        await until(lambda: _has(platform, "redemptions"))
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert platform.paths() == ["redemptions"]

    async with open_sandbox(tmp_path, stores=platform) as http:
        await until(lambda: _has(platform, "reversals"))

        [roll] = (await http.get("/till/redemptions")).json()["data"]
    assert roll["outcome"] == "reversed"
    assert platform.standing == {roll["store_ref"]: "reversed"}


async def test_a_till_ends_what_it_began_when_its_caller_hangs_up(
    http: httpx.AsyncClient, platform: Platform
) -> None:
    asking = asyncio.create_task(redeem(http, behaviour="silent", silent_s=0.2))
    await until(lambda: _has(platform, "redemptions"))

    asking.cancel()

    await until(lambda: _has(platform, "reversals"))


async def test_a_restarted_till_knows_its_key_and_its_rolls(
    tmp_path: Path, platform: Platform
) -> None:
    async with open_sandbox(tmp_path, stores=platform) as http:
        await http.put("/till/credentials", json=CREDENTIALS)
        await redeem(http)
        before = (await http.get("/till/redemptions")).json()

    async with open_sandbox(tmp_path, stores=platform) as http:
        assert (await http.get("/till/redemptions")).json() == before
        assert (await redeem(http))["number"] == 2


async def test_a_till_without_a_key_asks_nobody(tmp_path: Path, platform: Platform) -> None:
    async with open_sandbox(tmp_path, stores=platform) as http:
        answer = await http.post("/till/redemptions", json=TYPED)

    assert answer.status_code == 409
    assert platform.asked == []


async def test_a_key_that_the_platform_refuses_is_not_tried_for_ever(tmp_path: Path) -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"code": "SIGNATURE_INVALID"})

    async with open_sandbox(tmp_path, stores=httpx.MockTransport(refuse)) as http:
        await http.put("/till/credentials", json=CREDENTIALS)
        roll = await redeem(http)
        asked = {"store_ref": "ref-1", "phone": PHONE}
        reversal = (await http.post("/till/reversals", json=asked)).json()

    assert (roll["outcome"], roll["reason"]) == ("failed", "SIGNATURE_INVALID")
    assert reversal["outcome"] == "failed"
    assert [len(one["exchanges"]) for one in (roll, reversal)] == [1, 1]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/till/credentials", {"url": "platform", "key": KEY, "secret": SECRET}),
        ("PUT", "/till/credentials", {"url": "http://platform.test"}),
        ("POST", "/till/redemptions", TYPED | {"behaviour": "dance"}),
        ("POST", "/till/redemptions", TYPED | {"mood": "bad"}),
        ("POST", "/till/reversals", {"store_ref": "a"}),
    ],
)
async def test_a_wrong_order_to_the_till_is_refused(
    http: httpx.AsyncClient, platform: Platform, method: str, path: str, body: dict[str, Any]
) -> None:
    answer = await http.request(method, path, json=body)

    assert answer.status_code == 422
    assert SECRET not in answer.text
    assert platform.asked == []


async def test_only_the_newest_conversations_are_kept(tmp_path: Path, platform: Platform) -> None:
    async with open_sandbox(tmp_path, stores=platform, till_kept=2) as http:
        await http.put("/till/credentials", json=CREDENTIALS)
        for _ in range(4):
            await redeem(http)

        rows = (await http.get("/till/redemptions")).json()["data"]
    assert [row["number"] for row in rows] == [4, 3]


async def _has(platform: Platform, path: str) -> bool:
    return path in platform.paths()
