"""What a domain is made of: tables of rows, and decisions that are plain data.

Nothing here touches the world. A domain's ``decide`` takes a state, a message and the time, and
returns what to say and what falls due; the shell writes and publishes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.envelope import Envelope
from contracts.message import Message

Document = dict[str, Any]
Received = Envelope[Any]


@dataclass(frozen=True, slots=True)
class Say:
    """A message to publish.

    ``sequence`` numbers the change in its life; ``correlation`` is the cause's unless given.
    """

    message: Message
    sequence: int | None = None
    correlation: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """Work that falls due: a row for an errand worker, inserted with the state that asks for it.

    ``lane`` is what the work must share fairly, for example one bank or one endpoint. ``data`` is
    JSON-like. The row's id is derived from the causing message.
    """

    kind: str
    lane: str
    due_at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


Answer = Say | Due


def due_message(message: Message, due_at: datetime, lane: str, correlation: str) -> Due:
    """An errand that only says ``message`` when its time has come; it is tried until it is said."""
    data = {
        "type": message.type,
        "message": message.model_dump(mode="json"),
        "correlation": correlation,
    }
    return Due(SAY, lane, due_at, data)


SAY = "say"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a life's table: while it is / this arrives / it becomes / we say / we ask.

    ``becomes`` None leaves the state as it is. ``say`` and ``ask`` name what is said (events) and
    asked (commands and errands); the domain's makers turn the names into messages. ``when``
    narrows the row by what the message says.
    """

    while_: str | None
    arrives: type[Message]
    becomes: str | None
    say: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    when: str | None = None


class Table:
    """A life as data. Several rows for one (state, message) are tried in order; the first whose
    ``when`` holds is the one.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = tuple(rows)
        self._index: dict[tuple[str | None, type[Message]], list[Row]] = {}
        for row in self.rows:
            self._index.setdefault((row.while_, row.arrives), []).append(row)

    def find(
        self, state: str | None, arrives: type[Message], holds: Callable[[str], bool]
    ) -> Row | None:
        """The row for this state and message; None: no row, refused or a fault."""
        for row in self._index.get((state, arrives), ()):
            if row.when is None or holds(row.when):
                return row
        return None

    def statuses(self) -> set[str]:
        return {s for row in self.rows for s in (row.while_, row.becomes) if s is not None}

    def terminal(self) -> set[str]:
        """Statuses that no row leaves."""
        left = {r.while_ for r in self.rows if r.becomes is not None and r.becomes != r.while_}
        return self.statuses() - left


@dataclass(slots=True)
class Changes:
    """What a batch writes. A document in ``replaces`` carries its new ``version``; the write is
    guarded by ``version - 1``, and one that matches nothing undoes the whole batch.
    """

    inserts: dict[str, list[Document]] = field(default_factory=dict)
    replaces: dict[str, list[Document]] = field(default_factory=dict)

    def insert(self, collection: str, documents: Sequence[Document]) -> None:
        if documents:
            self.inserts.setdefault(collection, []).extend(documents)

    def replace(self, collection: str, documents: Sequence[Document]) -> None:
        if documents:
            self.replaces.setdefault(collection, []).extend(documents)

    def put(self, collection: str, documents: Iterable[Document]) -> None:
        """Insert what has version 1, replace what is newer."""
        for document in documents:
            new = document["version"] == 1
            (self.insert if new else self.replace)(collection, [document])
