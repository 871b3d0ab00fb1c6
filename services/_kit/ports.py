"""What the kit needs from the world, as protocols: a log of records and a store of documents.

There are two of each: Kafka and MongoDB (``kafka``, ``mongo``), and memory (``memory``). One
suite of tests holds both to the same behaviour.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from services._kit.life import Changes, Document

MESSAGE_BYTES_MAX = 950_000  # with headers it stays below what the log takes as one request


@dataclass(frozen=True, slots=True)
class Record:
    """A message as the log holds it. ``headers`` are text; ``topic`` has no prefix."""

    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, str], ...] = ()
    partition: int = -1
    offset: int = -1

    def header(self, name: str) -> str | None:
        for key, value in self.headers:
            if key == name:
                return value
        return None


@dataclass(frozen=True, slots=True)
class InboxRow:
    """What a service remembers of a message: that it was decided, and what was said in answer."""

    id: str
    type: str
    fingerprint: str
    at: datetime
    said: tuple[Record, ...] = ()
    parked: str | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """A row of due work. ``attempt`` counts from 0; ``inserted_due_at`` never changes and times
    the ids of what the errand says.
    """

    id: str
    kind: str
    lane: str
    due_at: datetime
    inserted_due_at: datetime
    data: dict[str, Any]
    correlation: str
    attempt: int = 0
    token: str | None = None
    trace: tuple[tuple[str, str], ...] = field(default=())


class Reader(Protocol):
    """Reads of step 1: a constant number of queries, primary, read concern majority."""

    async def get(self, collection: str, ids: Collection[str]) -> dict[str, Document]:
        """Documents by ``_id``; what is not there is not in the answer."""

    async def find(self, collection: str, field: str, values: Collection[Any]) -> list[Document]:
        """Documents whose ``field`` is one of ``values``."""


class Store(Reader, Protocol):
    """State, inbox and errands of one service, in one transaction."""

    async def answered(self, ids: Collection[str]) -> dict[str, InboxRow]: ...

    async def commit(
        self,
        changes: Changes,
        inbox: Sequence[InboxRow],
        unparked: Sequence[InboxRow],
        errands: Sequence[Errand],
    ) -> None:
        """All or nothing. ``unparked`` rows replace rows that are parked.

        Raises:
            ConflictError: a guard failed; nothing was written.
            OutageError: not written, or perhaps written: ask the inbox.
        """


class ErrandStore(Protocol):
    """Due rows and their leases. All times of leases are the database's."""

    async def lanes_due(self) -> tuple[list[str], float | None]:
        """Lanes with a row that is due, and seconds until the next row falls due (None: none)."""

    async def lease(self, lane: str, most: int, lane_limit: int, lease_s: float) -> list[Errand]:
        """At most ``most`` due rows, while at most ``lane_limit`` are leased over all processes."""

    async def still_mine(self, errand: Errand) -> bool:
        """Whether the lease is this worker's and has not run out."""

    async def done(self, errands: Sequence[Errand]) -> None:
        """Delete rows that are still leased under their token."""

    async def again(self, errand: Errand, delay_s: float) -> None:
        """Give the row back, due after ``delay_s``, its attempt counted."""


class Publisher(Protocol):
    async def publish(self, records: Sequence[Record]) -> None:
        """All acknowledged by the log, those of one partition in order.

        Raises:
            LeavingError: one was not acknowledged in time; what happened to it is unknown.
        """
