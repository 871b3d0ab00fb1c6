"""Servers that die and partitions that move: on the real ones."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from deploy.local.servers import KafkaServer, MongoServer
from services._kit.failures import LeavingError, OutageError
from services._kit.kafka import KafkaPublisher
from tests.kit.toy import COUNTERS, Counters, credit
from tests.kit.world import RealWorld, shell_of
from tests.support.space import eventually

pytestmark = pytest.mark.servers


async def total(world: RealWorld) -> int:
    return sum(row["available"] for row in await world.documents(COUNTERS))


async def test_mongo_goes_away_in_the_middle_and_nothing_is_skipped(
    real: RealWorld, mongo_server: MongoServer
) -> None:
    await real.send(*(credit(1, f"a{n}.sandbox") for n in range(20)))
    async with real.process(Counters(), messages_max=2, patience_s=60) as process:
        process.start()
        mongo_server.kill()
        await asyncio.sleep(1)
        mongo_server.start()
        await asyncio.to_thread(mongo_server.wait_ready)
        await process.settle()

    assert await total(real) == 20
    assert len({r.value for r in await real.records("ledger.events")}) == 20


async def test_kafka_goes_away_and_what_was_promised_before_is_decided_after(
    real: RealWorld, kafka_server: KafkaServer
) -> None:
    await real.send(*(credit(1, f"a{n}.sandbox") for n in range(20)))
    async with real.process(Counters(), messages_max=2) as process:
        process.start()
        await asyncio.sleep(0.3)
        kafka_server.kill()
        await asyncio.sleep(1)
        kafka_server.start()
        await asyncio.to_thread(kafka_server.wait_ready)
        with contextlib.suppress(LeavingError):
            await process.settle()
    await real._publisher.stop()
    real._publisher = KafkaPublisher(real.space.kafka_url, real.space.topic_prefix, 10)
    await real._publisher.start()
    async with real.process(Counters()) as fresh:
        await fresh.settle()

    assert await total(real) == 20
    assert len({r.value for r in await real.records("ledger.events")}) == 20


async def test_a_publish_that_is_not_acknowledged_in_time_puts_everything_in_doubt(
    real: RealWorld, kafka_server: KafkaServer
) -> None:
    publisher = KafkaPublisher(real.space.kafka_url, real.space.topic_prefix, timeout_s=1)
    await publisher.start()
    await publisher.publish([credit(1)])
    kafka_server.kill()

    with pytest.raises(LeavingError, match="in doubt"):
        await publisher.publish([credit(1)])
    with pytest.raises(LeavingError, match="in doubt"):
        await publisher.publish([credit(1)])
    await publisher.stop()


async def test_a_publish_to_a_topic_that_is_not_there_ends_and_never_hangs(
    real: RealWorld,
) -> None:
    publisher = KafkaPublisher(real.space.kafka_url, "nowhere.", timeout_s=1)
    await publisher.start()

    with pytest.raises(LeavingError):
        await asyncio.wait_for(publisher.publish([credit(1)]), 10)
    await publisher.stop()


async def test_a_commit_whose_answer_is_lost_with_its_connection_is_not_made_twice(
    real: RealWorld,
) -> None:
    """The transaction is committed, and the socket dies before anyone hears of it."""
    store, order = real.store(), credit(5)

    class Deaf:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        lost = False

        async def commit(self, *parts: Any) -> None:
            await store.commit(*parts)
            if not self.lost:
                self.lost = True
                raise OutageError("UnknownTransactionCommitResult")

    deaf = Deaf()

    await shell_of(real, Counters(), store=deaf).handle([order])

    assert await total(real) == 5
    assert len(await real.records("ledger.events")) == 1


async def test_a_second_consumer_joins_with_a_batch_in_flight_and_each_message_counts_once(
    real: RealWorld,
) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Counters):
        async def load(self, reader: Any, messages: Sequence[Any]) -> Any:
            entered.set()
            await go_on.wait()
            return await super().load(reader, messages)

    await real.send(*(credit(1, f"a{n}.sandbox") for n in range(12)))
    async with real.process(Slow()) as first:
        first.start()
        await entered.wait()
        joining = contextlib.AsyncExitStack()
        joined = asyncio.create_task(joining.enter_async_context(real.process(Counters())))
        await asyncio.sleep(3)  # longer than two heartbeats
        assert not joined.done(), "partitions moved under a batch"
        go_on.set()
        second = await joined
        second.start()
        await eventually(lambda: _shared(first, second))
        await real.send(*(credit(1, f"a{n}.sandbox") for n in range(12)))
        await eventually(lambda: _total_is(real, 24))
        await joining.aclose()

    assert len(await real.records("ledger.events")) == 24


async def test_a_batch_that_outlives_the_rebalance_is_a_zombie_and_loses(
    real: RealWorld,
) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    class Stalled(Counters):
        async def load(self, reader: Any, messages: Sequence[Any]) -> Any:
            book = await super().load(reader, messages)
            if not entered.is_set():
                entered.set()
                await go_on.wait()
            return book

    await real.send(*(credit(1, f"a{n}.sandbox") for n in range(6)))
    async with real.process(Stalled()) as zombie:
        zombie.source._listener._limit_s = 0.1
        zombie.start()
        await entered.wait()
        async with real.process(Counters()) as heir:
            heir.start()
            await eventually(lambda: _shared(zombie, heir))
            go_on.set()
            await real.send(*(credit(1, f"a{n}.sandbox") for n in range(6)))
            await eventually(lambda: _total_is(real, 12))

    assert len({r.value for r in await real.records("ledger.events")}) == 12


def _shared(*processes: Any) -> None:
    assert all(p.source.consumer.assignment() for p in processes)


async def _total_is(world: RealWorld, wanted: int) -> None:
    assert await total(world) == wanted
