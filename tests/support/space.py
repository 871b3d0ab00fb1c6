"""A space of its own for each test on the servers that all share, and eyes to look into it."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition

from deploy.local.ports import free_ports
from services._kit.kafka_source import record_of_raw
from services._kit.mongo import open_client
from services._kit.ports import Record


@dataclass(frozen=True)
class Space:
    """Prefixes that nobody else uses. ``database("ledger")`` is the name of a service's."""

    kafka_url: str
    mongo_url: str
    topic_prefix: str
    database_prefix: str

    def database(self, service: str) -> str:
        return self.database_prefix + service

    async def make_topics(self, names: Sequence[str], partitions: int = 3) -> None:
        """Topics of this space; names have no prefix."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka_url)
        await admin.start()
        try:
            await admin.create_topics(
                [NewTopic(self.topic_prefix + n, partitions, 1) for n in names]
            )
        finally:
            await admin.close()

    async def records(self, topic: str) -> list[Record]:
        """All that a topic holds now, partition by partition, each in order."""
        return await read_all(self.kafka_url, self.topic_prefix, topic)


@pytest.fixture
async def space(kafka_url: str, mongo_url: str) -> AsyncIterator[Space]:
    """Fresh prefixes; databases made under them are dropped when the test is over."""
    name = uuid4().hex[:12]
    made = Space(kafka_url, mongo_url, f"t{name}.", f"t{name}_")
    yield made
    client = open_client(mongo_url)
    try:
        for database in await client.list_database_names():
            if database.startswith(made.database_prefix):
                await client.drop_database(database)
    finally:
        client.close()


def free_port() -> int:
    """A port that no server listens on and no outgoing connection will be given."""
    return free_ports(1)[0]


async def eventually(
    check: Callable[[], Any | Awaitable[Any]], within_s: float = 20, every_s: float = 0.05
) -> None:
    """Return when ``check`` (asserts, plain or async) passes; its last failure is the test's."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            result = check()
            if inspect.isawaitable(result):
                await result
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(every_s)
        else:
            return


async def read_all(url: str, prefix: str, topic: str) -> list[Record]:
    """Every record of a topic from its beginning to its end as it is now, without a group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=url, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = await consumer._client._wait_on_metadata(prefix + topic)
        places = [TopicPartition(prefix + topic, number) for number in sorted(partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[Record] = []
        for place in places:
            while await consumer.position(place) < ends[place]:
                got = await consumer.getmany(place, timeout_ms=1000)
                found += [record_of_raw(raw, prefix) for raw in got.get(place, ())]
        return found
    finally:
        await consumer.stop()
