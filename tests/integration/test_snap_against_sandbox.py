"""Our SNAP BI client and the play bank, each written from the standard alone, over real HTTP."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from contracts.ids import new_public_id
from services._kit.snap_signature import NoticeRefused, verify_notice
from services.disburse.rails import (
    Beneficiary,
    Confirmed,
    InquiryRefused,
    Named,
    NotFound,
    Order,
    Refused,
    Returned,
    TokenExpired,
    TokenRefused,
    Unclear,
)
from services.disburse.rails.directory import route_to_wallet
from services.disburse.rails.snap import SnapRail
from services.sandbox.app import create_app
from services.sandbox.settings import Settings
from tests.support.snap_bank import SECRET, bank_key, config, our_key, private_pem, public_pem

DEADLINE_S = 0.5


@dataclass
class Sandbox:
    url: str
    notices: list[httpx.Request]

    def rail(self, **changes: Any) -> SnapRail:
        return SnapRail(
            config(
                base_url=f"{self.url}/bank",
                call_timeout_s=DEADLINE_S,
                token_timeout_s=2,
                dedupes_reference=True,
                **changes,
            )
        )


@pytest.fixture(scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    notices: list[httpx.Request] = []

    def heard(request: httpx.Request) -> httpx.Response:
        notices.append(request)
        return httpx.Response(200)

    settings = _settings(tmp_path_factory.mktemp("sandbox"))
    app = create_app(settings, httpx.MockTransport(heard))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    uvicorn_config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(uvicorn_config)
    # Its signal handlers belong to a process of its own, not to a test.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    running = asyncio.create_task(server.serve(sockets=[listener]))
    yield Sandbox(f"http://127.0.0.1:{listener.getsockname()[1]}", notices)
    server.should_exit = True
    await running


def _settings(folder: Path) -> Settings:
    return Settings.model_validate(
        {
            "port": 0,
            "health_port": 0,
            "data_dir": folder,
            "client_id": "client-1",
            "client_secret": SECRET,
            "client_public_key": public_pem(our_key()),
            "bank_private_key": private_pem(bank_key()),
            "latency_ms": 1,
            "pending_s": 0.3,
            "return_after_s": 0.3,
            "hang_s": 1.5,
            "notify_url": "http://platform.test",
            "notify_rail": "bca",
        }
    )


@pytest.fixture
async def rail(sandbox: Sandbox) -> AsyncIterator[SnapRail]:
    opened = sandbox.rail()
    yield opened
    await opened.aclose()


def new_order(account: str, bank: str = "BRINIDJA", name: str | None = "ANI") -> Order:
    return Order(new_public_id("disb"), 25_000, Beneficiary(bank, account, name), datetime.now(UTC))


async def send(rail: SnapRail, order: Order) -> object:
    return await rail.call(await rail.sign(order))


async def ask_until(rail: SnapRail, order: Order, kind: type) -> object:
    for _ in range(40):
        answer = await rail.ask(order)
        if isinstance(answer, kind):
            return answer
        await asyncio.sleep(0.05)
    return answer


@pytest.mark.parametrize("bank", ["BRINIDJA", "CENAIDJA"])
async def test_a_transfer_is_confirmed_and_its_status_says_the_same(
    rail: SnapRail, bank: str
) -> None:
    order = new_order("0123456789", bank, None)

    sent = await send(rail, order)
    asked = await rail.ask(order)

    assert isinstance(sent, Confirmed)
    assert sent.bank_reference
    assert sent.trace_no
    assert sent.transferred_at
    assert asked == sent


@pytest.mark.parametrize(
    ("account", "code"),
    [
        ("1234560001", "BANK_UNAVAILABLE"),
        ("9999990001", "REJECTED_BY_BANK"),
        ("1212120001", "INVALID_DESTINATION"),
    ],
)
async def test_a_refusal_has_the_same_code_however_it_is_learned(
    rail: SnapRail, account: str, code: str
) -> None:
    order = new_order(account)

    sent = await send(rail, order)
    asked = await rail.ask(order)

    assert isinstance(sent, Refused)
    assert isinstance(asked, Refused)
    assert (sent.code, asked.code) == (code, code)


async def test_a_pending_transfer_is_unclear_until_it_is_confirmed(rail: SnapRail) -> None:
    order = new_order("1313130001")

    assert isinstance(await send(rail, order), Unclear)
    assert isinstance(await rail.ask(order), Unclear)
    assert isinstance(await ask_until(rail, order, Confirmed), Confirmed)


async def test_a_bank_that_falls_silent_after_executing_is_asked_and_confirms(
    rail: SnapRail,
) -> None:
    order = new_order("1414140001")

    assert isinstance(await send(rail, order), Unclear)
    assert isinstance(await rail.ask(order), Confirmed)


async def test_a_bank_that_falls_silent_before_executing_does_not_find_it(
    rail: SnapRail,
) -> None:
    order = new_order("1515150001")

    assert isinstance(await send(rail, order), Unclear)
    assert await rail.ask(order) == NotFound("4043601")


async def test_a_repeated_reference_is_never_executed_again(
    rail: SnapRail, sandbox: Sandbox
) -> None:
    order = new_order("0123456789")
    await send(rail, order)

    again = await send(rail, order)

    assert isinstance(again, Unclear)
    assert again.response_code == "4091801"
    async with httpx.AsyncClient() as client:
        url = f"{sandbox.url}/bank/executions"
        found = (await client.get(url, params={"reference": order.reference})).json()["data"]
    assert len(found) == 1


async def test_the_same_signed_request_twice_is_unclear_not_refused(rail: SnapRail) -> None:
    signed = await rail.sign(new_order("0123456789"))
    await rail.call(signed)

    assert isinstance(await rail.call(signed), Unclear)


async def test_a_return_is_seen_in_status_statement_and_notice(
    rail: SnapRail, sandbox: Sandbox
) -> None:
    since = datetime.now(UTC) - timedelta(seconds=1)
    order = new_order("6543210001")

    sent = await send(rail, order)
    returned = await ask_until(rail, order, Returned)
    lines = await rail.statement(since, datetime.now(UTC) + timedelta(seconds=1))

    assert isinstance(sent, Confirmed)
    assert isinstance(returned, Returned)
    assert returned.bank_reference == sent.bank_reference
    ours = [(one.kind, one.amount) for one in lines if one.reference == order.reference]
    assert ours == [("DEBIT", 25_000), ("CREDIT", 25_000)]
    await _check_notice(sandbox, order)


async def _check_notice(sandbox: Sandbox, order: Order) -> None:
    def ours() -> list[httpx.Request]:
        return [n for n in sandbox.notices if order.reference.encode() in n.content]

    for _ in range(40):
        if ours():
            break
        await asyncio.sleep(0.05)
    notice = ours()[0]
    parts: dict[str, Any] = {
        "method": "POST",
        "path": "/snap/bca/v1.0/transfer/notify",
        "headers": dict(notice.headers),
        "now": datetime.now(UTC),
    }
    key = bank_key().public_key()
    verify_notice(key, body=notice.content, **parts)
    with pytest.raises(NoticeRefused):
        verify_notice(key, body=notice.content + b" ", **parts)


async def test_a_statement_longer_than_a_page_is_read_whole_and_once(rail: SnapRail) -> None:
    since = datetime.now(UTC) - timedelta(seconds=1)
    orders = [new_order("0123456789") for _ in range(230)]
    for start in range(0, len(orders), 20):
        await asyncio.gather(*(send(rail, order) for order in orders[start : start + 20]))

    lines = await rail.statement(since, datetime.now(UTC) + timedelta(seconds=1))

    found = [line.reference for line in lines if line.kind == "DEBIT"]
    assert {order.reference for order in orders} <= set(found)
    assert len(found) == len(set(found))


async def test_an_account_is_named_at_every_bank_and_a_wrong_one_is_not(rail: SnapRail) -> None:
    at_home = await rail.inquire(Beneficiary("CENAIDJA", "0123456789"), "inq_1")
    elsewhere = await rail.inquire(Beneficiary("BRINIDJA", "0123456789"), "inq_1")
    wrong = await rail.inquire(Beneficiary("BRINIDJA", "1212120001"), "inq_1")
    nowhere = await rail.inquire(Beneficiary("NOSUCHXX", "0123456789"), "inq_1")

    assert isinstance(at_home, Named)
    assert at_home == elsewhere
    assert isinstance(wrong, InquiryRefused)
    assert isinstance(nowhere, InquiryRefused)
    assert (wrong.code, nowhere.code) == ("INVALID_DESTINATION", "CHANNEL_NOT_SUPPORTED")


async def test_a_wallet_is_paid_through_its_virtual_account(rail: SnapRail) -> None:
    route = route_to_wallet([config()], "sandbox", "GOPAY", "081298765432")
    assert route is not None

    owner = await rail.inquire(route.destination, "inq_1")
    sent = await send(rail, replace(new_order(""), destination=route.destination))

    assert isinstance(owner, Named)
    assert owner.account_name.startswith("GOPAY ")
    assert isinstance(sent, Confirmed)


async def test_a_forgotten_token_is_expired_for_a_send_and_renewed_for_an_ask(
    rail: SnapRail,
) -> None:
    order = new_order("0123456789")
    signed = await rail.sign(order)
    forged = replace(
        signed,
        request=replace(
            signed.request,
            headers=tuple(
                (name, "Bearer forgotten" if name == "Authorization" else value)
                for name, value in signed.request.headers
            ),
        ),
    )

    assert await rail.call(forged) == TokenExpired("4011801")
    assert await rail.ask(order) == NotFound("4043601")
    assert isinstance(await send(rail, order), Confirmed)


async def test_a_wrong_secret_moves_no_money(sandbox: Sandbox) -> None:
    rail = sandbox.rail(client_secret="another-secret")
    order = new_order("0123456789")

    assert await send(rail, order) == TokenExpired("4011800")
    assert isinstance(await rail.ask(order), Unclear)
    await rail.aclose()


async def test_a_client_that_the_bank_does_not_know_gets_no_token(sandbox: Sandbox) -> None:
    rail = sandbox.rail(client_id="somebody")

    with pytest.raises(TokenRefused):
        await rail.sign(new_order("0123456789"))
    await rail.aclose()


async def test_many_senders_at_once_are_all_confirmed_with_one_token(rail: SnapRail) -> None:
    answers = await asyncio.gather(*(send(rail, new_order("0123456789")) for _ in range(50)))

    assert all(isinstance(answer, Confirmed) for answer in answers)
