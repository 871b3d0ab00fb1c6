"""From HTTP to the delivered callback, through every service as a real process."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local import stack
from deploy.local.sandbox_partner import Partner
from tests.support.partner_client import PartnerClient, to_bank, to_wallet

ROOT = Path(__file__).parents[2]
AMOUNT, BANK_FEE, WALLET_FEE = 250_000, 2_500, 1_500


class Shop:
    """A partner in a test: sends, waits, and looks at what the merchant was told."""

    def __init__(self, client: PartnerClient, merchant: httpx.AsyncClient) -> None:
        self.client = client
        self.merchant = merchant

    async def send(self, body: dict[str, Any], *, wait_s: int = 15) -> dict[str, Any]:
        answer = await self.client.post(
            "/v1/disbursements",
            body,
            idempotency_key=body["reference"],
            prefer=f"wait={wait_s}" if wait_s else None,
        )
        assert answer.status_code in {200, 202}, answer.text
        life: dict[str, Any] = answer.json()
        return life

    async def get(self, life: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"/v1/disbursements/{life}")).json()
        return found

    async def until(self, life: str, status: str, within_s: float = 40) -> dict[str, Any]:
        async with asyncio.timeout(within_s):
            while (now := await self.get(life))["status"] != status:
                await asyncio.sleep(0.1)
        return now

    async def until_ended(self, life: str) -> dict[str, Any]:
        async with asyncio.timeout(40):
            while (now := await self.get(life))["status"] == "processing":
                await asyncio.sleep(0.1)
        return now

    async def told(self, life: str, count: int, within_s: float = 20) -> list[dict[str, Any]]:
        """The callbacks about a life, once there are ``count`` of them."""
        async with asyncio.timeout(within_s):
            while True:
                page = await self.merchant.get("/merchant/callbacks", params={"reference": life})
                rows: list[dict[str, Any]] = page.json()["data"]
                if len(rows) >= count:
                    return rows
                await asyncio.sleep(0.1)

    async def balance(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get("/v1/balance")).json()
        return found

    async def settled_balance(self) -> int:
        async with asyncio.timeout(40):
            while (now := await self.balance())["held"] != 0:
                await asyncio.sleep(0.1)
        return int(now["available"])


@pytest.fixture(scope="session")
async def shop(platform: stack.LocalPlatform, partner: Partner) -> AsyncIterator[Shop]:
    async with (
        PartnerClient(platform.url, partner.key, partner.secret) as client,
        httpx.AsyncClient(base_url=platform.sandbox_url) as merchant,
    ):
        yield Shop(client, merchant)


def reference() -> str:
    return f"e2e-{uuid.uuid4().hex[:12]}"


async def test_a_bank_account_is_paid_and_the_merchant_is_told_once(shop: Shop) -> None:
    before = await shop.settled_balance()

    life = await shop.send(to_bank(reference(), AMOUNT))

    assert life["status"] == "succeeded"
    assert life["bank_reference"]
    assert "0123456789" not in str(life)
    [callback] = await shop.told(life["id"], 1)
    assert callback["verified"]
    assert callback["type"] == "disbursement.succeeded"
    assert callback["body"]["data"] == await shop.get(life["id"])
    assert await shop.settled_balance() == before - AMOUNT - BANK_FEE


async def test_an_e_wallet_is_paid_through_its_virtual_account(
    shop: Shop, platform: stack.LocalPlatform
) -> None:
    life = await shop.send(to_wallet(reference(), AMOUNT, "GOPAY", "+6281234567890"))

    page = await shop.merchant.get("/bank/executions", params={"reference": life["id"]})

    assert life["status"] == "succeeded"
    assert life["fee"] == WALLET_FEE
    assert page.json()["data"][0]["account"] == "70001081234567890"


@pytest.mark.parametrize(
    ("account", "code"),
    [
        ("1234560001", "BANK_UNAVAILABLE"),
        ("9999990001", "REJECTED_BY_BANK"),
        ("1212120001", "INVALID_DESTINATION"),
    ],
)
async def test_what_the_bank_refuses_fails_and_costs_nothing(
    shop: Shop, account: str, code: str
) -> None:
    before = await shop.settled_balance()

    life = await shop.send(to_bank(reference(), AMOUNT, account))

    assert (life["status"], life["failure"]["code"]) == ("failed", code)
    assert await shop.settled_balance() == before
    [callback] = await shop.told(life["id"], 1)
    assert callback["type"] == "disbursement.failed"


async def test_a_bank_that_executes_and_falls_silent_is_asked_and_never_paid_twice(
    shop: Shop,
) -> None:
    life = await shop.send(to_bank(reference(), AMOUNT, "1414140001"), wait_s=0)

    now = await shop.until(life["id"], "succeeded")

    page = (await shop.merchant.get("/bank/executions", params={"reference": life["id"]})).json()
    assert now["bank_reference"]
    assert [one["repeats_refused"] for one in page["data"]] == [0]


async def test_a_pending_transfer_is_processing_until_the_bank_confirms(shop: Shop) -> None:
    life = await shop.send(to_bank(reference(), AMOUNT, "1313130001"), wait_s=0)

    assert life["status"] == "processing"
    await shop.until(life["id"], "succeeded")


async def test_what_the_bank_never_executed_ends_as_unavailable(shop: Shop) -> None:
    before = await shop.settled_balance()

    life = await shop.send(to_bank(reference(), AMOUNT, "1515150001"), wait_s=0)

    now = await shop.until(life["id"], "failed", within_s=90)
    assert now["failure"]["code"] == "BANK_UNAVAILABLE"
    assert await shop.settled_balance() == before


async def test_what_the_bank_returns_is_reversed_and_the_fee_is_kept(shop: Shop) -> None:
    before = await shop.settled_balance()

    life = await shop.send(to_bank(reference(), AMOUNT, "6543210001"))

    assert life["status"] == "succeeded"
    now = await shop.until(life["id"], "reversed")
    assert now["failure"]["code"] == "RETURNED_BY_BANK"
    told = await shop.told(life["id"], 2)
    assert {one["type"] for one in told} == {"disbursement.succeeded", "disbursement.reversed"}
    assert await shop.settled_balance() == before - BANK_FEE


async def test_more_than_the_deposit_fails_for_want_of_balance(shop: Shop) -> None:
    bodies = [to_bank(reference(), 50_000_000, "1313130001") for _ in range(22)]
    spent = await asyncio.gather(*(shop.send(body, wait_s=0) for body in bodies))

    ends = [await shop.until_ended(one["id"]) for one in spent]

    failed = [one for one in ends if one["status"] == "failed"]
    assert failed
    assert {one["failure"]["code"] for one in failed} == {"INSUFFICIENT_BALANCE"}
    assert {one["failure"]["retry"] for one in failed} == {"after_top_up"}


async def test_a_scheduled_one_can_be_cancelled_and_its_hold_is_released(shop: Shop) -> None:
    before = await shop.settled_balance()
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    life = await shop.send(to_bank(reference(), AMOUNT, instruct_at=later), wait_s=0)
    await shop.until(life["id"], "scheduled")

    answer = await shop.client.post(
        f"/v1/disbursements/{life['id']}/cancel", {}, idempotency_key=reference()
    )

    assert answer.status_code == httpx.codes.OK
    assert answer.json()["status"] == "cancelled"
    assert await shop.settled_balance() == before


async def test_a_scheduled_one_is_sent_when_its_time_has_come(shop: Shop) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()

    life = await shop.send(to_bank(reference(), AMOUNT, instruct_at=soon), wait_s=0)

    await shop.until(life["id"], "scheduled", within_s=3)
    await shop.until(life["id"], "succeeded")


async def test_a_finished_one_cannot_be_cancelled(shop: Shop) -> None:
    life = await shop.send(to_bank(reference(), AMOUNT))

    answer = await shop.client.post(
        f"/v1/disbursements/{life['id']}/cancel", {}, idempotency_key=reference()
    )

    assert answer.status_code == httpx.codes.CONFLICT
    assert answer.json()["code"] == "NOT_CANCELLABLE"


async def test_another_name_than_the_partners_is_not_paid(shop: Shop) -> None:
    body = to_bank(reference(), AMOUNT, name_check="strict")
    body["destination"]["account_name"] = "SOMEBODY ELSE"

    life = await shop.send(body)

    executed = await shop.merchant.get("/bank/executions", params={"reference": life["id"]})
    assert life["failure"]["code"] == "ACCOUNT_NAME_MISMATCH"
    assert executed.json()["data"] == []


async def test_the_bank_names_the_owner_of_an_account(shop: Shop) -> None:
    destination = to_bank("x", 1)["destination"]

    answer = await shop.client.post("/v1/account-inquiries", {"destination": destination})

    assert answer.status_code == httpx.codes.OK
    assert answer.json()["account_name"]
    assert answer.json()["match"] == "not_asked"


async def test_the_same_request_again_pays_once(shop: Shop) -> None:
    body = to_bank(reference(), AMOUNT)
    first = await shop.send(body)

    again = await shop.client.post("/v1/disbursements", body, idempotency_key=body["reference"])

    executed = await shop.merchant.get("/bank/executions", params={"reference": first["id"]})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["id"] == first["id"]
    assert len(executed.json()["data"]) == 1


async def test_after_all_of_this_the_books_are_clean(
    shop: Shop, platform: stack.LocalPlatform
) -> None:
    await shop.settled_balance()

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "deploy.verify"],
        cwd=ROOT,
        env=platform.variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "verify: clean" in done.stdout
