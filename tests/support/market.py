"""A market on the whole platform: a partner, its customers, a chain's stores and their tills."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from deploy.local import stack
from deploy.local.sandbox_partner import Partner
from tests.support.partner_client import PartnerClient

AMOUNT, FEE = 100_000, 5_000


class Market:
    """A partner, a customer and a store in a test: ``store`` signs itself, ``tills`` play."""

    def __init__(
        self,
        partner: PartnerClient,
        store: PartnerClient,
        tills: httpx.AsyncClient,
        journal: Collection[dict[str, Any]],
    ) -> None:
        self.partner = partner
        self.store = store
        self.tills = tills
        self.journal = journal
        self.codes: set[str] = set()
        self._lives: list[str] = []

    async def request(self, *, phone: str | None = None, **more: Any) -> dict[str, Any]:
        """A code, and what was asked: ``phone`` in the answer is masked, ``asked_phone`` not."""
        phone = phone or new_phone()
        body = {
            "reference": new_reference(),
            "amount": AMOUNT,
            "phone": phone,
            "recipient_name": "Ani",
            **more,
        }
        answer = await self.partner.post(
            "/v1/cashouts", body, idempotency_key=body["reference"], prefer="wait=15"
        )
        assert answer.status_code == httpx.codes.OK, answer.text
        life: dict[str, Any] = answer.json()
        self.codes.add(life["code"].replace(" ", ""))
        self._lives.append(life["id"])
        return life | {"asked_phone": phone}

    async def cancel(self, life: dict[str, Any]) -> httpx.Response:
        path = f"/v1/cashouts/{life['id']}/cancel"
        return await self.partner.post(path, {}, idempotency_key=new_reference())

    async def close(self) -> None:
        """What nobody redeemed holds no money of the next test's deposit."""
        while self._lives:
            await self.cancel({"id": self._lives.pop()})

    async def get(self, life: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (await self.partner.get(f"/v1/cashouts/{life['id']}")).json()
        return found

    async def until(self, life: dict[str, Any], status: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while (now := await self.get(life))["status"] != status:
                await asyncio.sleep(0.1)
        return now

    async def redeem(self, life: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """At a till of the sandbox, which behaves as ``behaviour`` says."""
        answer = await self.tills.post("/till/redemptions", json=typed(life) | changes)
        assert answer.status_code == httpx.codes.OK, answer.text
        roll: dict[str, Any] = answer.json()
        return roll

    async def ask(self, life: dict[str, Any], reference: str, **changes: Any) -> httpx.Response:
        """One redemption, and nothing else."""
        at = {"store_ref": reference, "store_id": "T0002", "terminal_id": reference[-8:]}
        return await self.store.post("/v1/retail/redemptions", typed(life) | at | changes)

    async def reverse(self, life: dict[str, Any], reference: str, **changes: Any) -> dict[str, Any]:
        body = {"store_ref": reference, "phone": life["asked_phone"], "reason": "no answer"}
        answer = await self.store.post("/v1/retail/reversals", body | changes)
        assert answer.status_code == httpx.codes.OK, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def standing(self, reference: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.store.get(f"/v1/retail/redemptions/{reference}")).json()
        return found

    async def told(self, life: dict[str, Any], *types: str) -> list[dict[str, Any]]:
        """The callbacks about a life, once as many as ``types`` came; they are just these."""
        async with asyncio.timeout(20):
            while True:
                page = await self.tills.get("/merchant/callbacks", params={"reference": life["id"]})
                rows: list[dict[str, Any]] = page.json()["data"]
                if len(rows) >= len(types):
                    break
                await asyncio.sleep(0.1)
        assert sorted(row["type"] for row in rows) == sorted(types)
        assert all(row["verified"] for row in rows)
        return rows

    async def cost(self, life: dict[str, Any], *kinds: str) -> int:
        """What left the deposit for a life, once these are its entries in the journal."""
        async with asyncio.timeout(20):
            while True:
                rows = list(self.journal.find({"subject": life["id"]}).sort("_id", 1))
                if len(rows) >= len(kinds):
                    break
                await asyncio.sleep(0.1)
        assert [row["kind"] for row in rows] == list(kinds)
        legs = [(book, change) for row in rows for book, change in row["legs"]]
        return -sum(int(change) for book, change in legs if book.startswith("partner:"))


@pytest.fixture(scope="session")
async def whole_market(platform: stack.LocalPlatform, partner: Partner) -> AsyncIterator[Market]:
    async with (
        PartnerClient(platform.url, partner.key, partner.secret) as client,
        PartnerClient(platform.url, partner.store_key, partner.store_secret) as store,
        httpx.AsyncClient(base_url=platform.sandbox_url, timeout=60) as tills,
    ):
        mongo: MongoClient[dict[str, Any]] = MongoClient(platform.variables["MONGO_URL"])
        prefix = platform.variables["SALUR_DATABASE_PREFIX"]
        yield Market(client, store, tills, mongo[f"{prefix}ledger"]["journal"])
        mongo.close()


@pytest.fixture
async def market(whole_market: Market) -> AsyncIterator[Market]:
    yield whole_market
    await whole_market.close()


def new_reference() -> str:
    return f"e2e-{uuid.uuid4().hex[:12]}"


def new_phone() -> str:
    """A phone of its own, because wrong tries of an hour are counted on it."""
    return f"0812{uuid.uuid4().int % 10**8:08d}"


def typed(life: dict[str, Any]) -> dict[str, Any]:
    return {"code": life["code"], "phone": life["asked_phone"], "amount": life["amount"]}
