"""Kafka as the log: a producer that batches by partition, and a consumer that never skips.

FastStream owns the connection and the subscription; the loop is the kit's own, because an empty
poll of FastStream's batch subscriber sleeps and an error in its handler commits or spins
(docs/adr/0002). Duplicates are normal here: a commit that fails is only logged.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from services._kit import metrics
from services._kit.failures import LeavingError
from services._kit.ports import MESSAGE_BYTES_MAX, Record

log = structlog.get_logger()

REQUEST_BYTES_MAX = 1_000_000  # a batch; below the broker's message.max.bytes of 1 MiB
MAX_POLL_INTERVAL_MS = 300_000
SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_MS = 1_500
POLL_MS = 1_000
COMMIT_S = 30
START_POLL_S = 0.01


class KafkaPublisher:
    """Publishes records in order per partition; concurrent calls share batches.

    Args:
        url: bootstrap servers.
        prefix: before each topic name.
        timeout_s: a record that is not acknowledged by then puts everything in doubt.
    """

    def __init__(self, url: str, prefix: str, timeout_s: float) -> None:
        self._url = url
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._producer: Any = None
        self._partitioner = DefaultPartitioner()
        self._partitions: dict[str, list[int]] = {}
        self._pending: list[tuple[Sequence[Record], asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._broken: str | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            KafkaError: no broker answers.
        """
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._url,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=REQUEST_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
            request_timeout_ms=int(self._timeout_s * 1000),
            compression_type=None,
        )
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise

    async def stop(self) -> None:
        """Close; an idempotent batch that nobody acknowledges would keep ``stop`` waiting."""
        try:
            async with asyncio.timeout(5):
                await self._producer.stop()
        except (TimeoutError, KafkaError):
            log.warning("the producer did not close in time")
            # What stop() would do next, had it not been waiting for acknowledgements.
            await self._producer._sender.close()  # noqa: SLF001 - there is no public door
            await self._producer.client.close()

    async def ping(self) -> bool:
        """Whether a broker answers a metadata request now."""
        try:
            async with asyncio.timeout(3):
                await self._producer.client.fetch_all_metadata()
        except (TimeoutError, KafkaError, OSError):
            return False
        return True

    async def publish(self, records: Sequence[Record]) -> None:
        if self._broken is not None:
            raise LeavingError(self._broken)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((records, done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        while self._pending:
            calls, self._pending = self._pending, []
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._send([record for records, _ in calls for record in records])
            except Exception as error:  # noqa: BLE001 - whatever it was, nobody may wait for ever
                self._broken = f"a publish is in doubt: {type(error).__name__}: {error}"
                calls += self._pending
                self._pending = []
                for _, done in calls:
                    if not done.done():
                        done.set_exception(LeavingError(self._broken))
                return
            for _, done in calls:
                if not done.done():
                    done.set_result(None)

    async def _send(self, records: Sequence[Record]) -> None:
        lines: dict[tuple[str, int], list[Record]] = {}
        # A batch has few keys and many records: each key is hashed once.
        known: dict[tuple[str, str], list[Record]] = {}
        for record in records:
            line = known.get((record.topic, record.key))
            if line is None:
                place = await self._place(record)
                line = known[record.topic, record.key] = lines.setdefault(place, [])
            line.append(record)
        await asyncio.gather(*(self._send_line(*place, line) for place, line in lines.items()))

    async def _place(self, record: Record) -> tuple[str, int]:
        topic = self._prefix + record.topic
        partitions = self._partitions.get(topic)
        if partitions is None:
            partitions = sorted(await self._producer.partitions_for(topic))
            self._partitions[topic] = partitions
        return topic, self._partitioner(record.key.encode(), partitions, partitions)

    async def _send_line(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """One partition, chunk by chunk: the next goes out when the one before is there."""
        batch = self._producer.create_batch()
        for record in records:
            # A batch takes its first record whatever its size, and the broker would refuse it.
            if len(record.value) > MESSAGE_BYTES_MAX:
                raise LeavingError(f"a message of {len(record.value)} bytes is too large")
            if not _append(batch, record):
                await self._ship(batch, topic, partition)
                batch = self._producer.create_batch()
                _append(batch, record)
        await self._ship(batch, topic, partition)

    async def _ship(self, batch: Any, topic: str, partition: int) -> None:
        batch.close()
        acknowledged = await self._producer.send_batch(batch, topic, partition=partition)
        await acknowledged


def _append(batch: Any, record: Record) -> bool:
    metadata = batch.append(
        key=record.key.encode(),
        value=record.value,
        timestamp=int(time.time() * 1000),
        headers=[(name, value.encode()) for name, value in record.headers],
    )
    return metadata is not None


class _AwaitBatch(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """Partitions move only when the batch in flight is over, or has taken too long; the next one
    begins when they have moved.
    """

    def __init__(self, busy: asyncio.Lock, limit_s: float) -> None:
        self._busy = busy
        self._limit_s = limit_s
        self._holds = False
        self.moves = 0

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                await self._busy.acquire()
            self._holds = True
        except TimeoutError:
            log.warning("a batch outlives a rebalance; it will lose by version", n=len(revoked))

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        log.debug("partitions assigned", n=len(assigned))
        self.moves += 1
        if self._holds:
            self._holds = False
            self._busy.release()


class KafkaSource:
    """Feeds batches of records to a handler and commits behind it.

    Args:
        broker: FastStream's; it owns the connection.
        topics: without prefix.
        group: the consumer group, a service's name.
        gather_s: shortest time from the begin of one batch to the next.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        topics: Collection[str],
        *,
        group: str,
        prefix: str,
        messages_max: int,
        bytes_max: int,
        gather_s: float = 0.0,
        rebalance_wait_s: float = 30,
    ) -> None:
        self._busy = asyncio.Lock()
        self._prefix = prefix
        self._group = group
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._gather_s = gather_s
        self._listener = _AwaitBatch(self._busy, rebalance_wait_s)
        self._subscriber = broker.subscriber(
            *(prefix + topic for topic in topics),
            group_id=prefix + group,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            listener=self._listener,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=int(rebalance_wait_s * 1000) + 5_000,
            fetch_max_wait_ms=500,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            isolation_level="read_committed",
        )

    @property
    def consumer(self) -> Any:
        """aiokafka's consumer, once the broker has started."""
        consumer = self._subscriber.consumer
        assert consumer is not None, "the broker has not started"
        return consumer

    async def idle(self, limit_s: float = 15) -> None:
        """Wait until no batch is in flight, and take no other; bounded."""
        try:
            async with asyncio.timeout(limit_s):
                await self._busy.acquire()
        except TimeoutError:
            log.warning("stopping with a batch in flight; it will be delivered again")

    async def run(self, handle: Callable[[Sequence[Record]], Awaitable[None]]) -> None:
        """Feed until cancelled."""
        # FastStream's lifespan does not wait for its broker; a broker that fails ends the server.
        while not self._subscriber.running:  # noqa: ASYNC110 - FastStream has no event
            await asyncio.sleep(START_POLL_S)
        while True:
            try:
                got = await self.consumer.getmany(
                    timeout_ms=POLL_MS, max_records=self._messages_max
                )
            except KafkaError as error:
                log.warning("Kafka does not answer", reason=repr(error))
                await asyncio.sleep(1)
                continue
            if got:
                began = time.monotonic()
                moves = self._listener.moves
                async with self._busy:
                    # Fetched before partitions moved: the new assignment begins where the last
                    # commit ended, and whoever has them now gets these records again.
                    if moves == self._listener.moves:
                        await self._take(got, handle)
                # A batch costs the same transaction and commits whether it holds 1 or 50: what
                # comes in quick succession is gathered. The first after a rest never waits.
                await asyncio.sleep(max(0.0, self._gather_s - (time.monotonic() - began)))

    async def _take(
        self,
        got: dict[TopicPartition, list[Any]],
        handle: Callable[[Sequence[Record]], Awaitable[None]],
    ) -> None:
        raw = [record for records in got.values() for record in records]
        for chunk in _chunks(raw, self._bytes_max):
            started = time.monotonic()
            await handle([record_of_raw(record, self._prefix) for record in chunk])
            metrics.batch_s.labels(self._group).observe(time.monotonic() - started)
            metrics.batch_messages.labels(self._group).observe(len(chunk))
            await self._commit(chunk)

    async def _commit(self, chunk: Sequence[Any]) -> None:
        offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        for record in chunk:
            place = TopicPartition(record.topic, record.partition)
            offsets[place] = OffsetAndMetadata(record.offset + 1, "")
        try:
            # aiokafka itself would try for as long as Kafka is away.
            async with asyncio.timeout(COMMIT_S):
                await self.consumer.commit(offsets)
        except (KafkaError, TimeoutError) as error:
            log.warning("an offset was not committed; the inbox will answer", reason=repr(error))


def record_of_raw(raw: Any, prefix: str) -> Record:
    """aiokafka's record as the kit's. Bytes that are no text are replaced, none are refused."""
    return Record(
        topic=raw.topic.removeprefix(prefix),
        key=(raw.key or b"").decode(errors="replace"),
        value=raw.value or b"",
        headers=tuple(
            (name, (value or b"").decode(errors="replace")) for name, value in raw.headers
        ),
        partition=raw.partition,
        offset=raw.offset,
    )


def _chunks(raw: Sequence[Any], bytes_max: int) -> list[list[Any]]:
    """Records in order, in chunks of at most ``bytes_max`` (one larger record stands alone)."""
    chunks: list[list[Any]] = [[]]
    size = 0
    for record in raw:
        length = len(record.value or b"")
        if chunks[-1] and size + length > bytes_max:
            chunks.append([])
            size = 0
        chunks[-1].append(record)
        size += length
    return chunks
