"""No query reads what it does not need: a scan is quick in a test and stops a year-old platform.

MongoDB's own profiler tells which index each command took and how many documents it looked at.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from deploy.local import stack
from deploy.local.sandbox_partner import Partner
from tests.support.market import Market, new_reference
from tests.support.partner_client import PartnerClient, to_bank, to_wallet

_MANY = 200
# A lease looks past the rows of its lane that are leased already: at most 100 for a bank.
_IN_VAIN = 150
_PROFILE_BYTES = 64 * 1024 * 1024


async def test_no_query_looks_at_more_than_it_takes(
    platform: stack.LocalPlatform, partner: Partner, market: Market
) -> None:
    shop = market.partner
    with profiled(platform) as databases:
        bodies = [
            to_wallet(new_reference(), 25_000) if n % 2 else to_bank(new_reference(), 50_000)
            for n in range(_MANY)
        ]
        await asyncio.gather(*(_pay(shop, body) for body in bodies))
        await asyncio.gather(*(_pay(shop, body) for body in bodies[::20]))
        lives = [await market.request() for _ in range(8)]
        references = [new_reference() for _ in lives]
        for life, reference in zip(lives, references, strict=True):
            await market.ask(life, reference)
            await market.ask(life, new_reference(), amount=50_000)
        await market.reverse(lives[0], references[0])
        await _look_around(market, bodies[0]["reference"], references[1])
        # The monitors look for what is old every few seconds.
        await asyncio.sleep(6)
        found = [row for one in databases for row in one["system.profile"].find(_OF_SERVICES)]

    assert len(found) > 10 * _MANY
    assert sorted({_said(row) for row in found if _wasteful(row)}) == []


async def _pay(shop: PartnerClient, body: dict[str, Any]) -> None:
    key = body["reference"]
    answer = await shop.post("/v1/disbursements", body, idempotency_key=key, prefer="wait=15")
    assert answer.status_code == 200, answer.text


async def _look_around(market: Market, reference: str, store_ref: str) -> None:
    for path in (
        "/v1/balance",
        "/v1/channels",
        "/v1/events?limit=5",
        "/v1/disbursements?limit=5",
        "/v1/disbursements?status=succeeded&limit=5",
        f"/v1/disbursements?reference={reference}",
        "/v1/cashouts?limit=5",
        "/v1/cashouts?status=succeeded&limit=5",
    ):
        answer = await market.partner.get(path)
        assert answer.status_code == 200, answer.text
    assert (await market.standing(store_ref))["result"] == "valid"


@contextmanager
def profiled(platform: stack.LocalPlatform) -> Iterator[list[Database[dict[str, Any]]]]:
    """The platform's databases, which note every command while the block runs."""
    prefix = platform.variables["SALUR_DATABASE_PREFIX"]
    with MongoClient[dict[str, Any]](platform.variables["MONGO_URL"]) as client:
        mine = [client[one] for one in client.list_database_names() if one.startswith(prefix)]
        for database in mine:
            database.create_collection("system.profile", capped=True, size=_PROFILE_BYTES)
            database.command("profile", 2)
        try:
            yield mine
        finally:
            for database in mine:
                database.command("profile", 0)
                database.drop_collection("system.profile")


_OF_SERVICES = {
    "ns": {"$not": {"$regex": r"system\.profile"}},
    "op": {"$in": ["query", "update", "remove", "command", "getmore"]},
}


def _wasteful(row: dict[str, Any]) -> bool:
    if row.get("planSummary") == "COLLSCAN":
        return True
    taken = sum(row.get(name) or 0 for name in ("nreturned", "nMatched", "ndeleted"))
    looked = max(row.get("docsExamined") or 0, row.get("keysExamined") or 0)
    return bool(looked > 2 * taken + _IN_VAIN)


def _said(row: dict[str, Any]) -> str:
    command = row.get("command", {})
    asked = command.get("filter") or command.get("q") or command.get("pipeline") or {}
    looked = max(row.get("docsExamined") or 0, row.get("keysExamined") or 0)
    place = row["ns"].partition("_")[2]
    return f"{place}: {row.get('planSummary')} for {list(asked)}, looked at {looked}"
