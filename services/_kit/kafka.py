"""Kafka as a log: a producer that batches by partition."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from services._kit.failures import LeavingError
from services._kit.ports import MESSAGE_BYTES_MAX, Record

log = structlog.get_logger()

REQUEST_BYTES_MAX = 1_000_000  # a batch; below the broker's message.max.bytes of 1 MiB


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
