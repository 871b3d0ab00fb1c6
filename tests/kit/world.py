"""One world in two makes: memory, and a real Kafka with a real MongoDB. Tests cannot tell which.

A ``Process`` of a service is run with ``settle`` until everything sent to it is decided and let
go, or until it dies. A dead one is thrown away; the next takes its place, as a supervisor would.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiokafka.structs import TopicPartition
from faststream.kafka import KafkaBroker
from pymongo import IndexModel

from contracts import catalog
from services._kit.handlers import Handlers
from services._kit.kafka import KafkaPublisher
from services._kit.kafka_source import KafkaSource
from services._kit.life import Changes, Document
from services._kit.memory import MemoryErrands, MemoryLog, MemoryStore
from services._kit.mongo import MongoStore, open_client
from services._kit.mongo_errands import MongoErrands
from services._kit.ports import Errand, ErrandStore, InboxRow, Publisher, Record, Store
from services._kit.shell import Shell
from tests.kit.toy import COUNTERS
from tests.support.space import Space, read_all

TOPICS = ("ledger.commands", "ledger.events", "disburse.commands", "disburse.events")
PUBLISH_TIMEOUT_S = 10.0


class CrashError(BaseException):
    """The process is gone; no ``except Exception`` may save it."""


class Die:
    """A probe that kills the process after a step, once."""

    def __init__(self, step: str) -> None:
        self.step: str | None = step

    def __call__(self, step: str) -> None:
        if step == self.step:
            self.step = None
            raise CrashError(step)


@dataclass
class Hooked:
    """A store whose commits go wrong on demand, before or after they happened."""

    store: Any
    before: list[Exception] = field(default_factory=list)
    after: list[Exception] = field(default_factory=list)
    commits: int = 0
    on_load: Callable[[], Any] | None = None

    async def get(self, collection: str, ids: Any) -> dict[str, Document]:
        found: dict[str, Document] = await self.store.get(collection, ids)
        if self.on_load is not None:
            meanwhile, self.on_load = self.on_load, None
            await meanwhile()
        return found

    async def find(self, collection: str, field: str, values: Any) -> list[Document]:
        found: list[Document] = await self.store.find(collection, field, values)
        return found

    async def answered(self, ids: Any) -> dict[str, InboxRow]:
        found: dict[str, InboxRow] = await self.store.answered(ids)
        return found

    async def commit(
        self,
        changes: Changes,
        inbox: Sequence[InboxRow],
        unparked: Sequence[InboxRow],
        errands: Sequence[Errand],
    ) -> None:
        self.commits += 1
        if self.before:
            raise self.before.pop(0)
        await self.store.commit(changes, inbox, unparked, errands)
        if self.after:
            raise self.after.pop(0)


class Process(Protocol):
    shell: Shell[Any]

    async def settle(self) -> None:
        """Run until all that was sent is decided and let go; raises what kills the process."""


class World(Protocol):
    async def send(self, *records: Record) -> None: ...
    def store(self, service: str = "ledger") -> Store: ...
    def errands(self, service: str = "ledger") -> ErrandStore: ...
    def publisher(self) -> Publisher: ...
    async def records(self, topic: str) -> list[Record]: ...
    async def documents(self, collection: str, service: str = "ledger") -> list[Document]: ...
    def process(
        self, handlers: Handlers[Any], **options: Any
    ) -> contextlib.AbstractAsyncContextManager[Process]: ...


def shell_of(world: World, handlers: Handlers[Any], **options: Any) -> Shell[Any]:
    store = options.pop("store", None) or world.store(handlers.service)
    publisher = options.pop("publisher", None) or world.publisher()
    return Shell(handlers, store, publisher, **({"patience_s": 20} | options))


# --- memory ------------------------------------------------------------------------------------


class MemoryProcess:
    def __init__(self, world: "MemoryWorld", shell: Shell[Any], messages_max: int) -> None:
        self.shell = shell
        self._world = world
        self._messages_max = messages_max

    async def settle(self) -> None:
        group, log = self.shell.service, self._world.log
        topics = catalog.heard_by(group)
        while batch := log.read(group, topics, self._messages_max):
            await self.shell.handle(batch)
            log.commit(group, batch)


class MemoryWorld:
    def __init__(self) -> None:
        self.log = MemoryLog(partitions=3)
        self.stores: dict[str, MemoryStore] = {}

    async def send(self, *records: Record) -> None:
        await self.log.publish(records)

    def store(self, service: str = "ledger") -> MemoryStore:
        if service not in self.stores:
            self.stores[service] = MemoryStore(MemoryErrands())
        return self.stores[service]

    def errands(self, service: str = "ledger") -> MemoryErrands:
        return self.store(service).errands

    def publisher(self) -> MemoryLog:
        return self.log

    async def records(self, topic: str) -> list[Record]:
        return self.log.all(topic)

    async def documents(self, collection: str, service: str = "ledger") -> list[Document]:
        if collection == "errands":
            return [{"_id": one} for one in self.errands(service).rows]
        if collection == "inbox":
            return [
                {"_id": row.id, "parked": row.parked} for row in self.store(service).inbox.values()
            ]
        return list(self.store(service).collections.get(collection, {}).values())

    @contextlib.asynccontextmanager
    async def process(
        self, handlers: Handlers[Any], *, messages_max: int = 500, **options: Any
    ) -> AsyncIterator[MemoryProcess]:
        yield MemoryProcess(self, shell_of(self, handlers, **options), messages_max)


# --- Kafka and MongoDB -------------------------------------------------------------------------


class RealProcess:
    def __init__(self, shell: Shell[Any], source: KafkaSource) -> None:
        self.shell = shell
        self.source = source
        self.running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self.source.run(self.shell.handle)
        except CrashError as crash:
            # A BaseException that leaves a task would tear down the loop of all tests.
            raise _Died from crash

    async def settle(self) -> None:
        if self.running is None:
            self.start()
        assert self.running is not None
        while not await self._is_through():
            done, _ = await asyncio.wait({self.running}, timeout=0.02)
            if done:
                try:
                    await self.running
                except _Died as died:
                    raise CrashError(str(died.__cause__)) from died

    async def _is_through(self) -> bool:
        consumer = self.source.consumer
        places: list[TopicPartition] = sorted(consumer.assignment())
        if not places or self.source._busy.locked():
            return False
        ends = await consumer.end_offsets(places)
        behind = [p for p in places if ends[p] and (await consumer.committed(p) or 0) < ends[p]]
        return not behind

    async def stop(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)


class _Died(Exception):  # noqa: N818 - a death, carried out of a task
    pass


class RealWorld:
    def __init__(self, space: Space) -> None:
        self.space = space
        self._client = open_client(space.mongo_url)
        self._stores: dict[str, MongoStore] = {}
        self._publisher = KafkaPublisher(space.kafka_url, space.topic_prefix, PUBLISH_TIMEOUT_S)

    async def start(self) -> None:
        dead = [topic + catalog.DEAD_SUFFIX for topic in TOPICS]
        await self.space.make_topics([*TOPICS, *dead])
        for service in ("ledger", "disburse", "cashout"):
            self._stores[service] = MongoStore(self._client, self.space.database(service))
        await self._stores["ledger"].prepare({COUNTERS: [IndexModel("count")]}, inbox_days=16)
        for service in ("disburse", "cashout"):
            await self._stores[service].prepare({}, inbox_days=16)
        await self._publisher.start()

    async def stop(self) -> None:
        await self._publisher.stop()
        self._client.close()

    async def send(self, *records: Record) -> None:
        await self._publisher.publish(records)

    def store(self, service: str = "ledger") -> MongoStore:
        return self._stores[service]

    def errands(self, service: str = "ledger") -> MongoErrands:
        return MongoErrands(self._stores[service].db)

    def publisher(self) -> KafkaPublisher:
        return self._publisher

    async def records(self, topic: str) -> list[Record]:
        return await read_all(self.space.kafka_url, self.space.topic_prefix, topic)

    async def documents(self, collection: str, service: str = "ledger") -> list[Document]:
        rows: list[Document] = await self._stores[service].db[collection].find({}).to_list(None)
        return rows

    @contextlib.asynccontextmanager
    async def process(
        self,
        handlers: Handlers[Any],
        *,
        messages_max: int = 500,
        bytes_max: int = 4_194_304,
        gather_s: float = 0,
        commit_s: float = 0,
        **options: Any,
    ) -> AsyncIterator[RealProcess]:
        broker = KafkaBroker(self.space.kafka_url, logger=None)
        topics = [t for t in catalog.heard_by(handlers.service) if t in TOPICS]
        source = KafkaSource(
            broker,
            topics,
            group=handlers.service,
            prefix=self.space.topic_prefix,
            messages_max=messages_max,
            bytes_max=bytes_max,
            gather_s=gather_s,
            commit_s=commit_s,
        )
        process = RealProcess(shell_of(self, handlers, **options), source)
        await broker.start()
        try:
            yield process
        finally:
            await process.stop()
            await broker.stop()
