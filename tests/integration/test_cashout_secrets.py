"""After a day's work with a killed process, no code and no phone stands anywhere in the clear."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import bson

from contracts import catalog
from contracts.cashout import v1 as cashout
from contracts.cashout.keys import spaced_code
from contracts.envelope import now_ms
from contracts.ids import public_id, uuid7
from contracts.ledger import v1 as ledger
from contracts.message import Message
from contracts.phones import normalised
from services._kit.mongo import open_client
from tests.support.cashout import AMOUNT, DEPOSIT, FEE, SEALER, hash_of
from tests.support.cashout_servers import Processes, Street, publisher
from tests.support.space import Space, eventually

LIVES = 25
ENDS = ("paid", "reversed", "cancelled", "expired", "blocked")
EXPIRES_IN_S = 12


async def test_a_killed_process_loses_no_money_and_nobody_writes_a_code_or_phone_down(
    space: Space, tmp_path: Path
) -> None:
    processes = Processes(space, tmp_path)
    await processes.make_topics()
    async with publisher(space) as out:
        day = Day(Street(processes, out))
        with processes.running("ledger"):
            with processes.running("cashout") as first:
                await day.open()
                await day.request()
                await day.street.heard(cashout.CodeIssued, LIVES // 2)
                first.kill()
            with processes.running("cashout") as second:
                await day.issue()
                await day.at_the_tills(second)
            with processes.running("cashout"):
                await eventually(day.is_over, within_s=60)

    await day.money_is_where_it_should_be()
    await day.each_change_was_told_once()
    everything = await all_bytes(space, tmp_path)
    for secret in day.secrets():
        assert secret.encode() not in everything


class Day:
    """What partners and stores do; ``codes`` and ``phones`` are by life."""

    def __init__(self, street: Street) -> None:
        self.street, self.shop = street, street.shop
        self.shop.now = now_ms()
        self.phones = {
            public_id("cash", uuid7()): f"08127{n:07d}" for n in range(1_000_003, 1_000_003 + LIVES)
        }
        self.ends = dict(zip(self.phones, ENDS * LIVES, strict=False))
        self.codes: dict[str, str] = {}

    async def open(self) -> None:
        await self.street.say(ledger.OpenAccount(account="toko.sandbox", scheme="deposit"))
        await self.street.say(
            ledger.CreditDeposit(account="toko.sandbox", amount=DEPOSIT, external_reference="grant")
        )

    async def request(self) -> None:
        for life, phone in self.phones.items():
            self.shop.now = now_ms()
            late = EXPIRES_IN_S if self.ends[life] == "expired" else 3600
            order = self.shop.order(phone, expires_at=self.shop.now + timedelta(seconds=late))
            made = cashout.RequestCashout(cashout=life, phone_hash=hash_of(phone), order=order)
            await self.street.say(made, life)

    async def issue(self) -> None:
        async def all_issued() -> None:
            issued = await self.street.heard(cashout.CodeIssued, LIVES)
            self.codes = {one.cashout: SEALER.open(one.code, cashout.CODE) for one in issued}
            assert len(self.codes) == LIVES

        await eventually(all_issued, within_s=60)

    async def at_the_tills(self, process: Any) -> None:
        """The process is killed in the middle of it."""
        self.shop.now = now_ms()
        unreadable = self.shop.redemption("1111111111", store_ref="BAD").altered(code="k9.AAAA")
        await self.street.ask(unreadable)
        for n, (life, end) in enumerate(self.ends.items()):
            if n == LIVES // 2:
                process.kill()
            await self._happens(life, end)

    async def _happens(self, life: str, end: str) -> None:
        code, phone = self.codes[life], self.phones[life]
        asked = self.shop.redemption(code, phone=phone, store_ref=f"R-{life}")
        late = asked.altered(answer_by=self.shop.now + timedelta(minutes=5))
        if end in ("paid", "reversed"):
            await self.street.ask(late)
            await self.street.ask(late)
        if end == "reversed":
            await self.street.ask(self.shop.reversal(asked.store_ref, phone=phone))
        if end == "cancelled":
            await self.street.say(cashout.CancelCashout(cashout=life, phone_hash=hash_of(phone)))
        if end == "blocked":
            for amount in range(5):
                wrong = self.shop.redemption(code, phone=phone, amount=50_000 + amount)
                await self.street.ask(wrong.altered(answer_by=late.answer_by))

    async def is_over(self) -> None:
        rows = await self._documents("cashout", "cashouts")
        assert {row["_id"]: row["status"] for row in rows} == self.ends
        [account] = await self._documents("ledger", "accounts")
        assert account["held"] == 0

    async def money_is_where_it_should_be(self) -> None:
        [account] = await self._documents("ledger", "accounts")
        paid = sum(1 for end in self.ends.values() if end == "paid")
        assert account["available"] == DEPOSIT - paid * (AMOUNT + FEE)
        parked = await self._documents("cashout", "inbox", {"parked": {"$type": "string"}})
        assert [row["type"] for row in parked] == [cashout.RedeemCode.type]

    async def each_change_was_told_once(self) -> None:
        models: list[type[Message]] = [
            row.model
            for row in catalog.CATALOG
            if row.model.__module__ == cashout.__name__ and "callbacks" in row.heard_by
        ]
        told = await self.street.processes.events(*models)
        # A crash may say a message twice, but never under two ids.
        names = {(one.id, one.type, one.message.cashout) for one in told}
        assert len(names) == len({(kind, life) for _, kind, life in names})

    def secrets(self) -> list[str]:
        phones = [form for one in self.phones.values() for form in (one, normalised(one))]
        codes = [form for one in self.codes.values() for form in (one, spaced_code(one))]
        assert len(codes) == 2 * LIVES
        return [*phones, *codes, "1111111111"]

    async def _documents(self, service: str, collection: str, query: Any = None) -> list[Any]:
        client = open_client(self.street.processes.space.mongo_url)
        try:
            name = self.street.processes.space.database(service)
            rows: list[Any] = await client[name][collection].find(query or {}).to_list(None)
            return rows
        finally:
            client.close()


async def all_bytes(space: Space, logs: Path) -> bytes:
    """Every message, dead ones too, with its headers; every document; every log line."""
    found = [(logs / f"{name}.log").read_bytes() for name in ("cashout", "ledger")]
    for topic in catalog.topics():
        for name in (topic, topic + catalog.DEAD_SUFFIX):
            for one in await space.records(name):
                found += [one.value, one.key.encode(), repr(one.headers).encode()]
    client = open_client(space.mongo_url)
    try:
        for service in ("cashout", "ledger"):
            database = client[space.database(service)]
            for collection in await database.list_collection_names():
                found += [bson.encode(row) async for row in database[collection].find({})]
    finally:
        client.close()
    everything = b"\n".join(found)
    assert cashout.RedeemCode.type.encode() in everything
    return everything
