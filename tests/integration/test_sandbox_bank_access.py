"""Only who signs right is heard by the play bank, and only with all fields in place."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.sandbox.gate import minified
from tests.integration.sandbox_client import Client, open_bank, stamp, transfer


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_bank(tmp_path) as client:
        yield client


async def test_a_signed_token_request_gets_a_token_for_900_seconds(bank: Client) -> None:
    answer = await bank.ask_token()

    assert answer.status_code == 200
    assert answer.json()["responseCode"] == "2007300"
    assert answer.json()["expiresIn"] == "900"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signature": base64.b64encode(b"x" * 256).decode()}, "4017300"),
        ({"signature": "not base64"}, "4017300"),
        ({"client": "somebody-else"}, "4017300"),
        ({"timestamp": stamp(-3600)}, "4017300"),
        ({"timestamp": "2026-01-01T00:00:00"}, "4007301"),
        ({"signature": ""}, "4007302"),
        ({"grant": "password"}, "4007301"),
    ],
)
async def test_a_token_request_with_something_wrong_is_refused(
    bank: Client, changes: dict[str, str], code: str
) -> None:
    answer = await bank.ask_token(**changes)

    assert answer.json()["responseCode"] == code
    assert answer.status_code == int(code[:3])
    assert "accessToken" not in answer.json()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X_SIGNATURE": base64.b64encode(b"x" * 64).decode()}, "4011800"),
        ({"Authorization": "Bearer made-up"}, "4011801"),
        ({"X_TIMESTAMP": stamp(-3600)}, "4011800"),
        ({"X_TIMESTAMP": "yesterday"}, "4001801"),
        ({"CHANNEL_ID": None}, "4001802"),
        ({"X_EXTERNAL_ID": "9" * 37}, "4001801"),
    ],
)
async def test_a_call_that_is_not_signed_right_pays_nothing_and_is_not_remembered(
    bank: Client, headers: dict[str, str | None], code: str
) -> None:
    refused = await bank.call("/transfer-interbank", transfer("disb_1"), **headers)

    assert refused.json()["responseCode"] == code
    assert await bank.executions() == []
    assert (await bank.pay("disb_1")).json()["responseCode"] == "2001800"


async def test_a_changed_byte_of_the_body_breaks_the_signature(bank: Client) -> None:
    honest = json.dumps(transfer("disb_1"), separators=(",", ":")).encode()
    sent: list[httpx.Request] = []
    bank.http.event_hooks["request"] = [lambda request: _keep(sent, request)]
    await bank.call("/transfer-interbank", honest)
    headers = dict(sent[-1].headers) | {"content-length": str(len(honest))}
    forged = honest.replace(b"150000.00", b"950000.00").replace(b"disb_1", b"disb_2")

    answer = await bank.http.post("/bank/v1.0/transfer-interbank", headers=headers, content=forged)

    assert answer.json()["responseCode"] == "4011800"
    assert len(await bank.executions()) == 1


async def _keep(sent: list[httpx.Request], request: httpx.Request) -> None:
    sent.append(request)


def test_minifying_drops_white_space_between_tokens_and_nothing_else() -> None:
    body = b'{ "a b" : "x \\" y" ,\n\t"n": 1.50, "u":"\\u0041" }'

    assert minified(body) == b'{"a b":"x \\" y","n":1.50,"u":"\\u0041"}'


async def test_a_token_ends_with_its_life(tmp_path: Path) -> None:
    async with open_bank(tmp_path, token_life_s=1) as bank:
        await bank.pay("disb_1")
        await asyncio.sleep(1.05)

        assert (await bank.pay("disb_2")).json()["responseCode"] == "4011801"


@pytest.mark.parametrize("field", sorted(transfer("")))
async def test_each_mandatory_field_is_named_when_it_is_missing(bank: Client, field: str) -> None:
    body = transfer("disb_1")
    del body[field]

    refused = (await bank.call("/transfer-interbank", body)).json()

    assert refused["responseCode"] == "4001802"
    assert field in refused["responseMessage"]
    assert await bank.executions() == []


async def test_nonsense_bodies_are_bad_requests(bank: Client) -> None:
    for nonsense in (b"", b"{", b"[]", b"7", b'{"x":"' + b"y" * 300_000 + b'"}'):
        answer = await bank.call("/transfer-interbank", nonsense)

        assert answer.json()["responseCode"] == "4001800"


async def test_an_external_id_is_good_for_one_call_a_day(bank: Client) -> None:
    await bank.pay("disb_1", X_EXTERNAL_ID="77")

    assert (await bank.pay("disb_2", X_EXTERNAL_ID="77")).json()["responseCode"] == "4091800"
    assert (await bank.status("disb_2"))["latestTransactionStatus"] == "06"
    assert len(await bank.executions()) == 1
