"""Kafka as a source: a consumer that never skips.

FastStream owns the connection and the subscription; the loop is the kit's own, because an empty
poll of FastStream's batch subscriber sleeps and an error in its handler commits or spins
(docs/adr/0002). Duplicates are normal here: a commit that fails is only logged.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from services._kit import metrics
from services._kit.ports import Record
from services._kit.together import pause_s

log = structlog.get_logger()

MAX_POLL_INTERVAL_MS = 300_000
SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_MS = 1_500
POLL_MS = 1_000
COMMIT_S = 30
START_POLL_S = 0.01


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
        gather_s: shortest time from the begin of one full batch to the next (``pause_s``).
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
                # aiokafka would fetch at once, be given the next message alone, and wait with it.
                self.consumer.pause(*self.consumer.assignment())
                moves = self._listener.moves
                async with self._busy:
                    # Fetched before partitions moved: the new assignment begins where the last
                    # commit ended, and whoever has them now gets these records again.
                    if moves == self._listener.moves:
                        await self._take(got, handle)
                taken = sum(len(records) for records in got.values())
                await asyncio.sleep(began + pause_s(taken, self._gather_s) - time.monotonic())
                self.consumer.resume(*self.consumer.paused())

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
