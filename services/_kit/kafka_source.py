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
    """Partitions move only when the batch in flight is over and committed, or has taken too long;
    the next one begins when they have moved.
    """

    def __init__(self, busy: asyncio.Lock, offsets: "_Offsets", limit_s: float) -> None:
        self._busy = busy
        self._offsets = offsets
        self._limit_s = limit_s
        self._holds = False
        self.moves = 0

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                await self._busy.acquire()
                self._holds = True
                await self._offsets.commit()
        except TimeoutError:
            log.warning("a batch outlives a rebalance; it will lose by version", n=len(revoked))

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        log.debug("partitions assigned", n=len(assigned))
        self.moves += 1
        self._offsets.forget()
        if self._holds:
            self._holds = False
            self._busy.release()


class _Offsets:
    """What was handled and not committed yet. Duplicates are normal, so a commit may come a moment
    later, and for many batches at once (docs/adr/0010).
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._handled: dict[TopicPartition, OffsetAndMetadata] = {}
        self._due_at = 0.0
        self.consumer: Any = None

    def note(self, chunk: Sequence[Any]) -> None:
        if not self._handled:
            self._due_at = time.monotonic() + self._every_s
        for record in chunk:
            place = TopicPartition(record.topic, record.partition)
            self._handled[place] = OffsetAndMetadata(record.offset + 1, "")

    @property
    def wait_s(self) -> float | None:
        """Until they should be committed; None: there are none."""
        return max(0.0, self._due_at - time.monotonic()) if self._handled else None

    def forget(self) -> None:
        """Partitions have moved: whoever has them now begins where the last commit ended."""
        self._handled = {}

    async def commit(self) -> None:
        handled, self._handled = self._handled, {}
        if not handled:
            return
        try:
            # aiokafka itself would try for as long as Kafka is away.
            async with asyncio.timeout(COMMIT_S):
                await self.consumer.commit(handled)
        except (KafkaError, TimeoutError) as error:
            log.warning("an offset was not committed; the inbox will answer", reason=repr(error))


class KafkaSource:
    """Feeds batches of records to a handler and commits behind it.

    Args:
        broker: FastStream's; it owns the connection.
        topics: without prefix.
        group: the consumer group, a service's name.
        gather_s: shortest time from the begin of one full batch to the next (``pause_s``).
        commit_s: longest time from a batch's end to the commit of its offsets.
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
        commit_s: float = 0.0,
        rebalance_wait_s: float = 30,
    ) -> None:
        self._busy = asyncio.Lock()
        self._prefix = prefix
        self._group = group
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._gather_s = gather_s
        self._offsets = _Offsets(commit_s)
        self._listener = _AwaitBatch(self._busy, self._offsets, rebalance_wait_s)
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
                await self._offsets.commit()
        except TimeoutError:
            log.warning("stopping with a batch in flight; it will be delivered again")

    async def run(self, handle: Callable[[Sequence[Record]], Awaitable[None]]) -> None:
        """Feed until cancelled."""
        # FastStream's lifespan does not wait for its broker; a broker that fails ends the server.
        while not self._subscriber.running:  # noqa: ASYNC110 - FastStream has no event
            await asyncio.sleep(START_POLL_S)
        self._offsets.consumer = self.consumer
        while True:
            wait_s = self._offsets.wait_s
            try:
                got = await self.consumer.getmany(
                    timeout_ms=POLL_MS if wait_s is None else int(1000 * wait_s) + 1,
                    max_records=self._messages_max,
                )
            except KafkaError as error:
                log.warning("Kafka does not answer", reason=repr(error))
                await asyncio.sleep(1)
                continue
            began = time.monotonic()
            if got:
                # aiokafka would fetch at once, be given the next message alone, and wait with it.
                self.consumer.pause(*self.consumer.assignment())
            moves = self._listener.moves
            async with self._busy:
                # Fetched before partitions moved: the new assignment begins where the last commit
                # ended, and whoever has them now gets these records again.
                if moves == self._listener.moves:
                    await self._take(got, handle)
                if self._offsets.wait_s == 0:
                    await self._offsets.commit()
            if got:
                taken = sum(len(records) for records in got.values())
                await asyncio.sleep(began + pause_s(taken, self._gather_s) - time.monotonic())
                self.consumer.resume(*self.consumer.paused())

    async def _take(
        self,
        got: dict[TopicPartition, list[Any]],
        handle: Callable[[Sequence[Record]], Awaitable[None]],
    ) -> None:
        raw = [record for records in got.values() for record in records]
        for chunk in _chunks(raw, self._bytes_max) if raw else ():
            started = time.monotonic()
            await handle([record_of_raw(record, self._prefix) for record in chunk])
            metrics.batch_s.labels(self._group).observe(time.monotonic() - started)
            metrics.batch_messages.labels(self._group).observe(len(chunk))
            self._offsets.note(chunk)


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
