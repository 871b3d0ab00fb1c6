"""What operators and banks ask for."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from contracts.callbacks.v1 import EndpointSet, SetEndpoint
from contracts.disburse.v1 import TransferReturned
from contracts.ids import new_public_id
from contracts.ledger import v1 as ledger
from contracts.sealed import Sealer
from services._kit.snap_signature import notice_signature, timestamp
from tests.integration.gateway_world import CALLBACK_SEAL_KEY, World, running
from tests.support.space import Space, eventually

BANK_KEY = rsa.generate_private_key(65537, 2048)
BANK_PEM = (
    BANK_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


@pytest.fixture(scope="module")
async def world(kafka_url: str, mongo_url: str) -> AsyncIterator[World]:
    name = uuid4().hex[:12]
    space = Space(kafka_url, mongo_url, f"t{name}.", f"t{name}_")
    changes = {"operator_wait_s": 1, "bank_public_keys": {"bca": BANK_PEM}, "key_cache_s": 0}
    async with running(space, **changes) as made:
        yield made


async def answer_once(world: World, account: str, kind: type[ledger.OpenAccount]) -> None:
    """The ledger, played by hand: the newest command of a kind is done."""

    async def done() -> None:
        said = await world.said("ledger.commands", kind)
        mine = [one for one in said if one.key == account]
        assert mine
        command = mine[-1]
        held = {"account": account, "available": 7, "held": 0}
        terms = {"scheme": "deposit", "credit_limit": 0}
        answers: dict[type[Any], Any] = {
            ledger.OpenAccount: lambda: ledger.AccountOpened.model_validate(held | terms),
            ledger.CreditDeposit: lambda: ledger.DepositCredited.model_validate(
                held | {"amount": 1, "external_reference": "t"}
            ),
        }
        await world.say(answers[kind](), command.correlation, 1)

    await eventually(done)


async def test_a_new_partner_has_both_accounts_and_a_filled_sandbox(world: World) -> None:
    body = {"id": "toko", "name": "Toko"}

    answer = await world.admin("POST", "/admin/partners", body)
    again = await world.admin("POST", "/admin/partners", body)
    other = await world.admin("POST", "/admin/partners", {"id": "toko", "name": "Warung"})

    assert answer.status_code == 202
    said = await world.said("ledger.commands")
    opened = [one for one in said if isinstance(one.message, ledger.OpenAccount)]
    assert {one.key for one in opened} == {"toko.sandbox", "toko.production"}
    grants = [one for one in said if isinstance(one.message, ledger.CreditDeposit)]
    assert {one.key for one in grants} == {"toko.sandbox"}
    assert grants[0].message.amount == 1_000_000_000
    # Asked again, the same is said again under the same ids.
    assert again.status_code == 202
    assert len(opened) == 4
    assert len({one.id for one in said}) == 3
    assert other.json()["code"] == "ALREADY_EXISTS"


async def test_a_top_up_is_200_when_its_event_comes_and_202_before(world: World) -> None:
    await world.partner("topped")
    target = "/admin/partners/topped/sandbox/top-ups"
    body = {"amount": 5_000, "external_reference": "trx-1"}

    unheard = await world.admin("POST", target, body)
    waiting = asyncio.create_task(world.admin("POST", target, body))
    await asyncio.sleep(0.2)
    await answer_once(world, "topped.sandbox", ledger.CreditDeposit)  # type: ignore[arg-type]
    heard = await waiting

    assert unheard.status_code == 202
    assert heard.status_code == 200
    assert heard.json()["available"] == 7


async def test_an_endpoints_secret_is_shown_once_and_travels_sealed(world: World) -> None:
    await world.partner("called-back")
    target = "/admin/partners/called-back/sandbox/endpoints"

    made = (await world.admin("POST", target, {"url": "http://127.0.0.1:9/cb"})).json()
    (command,) = await world.said("callbacks.commands", SetEndpoint)
    event = EndpointSet(
        endpoint=made["endpoint"],
        partner="called-back",
        environment="sandbox",
        url=command.message.url,
        events=("*",),
        enabled=True,
    )
    await world.say(event, command.correlation, 1)

    opened = Sealer(CALLBACK_SEAL_KEY).open(command.message.secret, "endpoint_secret")
    assert opened == made["secret"]
    assert made["secret"].startswith("whsec_")

    async def listed() -> None:
        rows = (await world.admin("GET", target)).json()["data"]
        row = {"endpoint": made["endpoint"], "url": "http://127.0.0.1:9/cb"}
        assert rows == [row | {"events": ["*"], "enabled": True}]

    await eventually(listed)


async def test_terms_and_thawing_are_commands_of_the_ledger(world: World) -> None:
    await world.partner("thawed")
    base = "/admin/partners/thawed/production"

    terms = await world.admin("POST", f"{base}/terms", {"scheme": "invoice", "credit_limit": 9})
    thaw = await world.admin("POST", f"{base}/thaw", {"by": "Budi", "reason": "looked"})
    too_much = await world.admin(
        "POST", f"{base}/terms", {"scheme": "invoice", "credit_limit": 10**13}
    )

    assert (terms.status_code, thaw.status_code, too_much.status_code) == (202, 202, 422)
    said = {one.type for one in await world.said("ledger.commands") if "thawed" in one.key}
    assert said == {ledger.SetTerms.type, ledger.ThawAccount.type}


async def test_a_key_that_was_revoked_lets_nobody_in(world: World) -> None:
    partner = await world.partner("revoked")
    target = f"/admin/partners/revoked/sandbox/keys/{partner.key}"
    before = await partner.send("GET", "/v1/channels")

    await world.admin("DELETE", target)
    after = await partner.send("GET", "/v1/channels")
    listed = (await world.admin("GET", "/admin/partners/revoked/sandbox/keys")).json()["data"]

    assert (before.status_code, after.status_code) == (200, 401)
    assert listed[0]["revoked_at"] is not None
    assert partner.secret not in json.dumps(listed)


async def test_an_allow_list_keeps_other_addresses_out(world: World) -> None:
    partner = await world.partner("listed")
    target = "/admin/partners/listed/sandbox/allow-list"

    await world.admin("PUT", target, {"networks": ["198.51.100.0/24"]})
    out = await partner.send("GET", "/v1/channels")
    forged = await partner.send("GET", "/v1/channels", headers={"X-Forwarded-For": "198.51.100.9"})
    partner.address = "198.51.100.9"
    inside = await partner.send("GET", "/v1/channels")

    assert (out.status_code, forged.status_code, inside.status_code) == (403, 403, 200)
    assert out.json()["code"] == "ADDRESS_NOT_ALLOWED"


async def test_operators_need_the_token_and_get_problems(world: World) -> None:
    stranger = await world.admin("GET", "/admin/partners", token="guess")
    wrong = await world.admin("POST", "/admin/partners", {"id": "A B", "name": "x"})
    nobody = await world.admin("POST", "/admin/partners/nobody/sandbox/keys")
    nowhere = await world.admin("GET", "/admin/nothing")

    assert stranger.status_code == 401
    assert wrong.json()["errors"][0]["field"] == "id"
    assert (nobody.status_code, nowhere.status_code) == (404, 404)
    for one in (stranger, wrong, nobody, nowhere):
        assert one.headers["content-type"] == "application/problem+json"


def notice(life: str, **changes: Any) -> dict[str, Any]:
    return {
        "noticeId": "RTN1",
        "originalPartnerReferenceNo": life,
        "originalReferenceNo": "B-1",
        "latestTransactionStatus": "04",
        "reason": "account closed",
        "returnedAt": "2026-01-31T09:00:00+07:00",
        **changes,
    }


async def tell(
    world: World, body: dict[str, Any], rail: str = "bca", key: rsa.RSAPrivateKey = BANK_KEY
) -> httpx.Response:
    raw, path = json.dumps(body).encode(), f"/snap/{rail}/v1.0/transfer/notify"
    at = datetime.now(UTC)
    signed = notice_signature(key, method="POST", path=path, body=raw, at=timestamp(at))
    headers = {"X-TIMESTAMP": timestamp(at), "X-SIGNATURE": signed}
    transport = httpx.ASGITransport(world.gateway.public)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.post(path, content=raw, headers=headers)


async def returned(world: World, life: str) -> list[Any]:
    said = await world.said("disburse.commands", TransferReturned)
    return [one for one in said if one.key == life]


async def test_a_banks_return_notice_becomes_one_command_however_often_it_is_told(
    world: World,
) -> None:
    life = new_public_id("disb")

    first = await tell(world, notice(life))
    again = await tell(world, notice(life))

    assert first.status_code == again.status_code == 200
    assert first.json()["responseCode"] == "2002000"
    said = await returned(world, life)
    assert len(said) == 2
    assert said[0] == said[1]
    assert said[0].correlation == life
    assert said[0].message.notice == "RTN1"
    assert said[0].message.bank_reference == "B-1"


async def test_a_notice_that_is_not_the_banks_is_refused(world: World) -> None:
    life = new_public_id("disb")
    thief = rsa.generate_private_key(65537, 2048)

    forged = await tell(world, notice(life), key=thief)
    unknown = await tell(world, notice(life), rail="other")

    assert (forged.status_code, unknown.status_code) == (401, 401)
    assert forged.json()["responseCode"] == "4012000"
    assert await returned(world, life) == []


async def test_a_notice_of_another_status_is_acknowledged_and_ignored(world: World) -> None:
    life = new_public_id("disb")

    answer = await tell(world, notice(life, latestTransactionStatus="03"))
    strange = await tell(world, notice("no-id-of-ours"))
    broken = await tell(world, {"noticeId": "x"})

    assert answer.status_code == 200
    assert strange.json()["responseCode"] == "4042001"
    assert broken.json()["responseCode"] == "4002001"
    assert await returned(world, life) == []
