"""The events are the answer: every process reads their topics from the end, without a group.

A waiter registers for a correlation and for the types that end its wait. Records say both in
headers, so nobody parses what nobody here waits for.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterator
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from contracts.envelope import TYPE_HEADER, Envelope, UnreadableMessageError, decode
from contracts.message import Message
from services._kit.records import CORRELATION_HEADER

log = structlog.get_logger()

POLL_MS = 1_000
RECORDS_MAX = 5_000
PAUSE_S = 0.5
POSITIONS_S = 20

_TYPE, _CORRELATION = TYPE_HEADER, CORRELATION_HEADER


class Waiter:
    """One request's wait; made by ``Tail.waiting``."""

    def __init__(self, types: frozenset[str], cause: str | None) -> None:
        self.types = types
        self._cause = cause
        self._heard: asyncio.Future[Envelope[Any]] = asyncio.get_running_loop().create_future()

    def hear(self, envelope: Envelope[Any]) -> None:
        if not self._heard.done() and self._cause in (None, envelope.cause):
            self._heard.set_result(envelope)

    async def event(self, within_s: float) -> Envelope[Any] | None:
        """The event that ends the wait; None: it did not come in time."""
        if within_s <= 0 and not self._heard.done():
            return None
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(self._heard), within_s)
        return None


class Tail:
    """Reads event topics from their end and wakes waiters.

    Args:
        url: bootstrap servers.
        topics: without prefix.
        prefix: before each topic name.
    """

    def __init__(self, url: str, topics: Collection[str], prefix: str) -> None:
        self._url = url
        self._topics = [prefix + topic for topic in topics]
        self._waiters: dict[str, set[Waiter]] = {}
        self._ready = False

    def problem(self) -> str | None:
        """For ``/readyz``."""
        return None if self._ready else "the tail does not know its positions"

    @contextlib.contextmanager
    def waiting(
        self, correlation: str, types: Collection[type[Message]], cause: str | None = None
    ) -> Iterator[Waiter]:
        """Register before the command is published, or its answer may pass by. With ``cause``
        only the answer to that very command counts: an older one may be repeated at any time.
        """
        waiter = Waiter(frozenset(one.type for one in types), cause)
        self._waiters.setdefault(correlation, set()).add(waiter)
        try:
            yield waiter
        finally:
            others = self._waiters[correlation]
            others.discard(waiter)
            if not others:
                del self._waiters[correlation]

    async def run(self) -> None:
        """Read until cancelled. What passes while Kafka is away is found in the view."""
        while True:
            consumer = AIOKafkaConsumer(
                *self._topics,
                bootstrap_servers=self._url,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="latest",
                fetch_max_wait_ms=500,
                isolation_level="read_committed",
            )
            try:
                await consumer.start()
                await self._follow(consumer)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("the tail begins again", reason=repr(error))
            finally:
                self._ready = False
                await consumer.stop()
            await asyncio.sleep(PAUSE_S)

    async def _follow(self, consumer: Any) -> None:
        assigned = consumer.assignment()
        missing = set(self._topics) - {place.topic for place in assigned}
        if missing:
            raise TimeoutError(f"no partitions yet: {sorted(missing)}")
        async with asyncio.timeout(POSITIONS_S):
            for place in assigned:
                await consumer.position(place)
        self._ready = True
        while True:
            got = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
            if self._waiters:
                for records in got.values():
                    for record in records:
                        self._take(record)

    def _take(self, record: Any) -> None:
        headers = {name: value for name, value in record.headers if name in (_TYPE, _CORRELATION)}
        correlation = headers.get(_CORRELATION, b"").decode(errors="replace")
        waiters = self._waiters.get(correlation)
        if not waiters:
            return
        message_type = headers.get(_TYPE, b"").decode(errors="replace")
        wanting = [waiter for waiter in waiters if message_type in waiter.types]
        if not wanting:
            return
        try:
            envelope = decode(record.value or b"", message_type)
        except UnreadableMessageError as error:
            log.warning("an awaited event cannot be read", type=message_type, reason=str(error))
            return
        for waiter in wanting:
            waiter.hear(envelope)
