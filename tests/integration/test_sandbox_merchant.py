"""The demo merchant believes only what was signed, and shows everything that came."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.integration.sandbox_client import open_sandbox

SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four+").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"another of twenty-four++").decode()


def event(reference: str = "payroll-7-ani", kind: str = "disbursement.succeeded") -> dict[str, Any]:
    data = {"id": f"disb_{reference}", "reference": reference, "status": "succeeded"}
    return {"id": "evt_1", "type": kind, "occurred_at": "2026-07-01T10:00:00+07:00", "data": data}


async def deliver(
    http: httpx.AsyncClient,
    body: dict[str, Any],
    *,
    webhook_id: str = "evt_1",
    secret: str = SECRET,
    at: datetime | None = None,
    forge: bytes | None = None,
    path: str = "/merchant/callbacks",
) -> httpx.Response:
    """Signed by the standard's own library; ``forge`` is sent instead of what was signed."""
    raw = json.dumps(body)
    moment = at or datetime.now(UTC)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, moment, raw),
    }
    return await http.post(path, headers=headers, content=forge or raw.encode())


async def callbacks(
    http: httpx.AsyncClient, path: str = "/merchant/callbacks", **query: Any
) -> Any:
    return (await http.get(path, params=query)).json()


async def register(
    http: httpx.AsyncClient, endpoint: str = "endp_1", secret: str = SECRET
) -> httpx.Response:
    return await http.put(f"/merchant/secrets/{endpoint}", json={"secret": secret})


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with open_sandbox(tmp_path) as opened:
        await register(opened)
        yield opened


async def test_a_callback_that_the_standard_library_signed_is_verified(
    http: httpx.AsyncClient,
) -> None:
    answer = await deliver(http, event())

    found = await callbacks(http)
    assert answer.status_code == 200
    assert (found["total"], found["verified"]) == (1, 1)
    assert found["data"][0]["body"] == event()
    assert found["data"][0]["type"] == "disbursement.succeeded"


@pytest.mark.parametrize(
    "forgery",
    [
        {"forge": json.dumps(event("somebody-else")).encode()},
        {"secret": OTHER_SECRET},
        # Seconds from when the test runs, not from when it was collected.
        {"after_s": -400},
        {"after_s": 400},
    ],
    ids=["changed body", "wrong secret", "too old", "from the future"],
)
async def test_a_forged_callback_is_refused_and_flagged(
    http: httpx.AsyncClient, forgery: dict[str, Any]
) -> None:
    if "after_s" in forgery:
        forgery = {"at": datetime.now(UTC) + timedelta(seconds=forgery["after_s"])}

    answer = await deliver(http, event(), **forgery)

    (row,) = (await callbacks(http))["data"]
    assert answer.status_code == 401
    assert row["verified"] is False
    assert row["reason"]
    assert row["times_accepted"] == 0


async def test_a_callback_without_its_headers_is_flagged(http: httpx.AsyncClient) -> None:
    answer = await http.post("/merchant/callbacks", content=b"\xff not json")

    (row,) = (await callbacks(http))["data"]
    assert answer.status_code == 401
    assert row["verified"] is False


async def test_a_forgery_under_a_known_id_does_not_touch_the_genuine_one(
    http: httpx.AsyncClient,
) -> None:
    await deliver(http, event())
    await deliver(http, event(), forge=b'{"data":{"reference":"payroll-7-ani"}}')

    rows = (await callbacks(http, reference="payroll-7-ani"))["data"]
    assert [(row["verified"], row["times"]) for row in rows] == [(True, 1), (False, 1)]


async def test_one_right_signature_among_several_is_enough(http: httpx.AsyncClient) -> None:
    raw = json.dumps(event())
    now = datetime.now(UTC)
    signatures = [Webhook(secret).sign("evt_1", now, raw) for secret in (OTHER_SECRET, SECRET)]
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(["v1a,ed25519", *signatures]),
    }

    answer = await http.post("/merchant/callbacks", headers=headers, content=raw)

    assert answer.json() == {"verified": True, "reason": None}


async def test_a_repeated_delivery_is_counted_and_shown_once(http: httpx.AsyncClient) -> None:
    for _ in range(3):
        await deliver(http, event())
    await deliver(http, event() | {"sequence": 9})

    (row,) = (await callbacks(http))["data"]
    assert (row["times"], row["times_accepted"], row["times_changed"]) == (4, 4, 1)
    assert row["body"] == event()


async def test_callbacks_are_found_by_reference_type_time_and_number(
    http: httpx.AsyncClient,
) -> None:
    await deliver(http, event("a"), webhook_id="evt_a")
    await deliver(http, event("b", "disbursement.failed"), webhook_id="evt_b")
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()

    async def ids(**query: Any) -> list[str]:
        return [row["webhook_id"] for row in (await callbacks(http, **query))["data"]]

    assert await ids() == ["evt_a", "evt_b"]
    assert await ids(reference="a") == await ids(reference="disb_a") == ["evt_a"]
    assert await ids(type="disbursement.failed") == await ids(after=1) == ["evt_b"]
    assert await ids(since=later) == await ids(limit=0) == await ids(reference="c") == []
    assert (await callbacks(http, limit=0))["total"] == 2
    assert (await http.get("/merchant/callbacks?since=today")).status_code == 400


async def test_an_error_is_answered_as_often_as_it_was_asked_for(http: httpx.AsyncClient) -> None:
    await http.put("/merchant/mode", json={"status": 500, "next": 2})

    answers = [(await deliver(http, event())).status_code for _ in range(3)]

    (row,) = (await callbacks(http))["data"]
    assert answers == [500, 500, 200]
    assert (row["times"], row["times_accepted"]) == (3, 1)


async def test_a_merchant_can_be_gone_until_it_is_told_otherwise(http: httpx.AsyncClient) -> None:
    await http.put("/merchant/mode", json={"status": 410})
    gone = [(await deliver(http, event())).status_code for _ in range(3)]
    await http.put("/merchant/mode", json={})

    assert gone == [410, 410, 410]
    assert (await deliver(http, event())).status_code == 200


async def test_a_slow_merchant_holds_up_only_its_own_answers(http: httpx.AsyncClient) -> None:
    await http.put("/merchant/mode", json={"delay_s": 0.2, "next": 1})
    start = time.monotonic()
    slow = asyncio.create_task(deliver(http, event()))
    await asyncio.sleep(0.05)
    await deliver(http, event(), webhook_id="evt_2")

    assert not slow.done()
    assert (await slow).status_code == 200
    assert time.monotonic() - start >= 0.2


async def test_merchants_have_their_own_secrets_modes_and_callbacks(
    http: httpx.AsyncClient,
) -> None:
    await register(http, "toko", OTHER_SECRET)
    await http.put("/merchant/mode", json={"status": 500})
    path = "/merchant/toko/callbacks"

    mine = await deliver(http, event(), secret=OTHER_SECRET, path=path)
    not_mine = await deliver(http, event(), secret=SECRET, path=path)

    assert (mine.status_code, not_mine.status_code) == (200, 401)
    assert (await callbacks(http))["total"] == 0
    assert (await callbacks(http, path))["total"] == 2


async def test_an_endpoint_can_be_given_to_a_named_merchant(http: httpx.AsyncClient) -> None:
    asked = {"secret": OTHER_SECRET, "merchant": "toko"}
    answer = await http.put("/merchant/secrets/endp_2", json=asked)

    delivered = await deliver(http, event(), secret=OTHER_SECRET, path="/merchant/toko/callbacks")

    assert answer.json() == {"endpoint": "endp_2", "merchant": "toko"}
    assert delivered.status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/merchant/secrets/endp_1", b'{"secret": "whsec_%%%"}'),
        ("/merchant/secrets/endp_1", b'{"secret": "whsec_"}'),
        ("/merchant/secrets/endp_1", b"{}"),
        ("/merchant/mode", b'{"status": 99}'),
        ("/merchant/mode", b'{"mood": "bad"}'),
    ],
)
async def test_a_wrong_order_to_the_merchant_is_refused(
    http: httpx.AsyncClient, path: str, body: bytes
) -> None:
    assert (await http.put(path, content=body)).status_code == 422
    assert (await deliver(http, event())).status_code == 200


async def test_a_restarted_merchant_knows_its_secret_and_what_came(tmp_path: Path) -> None:
    async with open_sandbox(tmp_path) as http:
        await register(http)
        await deliver(http, event())
        await deliver(http, event())
        before = await callbacks(http)

    async with open_sandbox(tmp_path) as http:
        assert await callbacks(http) == before
        assert (await deliver(http, event())).status_code == 200
        assert (await callbacks(http))["data"][0]["times"] == 3


async def test_only_the_newest_callbacks_are_kept(tmp_path: Path) -> None:
    async with open_sandbox(tmp_path, callbacks_kept=2) as http:
        await register(http)
        for number in range(4):
            await deliver(http, event(f"r{number}"), webhook_id=f"evt_{number}")

        rows = (await callbacks(http))["data"]
        assert [row["webhook_id"] for row in rows] == ["evt_2", "evt_3"]
        assert (await callbacks(http, reference="r0"))["total"] == 0


async def test_an_oversized_callback_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/merchant/callbacks", content=b"x" * 300_000)

    assert answer.status_code == 413
    assert (await callbacks(http))["total"] == 0
