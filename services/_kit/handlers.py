"""What a service brings to the shell."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from contracts.message import Message
from services._kit.life import Answer, Changes, Received
from services._kit.ports import Reader

Book = TypeVar("Book")


class Handlers(Protocol[Book]):
    """What a service brings: how to read, decide and write its state. ``Book`` is the working set
    of one batch: what was read, and what was decided since.
    """

    service: str

    def hears(self) -> Collection[type[Message]]:
        """The messages it decides."""

    async def load(self, reader: Reader, messages: Sequence[Received]) -> Book:
        """Step 1: all that the batch touches, in a constant number of queries."""

    def decide(self, book: Book, message: Received, now: datetime) -> Sequence[Answer]:
        """Step 2, pure: changes the book, returns what to say. An AssertionError parks the
        message.
        """

    def park(self, book: Book, message: Received, reason: str, now: datetime) -> Sequence[Answer]:
        """What a parked message leaves behind, for example a frozen account."""

    def check(self, book: Book) -> None:
        """Assert what must hold before anything is written."""

    def changes(self, book: Book) -> Changes:
        """Step 3, as data."""
