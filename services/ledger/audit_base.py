"""What an audit reads and tells: streams of documents, one line per account, differences."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pymongo import ASCENDING

from services.ledger.state import AVAILABLE, GENESIS, HELD

Document = Mapping[str, Any]
Database = Any
Progress = Callable[[str, int], None]

_READ = 2_000
_TELL_EVERY = 50_000


class Difference(NamedTuple):
    """``check`` is journal, sums, holds, lives, credits or accounts."""

    check: str
    account: str
    what: str

    def __str__(self) -> str:
        return f"{self.account}: {self.what}"


@dataclass(slots=True)
class Line:
    """One account, as the journal tells it."""

    available: int = 0
    held: int = 0
    frozen: bool = False
    entries: int = 0
    head: bytes = GENESIS
    scheme: str = ""
    credit_limit: int = 0
    of_holds: int = 0
    of_credits: int = 0
    open_sum: int = 0


@dataclass(slots=True)
class Counts:
    """What was looked at; filled while the audit runs."""

    entries: int = 0
    accounts: int = 0
    holds: int = 0
    open_holds: int = 0
    credits: int = 0
    books: dict[str, int] = field(default_factory=dict)


class Reader:
    def __init__(self, database: Database, session: Any, progress: Progress) -> None:
        self._database = database
        self._session = session
        self._progress = progress

    def all(self, name: str) -> Iterator[Document]:
        """In the order of their ids."""
        cursor = self._database[name].find({}, session=self._session, batch_size=_READ)
        for n, document in enumerate(cursor.sort("_id", ASCENDING), 1):
            if n % _TELL_EVERY == 0:
                self._progress(name, n)
            yield document

    def some(self, name: str, ids: Collection[str]) -> dict[str, Document]:
        cursor = self._database[name].find({"_id": {"$in": list(ids)}}, session=self._session)
        return {document["_id"]: document for document in cursor}

    def chunks(self, name: str) -> Iterator[list[Document]]:
        chunk: list[Document] = []
        for document in self.all(name):
            chunk.append(document)
            if len(chunk) == _READ:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def moved(entry: Document) -> tuple[int, int]:
    """What an entry does to available and to held."""
    sums = {AVAILABLE: 0, HELD: 0}
    for book, amount in entry["legs"]:
        if book in sums:
            sums[book] += amount
    return sums[AVAILABLE], sums[HELD]
