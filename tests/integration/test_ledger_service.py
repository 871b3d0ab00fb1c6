"""The real process on real servers, on topics with three partitions."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pymongo import MongoClient

from contracts.envelope import Envelope, decode
from contracts.ledger.v1 import (
    CreditDeposit,
    OpenAccount,
    ReleaseHold,
    ReturnFunds,
    SettleHold,
)
from contracts.message import Message
from deploy import verify
from deploy.local.ports import free_ports
from deploy.local.servers import MongoServer
from services._kit import topics
from services._kit.failures import patience
from services._kit.kafka import KafkaPublisher
from services.ledger.settings import Settings
from tests.support.ledger_desk import Desk, hold_funds

ACCOUNTS = [f"toko-{n}.sandbox" for n in range(5)]
HOLDS = 40  # of each account
ROOT = Path(__file__).parents[2]


@dataclass
class Place:
    environ: dict[str, str]
    settings: Settings

    async def start(self) -> asyncio.subprocess.Process:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.ledger",
            env={**inherited, **self.environ}, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def publish(self, messages: list[Message]) -> None:
        desk = Desk()
        records = [desk.record(one, f"{self.settings.topic_prefix}-{n}") for n, one in
                   enumerate(messages)]  # fmt: skip
        publisher = KafkaPublisher(self.settings.kafka_url, self.settings.topic_prefix, 20)
        await publisher.start()
        try:
            await publisher.publish(records)
            await publisher.publish(random.Random(4).sample(records, 50))  # noqa: S311
        finally:
            await publisher.stop()

    async def events(self, wanted: int, limit_s: float = 60) -> list[Envelope[Any]]:
        """What was said, each id once, when there are as many as wanted."""
        topic = self.settings.topic_prefix + "ledger.events"
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_url)
        said: dict[str, Envelope[Any]] = {}
        began = time.monotonic()
        await consumer.start()
        try:
            places = [TopicPartition(topic, n) for n in range(3)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            while len(said) < wanted and time.monotonic() - began < limit_s:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    said |= {(one := decode(record.value)).id: one for record in records}
        finally:
            await consumer.stop()
        return list(said.values())


@pytest.fixture
async def place(kafka_url: str, mongo_url: str) -> AsyncIterator[Place]:
    name = uuid.uuid4().hex[:8]
    environ = {
        "KAFKA_URL": kafka_url,
        "MONGO_URL": mongo_url,
        "SALUR_TOPIC_PREFIX": f"{name}.",
        "SALUR_DATABASE_PREFIX": f"{name}_",
        "SALUR_TOPIC_PARTITIONS": "3",
        "SALUR_TOPIC_REPLICATION": "1",
        "SALUR_LEDGER_HEALTH_PORT": str(free_ports(1)[0]),
        "SALUR_LEDGER_BATCH_MESSAGES_MAX": "20",
    }
    settings = Settings.load(environ)
    async for _ in patience(30):
        try:
            await topics.ensure(settings)
            break
        except KafkaError:
            continue
    yield Place(environ, settings)
    with MongoClient[dict[str, Any]](mongo_url) as client:
        for service in ("ledger", "disburse"):
            client.drop_database(f"{name}_{service}")


def _life(account: str, number: int) -> list[Message]:
    """What a hold goes through, by its number; the last fifth stays open."""
    hold = f"{account}/{number}"
    settle = SettleHold(account=account, hold=hold, rail="bca")
    back = ReturnFunds(account=account, hold=hold, rail="bca", return_fee=False, reason="x")
    release = ReleaseHold(account=account, hold=hold, reason="x")
    return [
        hold_funds(hold, 1_000, 250, account),
        *((settle,), (release,), (settle, back), (back, settle), ())[number % 5],
    ]


def _commands() -> list[Message]:
    """Each account's lives one step after the other, all accounts mixed."""
    opening: list[Message] = []
    lives: list[list[Message]] = []
    for account in ACCOUNTS:
        opening.append(OpenAccount(account=account, scheme="deposit"))
        opening.append(CreditDeposit(account=account, amount=10**6, external_reference="va"))
        lives += [_life(account, number) for number in range(HOLDS)]
    steps = [[life[n] for life in lives if len(life) > n] for n in range(3)]
    return opening + [message for step in steps for message in step]


async def test_commands_become_events_once_though_they_come_twice_and_the_process_is_killed(
    place: Place, mongo_url: str
) -> None:
    commands = _commands()
    wanted = len(commands) + len(ACCOUNTS) * HOLDS // 5  # a return that overtakes says two things
    await place.publish(commands)
    process = await place.start()
    await place.events(wanted // 4)
    process.send_signal(signal.SIGKILL)
    await process.wait()

    process = await place.start()
    said = await place.events(wanted)
    process.terminate()
    code = await process.wait()

    assert code == 0
    assert len(said) == wanted
    _assert_in_order(said)
    with MongoClient[dict[str, Any]](mongo_url, tz_aware=True) as client:
        ledger = client[f"{place.settings.database_prefix}ledger"]
        disburse = client[f"{place.settings.database_prefix}disburse"]
        still = [{"_id": one["_id"], "status": "sending"} for one in ledger.holds.find({})]
        disburse.disbursements.insert_many(still)
        balances = {(one["available"], one["held"]) for one in ledger.accounts.find({})}
    assert verify.verify(mongo_url, place.settings.database_prefix)
    # Of five holds: one is paid, one released, two come back without their fee, one stays.
    assert balances == {(10**6 - 8 * (1_250 + 250 + 250 + 1_250), 8 * 1_250)}


def test_a_process_that_dies_in_its_transaction_locks_an_account_for_seconds(
    mongo_server: MongoServer,
) -> None:
    name = f"t{uuid.uuid4().hex[:8]}"
    with MongoClient[dict[str, Any]](mongo_server.url) as client:
        accounts = client[name].accounts
        accounts.insert_one({"_id": "toko-1.sandbox", "version": 1})
        dies = (
            "import os; from pymongo import MongoClient; "
            f"client = MongoClient({mongo_server.url!r}); session = client.start_session(); "
            "session.start_transaction(); "
            f"client[{name!r}].accounts.update_one({{}}, {{'$inc': {{'version': 1}}}}, "
            "session=session); os.kill(os.getpid(), 9)"
        )
        assert subprocess.run([sys.executable, "-c", dies], check=False).returncode == -9  # noqa: S603
        began = time.monotonic()

        # Outside a transaction, an update waits for the lock instead of failing.
        accounts.update_one({}, {"$inc": {"version": 1}})

        assert time.monotonic() - began < 30
        assert accounts.find_one() == {"_id": "toko-1.sandbox", "version": 2}
        client.drop_database(name)


def _assert_in_order(said: list[Envelope[Any]]) -> None:
    """Each account's newest entries come in order, and none is missing."""
    numbers: dict[str, list[int]] = {}
    for one in said:
        fresh = numbers.setdefault(one.key, [])
        assert one.sequence is not None
        if not fresh or one.sequence > fresh[-1]:
            fresh.append(one.sequence)
    assert set(numbers) == set(ACCOUNTS)
    for fresh in numbers.values():
        assert fresh == list(range(1, len(fresh) + 1))
