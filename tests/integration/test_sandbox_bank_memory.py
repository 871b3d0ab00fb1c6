"""What the play bank did is in its statement, is notified, and outlives its process."""

import asyncio
import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from services._kit.settings import SettingsError
from services.sandbox.journal import JournalInUseError
from services.sandbox.keys import make_keys
from services.sandbox.settings import Settings
from tests.integration.sandbox_client import Client, open_bank, sandbox_keys, stamp, until


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_bank(tmp_path) as client:
        yield client


async def test_a_return_is_notified_signed_until_it_is_taken(tmp_path: Path) -> None:
    heard: list[httpx.Request] = []

    def listener(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        if len(heard) == 1:
            raise httpx.ConnectError("down")
        return httpx.Response(200 if len(heard) > 2 else 503)

    async with open_bank(tmp_path, listener) as bank:
        paid = (await bank.pay("disb_1", "6543210001")).json()
        await until(lambda: told_of(bank, "disb_1"))
    assert len(heard) == 3
    for request in heard:
        _check_notice(request)
    bodies = {request.content for request in heard}
    assert len(bodies) == 1
    notice = json.loads(heard[0].content)
    assert notice["originalPartnerReferenceNo"] == "disb_1"
    assert notice["originalReferenceNo"] == paid["referenceNo"]
    assert notice["amount"] == {"value": "150000.00", "currency": "IDR"}
    assert notice["latestTransactionStatus"] == "04"
    assert len({request.headers["x-external-id"] for request in heard}) == 3


async def test_a_notice_that_was_taken_is_not_sent_again_after_a_restart(tmp_path: Path) -> None:
    heard: list[httpx.Request] = []

    def listener(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        return httpx.Response(200)

    async with open_bank(tmp_path, listener, return_after_s=0) as bank:
        await bank.pay("disb_1", "6543210001")
        await until(lambda: told_of(bank, "disb_1"))
    async with open_bank(tmp_path, listener) as bank:
        await asyncio.sleep(0.1)

        assert await told_of(bank, "disb_1")
    assert len(heard) == 1


async def told_of(bank: Client, reference: str) -> bool:
    return bool((await bank.executions(reference))[0]["notified"])


def _check_notice(request: httpx.Request) -> None:
    key = serialization.load_pem_public_key(sandbox_keys()["bank_public.pem"].read_bytes())
    assert isinstance(key, rsa.RSAPublicKey)
    assert request.url.path == "/snap/sandbox/v1.0/transfer/notify"
    digest = hashlib.sha256(request.content).hexdigest()
    text = f"POST:{request.url.path}:{digest}:{request.headers['x-timestamp']}"
    signature = base64.b64decode(request.headers["x-signature"])
    key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())


async def test_a_return_is_listed_and_the_money_is_back(tmp_path: Path) -> None:
    async with open_bank(tmp_path, notify=False, opening_balance=200_000) as bank:
        await bank.pay("disb_1", "6543210001")
        before = await bank.statement()
        await asyncio.sleep(0.35)
        after = await bank.statement()
        balance = await bank.call("/balance-inquiry", {"accountNo": "1122334455"})

        assert [line["type"] for line in before["detailData"]] == ["DEBIT"]
        assert [line["type"] for line in after["detailData"]] == ["DEBIT", "CREDIT"]
        assert {line["partnerReferenceNo"] for line in after["detailData"]} == {"disb_1"}
        assert after["totalCreditEntries"]["amount"]["value"] == "150000.00"
        assert balance.json()["accountInfos"][0]["amount"]["value"] == "200000.00"
        assert not (await bank.executions("disb_1"))[0]["notified"]


async def test_a_pending_transfer_is_listed_only_when_it_is_paid(bank: Client) -> None:
    await bank.pay("disb_1", "1313130001")
    before = await bank.statement()
    executed_before = await bank.executions()
    await asyncio.sleep(0.35)

    assert before["detailData"] == executed_before == []
    assert len((await bank.statement())["detailData"]) == len(await bank.executions()) == 1


async def test_the_statement_comes_in_pages_and_keeps_to_its_window(bank: Client) -> None:
    for number in range(5):
        await bank.pay(f"disb_{number}")
    await bank.pay("disb_refused", "9999990000")

    pages = [await bank.statement(pageSize=2, pageNumber=page) for page in range(3)]
    past = await bank.statement(toDateTime=stamp(-60))
    wrong = await bank.statement(fromDateTime="today")

    listed = [line["partnerReferenceNo"] for page in pages for line in page["detailData"]]
    assert listed == [f"disb_{number}" for number in range(5)]
    assert [page["hasMore"] for page in pages] == [True, True, False]
    assert past["detailData"] == []
    assert wrong["responseCode"] == "4001401"


async def test_a_restarted_bank_remembers_everything(tmp_path: Path) -> None:
    async with open_bank(tmp_path) as bank:
        paid = (await bank.pay("disb_paid", X_EXTERNAL_ID="42")).json()
        await bank.pay("disb_refused", "9999990001")
        await bank.pay("disb_pending", "1313130001")
        await bank.pay("disb_returned", "6543210001")
    # The process died in the middle of writing a line that nobody was told of.
    with (tmp_path / "bank.jsonl").open("ab") as journal:
        journal.write(b'{"kind":"transfer","tran')
    heard: list[httpx.Request] = []

    def listener(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        return httpx.Response(200)

    async def notified() -> bool:
        return bool(heard)

    async with open_bank(tmp_path, listener) as bank:
        await until(notified)

        for reference in ("disb_paid", "disb_refused", "disb_pending", "disb_returned"):
            assert (await bank.pay(reference)).json()["responseCode"] == "4091801"
        assert (await bank.pay("disb_new", X_EXTERNAL_ID="42")).json()["responseCode"] == "4091800"
        status = await bank.status("disb_paid")
        assert status["originalReferenceNo"] == paid["referenceNo"]
        assert (await bank.status("disb_refused"))["latestTransactionStatus"] == "06"
        assert (await bank.status("disb_pending"))["latestTransactionStatus"] == "00"
        assert (await bank.status("disb_returned"))["latestTransactionStatus"] == "04"
        counted = (await bank.http.get("/bank/executions/count")).json()
        assert (counted["executed"], counted["returned"]) == (3, 1)


async def test_a_killed_process_has_forgotten_nothing_that_it_answered(tmp_path: Path) -> None:
    port = _free_port()
    first = _start(tmp_path, port)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            bank = Client(http)
            await until(lambda: _ready(http))
            answered = await asyncio.gather(*(bank.pay(f"disb_{n}") for n in range(50)))
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    second = _start(tmp_path, port)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            bank = Client(http)
            await until(lambda: _ready(http))
            rows = await bank.executions()
    finally:
        second.terminate()
        second.wait(5)

    assert {answer.json()["responseCode"] for answer in answered} == {"2001800"}
    assert sorted(row["reference"] for row in rows) == sorted(f"disb_{n}" for n in range(50))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    own = {
        "PORT": str(port),
        "HEALTH_PORT": str(port),
        "DATA_DIR": str(folder),
        "NOTIFY": "false",
        "CLIENT_ID_FILE": str(sandbox_keys()["client_id"]),
        "CLIENT_SECRET_FILE": str(sandbox_keys()["client_secret"]),
        "CLIENT_PUBLIC_KEY_FILE": str(sandbox_keys()["client_public.pem"]),
        "BANK_PRIVATE_KEY_FILE": str(sandbox_keys()["bank_private.pem"]),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SALUR_")}
    environ = kept | {f"SALUR_SANDBOX_{name}": value for name, value in own.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "services.sandbox"], env=environ, stdout=subprocess.DEVNULL
    )


async def _ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def test_health_and_metrics_are_served(bank: Client) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await bank.http.get(path)).status_code == 200


async def test_two_banks_never_share_a_journal(tmp_path: Path) -> None:
    async with open_bank(tmp_path):
        with pytest.raises(JournalInUseError):
            async with open_bank(tmp_path):
                pass


def test_keys_are_made_once_and_only_for_their_owner(tmp_path: Path) -> None:
    first = {name: path.read_bytes() for name, path in make_keys(tmp_path / "keys").items()}
    second = make_keys(tmp_path / "keys")

    assert {name: path.read_bytes() for name, path in second.items()} == first
    assert {path.stat().st_mode & 0o777 for path in second.values()} == {0o600}


def test_the_start_stops_when_returns_could_not_be_notified() -> None:
    environ = {
        "SALUR_SANDBOX_PORT": "0",
        "SALUR_SANDBOX_HEALTH_PORT": "0",
        "SALUR_SANDBOX_DATA_DIR": "unused",
        "SALUR_SANDBOX_CLIENT_ID": "salur",
        "SALUR_SANDBOX_CLIENT_SECRET": "secret",
        "SALUR_SANDBOX_CLIENT_PUBLIC_KEY": "not a key",
        "SALUR_SANDBOX_BANK_PRIVATE_KEY_FILE": str(sandbox_keys()["bank_private.pem"]),
    }

    with pytest.raises(SettingsError) as stopped:
        Settings.load(environ)

    assert "SALUR_SANDBOX_NOTIFY_URL" in str(stopped.value)
    assert "SALUR_SANDBOX_CLIENT_PUBLIC_KEY" in str(stopped.value)


async def test_the_bank_keeps_its_own_clock_in_utc(bank: Client) -> None:
    await bank.pay("disb_1")
    (row,) = await bank.executions("disb_1")

    assert datetime.fromisoformat(row["executed_at"]).astimezone(UTC) <= datetime.now(UTC)
