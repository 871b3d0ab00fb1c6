"""Cash-outs on real servers: the service and the ledger as processes; the test is the gateway."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from contracts import catalog
from contracts.cashout import v1 as cashout
from contracts.cashout.keys import store_correlation
from contracts.envelope import Envelope, decode, now_ms
from contracts.message import Message
from services._kit.kafka import KafkaPublisher
from services._kit.life import due_message
from services._kit.mongo import ERRANDS, MongoStore, open_client
from services._kit.mongo_documents import errand_document
from services._kit.ports import Errand
from services._kit.settings import PlatformSettings
from services._kit.topics import ensure
from services.cashout.life import Life
from services.cashout.store import LIVES, life_document
from services.cashout.words import expiry_lane
from tests.support.cashout import CODE_KEY, FEE, SEAL_KEY, Shop, hash_of, record
from tests.support.space import Space, eventually, free_port

ROOT = Path(__file__).parents[2]


@dataclass
class Processes:
    """``python -m services.<name>``, each with a log file of its own."""

    space: Space
    logs: Path

    def environment(self, service: str, **own: str) -> Mapping[str, str]:
        prefix = f"SALUR_{service.upper()}_"
        return {
            "PATH": os.environ["PATH"],
            "KAFKA_URL": self.space.kafka_url,
            "MONGO_URL": self.space.mongo_url,
            "SALUR_TOPIC_PREFIX": self.space.topic_prefix,
            "SALUR_DATABASE_PREFIX": self.space.database_prefix,
            "SALUR_TOPIC_REPLICATION": "1",
            "SALUR_TOPIC_PARTITIONS": "3",
            "SALUR_SEAL_KEY": SEAL_KEY,
            f"{prefix}HEALTH_PORT": str(free_port()),
            **({"SALUR_CASHOUT_CODE_KEY": CODE_KEY} if service == "cashout" else {}),
            **{prefix + name: value for name, value in own.items()},
        }

    @contextmanager
    def running(self, service: str, **own: str) -> Iterator["subprocess.Popen[bytes]"]:
        with (self.logs / f"{service}.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", f"services.{service}"],
                cwd=ROOT,
                env=dict(self.environment(service, **own)),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    async def make_topics(self) -> None:
        await ensure(_settings(self.space))

    async def events(self, *models: type[Message]) -> list[Envelope[Any]]:
        found = []
        for topic in {catalog.row(model.type).topic for model in models}:
            found += [decode(one.value) for one in await self.space.records(topic)]
        return [one for one in found if one.type in {model.type for model in models}]


def _settings(space: Space) -> PlatformSettings:
    class Settings(PlatformSettings):
        service = "cashout"

    return Settings(
        health_port=0,
        kafka_url=space.kafka_url,
        mongo_url=space.mongo_url,
        topic_prefix=space.topic_prefix,
        topic_partitions=3,
        topic_replication=1,
    )


@asynccontextmanager
async def publisher(space: Space) -> AsyncIterator[KafkaPublisher]:
    made = KafkaPublisher(space.kafka_url, space.topic_prefix, 20)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


class Street:
    """A gateway and its stores: says commands, and looks for what was said in answer."""

    def __init__(self, processes: Processes, out: Any) -> None:
        self.processes = processes
        self.shop = Shop()
        self._out = out

    async def say(self, message: Message, correlation: str = "") -> None:
        await self._out.publish([record(message, self.shop.now, correlation)])

    async def ask(self, message: cashout.RedeemCode | cashout.ReverseRedemption) -> None:
        kind: Any = "redemption" if isinstance(message, cashout.RedeemCode) else "reversal"
        about = (message.chain, message.store_ref, kind, message.fingerprint)
        await self.say(message, store_correlation(*about))

    async def heard(self, model: type[Message], count: int = 1) -> list[Any]:
        found: list[Any] = []

        async def enough() -> None:
            nonlocal found
            found = [one.message for one in await self.processes.events(model)]
            assert len(found) >= count, f"{len(found)} of {count} {model.__name__}"

        await eventually(enough, within_s=30)
        return found


async def lateness_s(processes: Processes, codes: int, within_s: float) -> list[float]:
    """Let ``codes`` codes expire, evenly ``within_s``, and tell by how much each was late."""
    space = processes.space
    await processes.make_topics()
    client = open_client(space.mongo_url)
    try:
        with processes.running("cashout") as running:
            store = MongoStore(client, space.database("cashout"))
            while "cashouts" not in await store.db.list_collection_names():
                await asyncio.sleep(0.1)
            await asyncio.sleep(2)
            await _insert(store, codes, within_s)
            while await store.db[LIVES].count_documents({"status": "active"}):
                assert running.poll() is None, "the service has left; see its log"
                await asyncio.sleep(0.5)
    finally:
        client.close()
    said = await processes.events(cashout.CodeExpired)
    assert len({one.message.cashout for one in said}) == codes
    return sorted((one.occurred_at - one.message.order.expires_at).total_seconds() for one in said)


async def _insert(store: MongoStore, codes: int, within_s: float) -> None:
    """Active lives with their alarm clocks, as ``FundsHeld`` leaves them."""
    shop = Shop()
    order, place = shop.order(), hash_of("081234567890")
    made = now_ms()
    first = made + timedelta(seconds=4 + codes / 4000)
    lives, rows = [], []
    for n in range(codes):
        expires_at = first + timedelta(milliseconds=int(within_s * 1000 * n / codes))
        life = Life(
            f"cash_{n:06d}", place, order.altered(expires_at=expires_at, fee=FEE), "active",
            made, made, sequence=2, digest=f"c1.{n}",
        )  # fmt: skip
        message = cashout.ExpireCode(cashout=life.id, phone_hash=f"{n:064x}")
        due = due_message(
            message, expires_at, expiry_lane(life.id, shop.terms.expiry_lanes), life.id
        )
        errand = Errand(
            f"errand-{n:06d}", due.kind, due.lane, expires_at, expires_at, dict(due.data), life.id
        )
        lives.append(life_document(life))
        rows.append(errand_document(errand))
    await store.db[LIVES].insert_many(lives)
    await store.db[ERRANDS].insert_many(rows)


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
