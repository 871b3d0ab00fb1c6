"""Commands that the gateway says, and the wait for the event that answers one."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from contracts import catalog
from contracts.envelope import Envelope
from contracts.message import Message
from services._kit import tracing
from services._kit.ports import Record
from services._kit.records import record_of
from services.gateway.outlet import Outlet
from services.gateway.tail import Tail


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
