"""Where commands leave: a producer that is closed and opened anew when an ack did not come.

Other services end their process then. The gateway stays up and says 503, because partners and
operators must still be able to read.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import structlog
from aiokafka.errors import KafkaError

from services._kit.failures import LeavingError
from services._kit.kafka import KafkaPublisher
from services._kit.ports import Record

log = structlog.get_logger()

PAUSE_S = 0.5
PING_EVERY_S = 2.0


class NotAcknowledgedError(Exception):
    """Kafka did not take the command, or nobody knows whether it did."""


class Outlet:
    """Publishes while a producer is open.

    Args:
        make: a producer that has not started.
    """

    def __init__(self, make: Callable[[], KafkaPublisher]) -> None:
        self._make = make
        self._producer: KafkaPublisher | None = None
        self._broken = asyncio.Event()
        self._answers = False

    async def start(self) -> None:
        """Connect.

        Raises:
            KafkaError: no broker answers.
        """
        producer = self._make()
        await producer.start()
        self._producer, self._answers = producer, True

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    def problem(self) -> str | None:
        """For ``/readyz``."""
        return None if self._answers and self._producer is not None else "Kafka does not answer"

    @property
    def open(self) -> bool:
        """Whether a publish has a chance: nothing should be remembered that cannot be said."""
        return self._producer is not None and self._answers

    async def publish(self, records: Sequence[Record]) -> None:
        """All acknowledged.

        Raises:
            NotAcknowledgedError: perhaps some were; say them again under the same ids.
        """
        producer = self._producer
        if producer is None:
            raise NotAcknowledgedError("the producer is being opened again")
        try:
            await producer.publish(records)
        except LeavingError as error:
            if self._producer is producer:
                self._producer = None
                self._broken.set()
            raise NotAcknowledgedError(str(error)) from None

    async def run(self) -> None:
        """Keep a producer open, until cancelled."""
        while True:
            producer = self._producer
            self._answers = producer is not None and await producer.ping()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._broken.wait(), PING_EVERY_S)
            if self._broken.is_set():
                self._broken.clear()
                self._answers = False
                log.warning("a publish was not acknowledged; opening the producer again")
                await asyncio.gather(
                    self._reopen(), producer.stop() if producer else asyncio.sleep(0)
                )

    async def _reopen(self) -> None:
        while self._producer is None:
            try:
                await self.start()
                log.info("the producer is open again")
            except (KafkaError, OSError) as error:
                log.warning("Kafka does not answer", reason=repr(error))
                await asyncio.sleep(PAUSE_S)
