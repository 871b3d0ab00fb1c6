"""Commands that the gateway says, and the wait for the event that answers one."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from contracts import catalog
from contracts.envelope import Envelope
from contracts.message import Message
from services._kit import tracing
from services._kit.ports import Record
from services._kit.records import record_of
from services.gateway.outlet import NotAcknowledgedError, Outlet
from services.gateway.tail import Tail

log = structlog.get_logger()

_RETRY_S = 0.5


def command_record(
    message: Message, command_id: str, occurred_at: datetime, correlation: str | None = None
) -> Record:
    """A command as a record; its answer is told apart by ``correlation``, else by its own id."""
    row = catalog.row(message.type)
    assert "gateway" in row.said_by, f"gateway does not say {message.type}"
    return record_of(
        Envelope.model_construct(
            id=command_id,
            type=message.type,
            source="/salur/gateway",
            key=getattr(message, row.key),
            occurred_at=occurred_at,
            correlation=correlation or command_id,
            cause=None,
            sequence=None,
            message=message,
        ),
        tracing.current(),
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that is insisted on."""

    command: str
    correlation: str
    record: Record


class Commands:
    """Says a command and waits for its event."""

    def __init__(self, outlet: Outlet, tail: Tail) -> None:
        self._outlet = outlet
        self._tail = tail

    async def say(self, record: Record) -> None:
        """Acknowledged by Kafka.

        Raises:
            NotAcknowledgedError: perhaps it was said.
        """
        await self._outlet.publish([record])

    async def ask(
        self, record: Record, correlation: str, ends: Collection[type[Message]], within_s: float
    ) -> Envelope[Any] | None:
        """The event that answers; None: none came in time.

        Raises:
            NotAcknowledgedError: perhaps it was said.
        """
        with self._tail.waiting(correlation, ends) as waiter:
            await self._outlet.publish([record])
            return await waiter.event(within_s)

    async def insist(
        self, asked: Asked, ends: Collection[type[Message]], until_s: float, again_s: float
    ) -> Envelope[Any] | None:
        """The answer to this very command, which is said again and again until it is there; the
        inbox repeats an answer that was missed. None: none came until ``until_s`` (monotonic).
        """
        with self._tail.waiting(asked.correlation, ends, asked.command) as waiter:
            saying = asyncio.create_task(self._keep_saying(asked.record, again_s))
            try:
                return await waiter.event(until_s - time.monotonic())
            finally:
                saying.cancel()
                await asyncio.gather(saying, return_exceptions=True)

    async def _keep_saying(self, record: Record, again_s: float) -> None:
        while True:
            pause_s = again_s
            try:
                await self._outlet.publish([record])
            except NotAcknowledgedError as error:
                log.warning("a store's request is not acknowledged", reason=str(error))
                pause_s = min(again_s, _RETRY_S)
            await asyncio.sleep(pause_s)
