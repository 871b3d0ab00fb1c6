"""The world in memory: the same behaviour as MongoDB and Kafka, for simulations and fast tests.

Documents are copied in and out, guards are counted, leases run on a clock that a test may turn.
"""

import copy
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from contracts.envelope import now_ms
from services._kit.failures import ConflictError
from services._kit.life import Changes, Document
from services._kit.ports import Errand, InboxRow, Record


class MemoryStore:
    """A service's database."""

    def __init__(self, errands: "MemoryErrands | None" = None) -> None:
        self.collections: dict[str, dict[str, Document]] = {}
        self.inbox: dict[str, InboxRow] = {}
        self.errands = errands or MemoryErrands()

    async def get(self, collection: str, ids: Collection[str]) -> dict[str, Document]:
        rows = self.collections.get(collection, {})
        return {one: copy.deepcopy(rows[one]) for one in ids if one in rows}

    async def find(self, collection: str, field: str, values: Collection[Any]) -> list[Document]:
        rows = self.collections.get(collection, {}).values()
        return [copy.deepcopy(row) for row in rows if row.get(field) in values]

    async def answered(self, ids: Collection[str]) -> dict[str, InboxRow]:
        return {one: self.inbox[one] for one in ids if one in self.inbox}

    async def commit(
        self,
        changes: Changes,
        inbox: Sequence[InboxRow],
        unparked: Sequence[InboxRow],
        errands: Sequence[Errand],
    ) -> None:
        self._check(changes, inbox, unparked)
        for name, documents in (*changes.inserts.items(), *changes.replaces.items()):
            rows = self.collections.setdefault(name, {})
            rows.update({one["_id"]: copy.deepcopy(one) for one in documents})
        self.inbox.update({row.id: row for row in (*inbox, *unparked)})
        self.errands.insert(errands)

    def _check(
        self, changes: Changes, inbox: Sequence[InboxRow], unparked: Sequence[InboxRow]
    ) -> None:
        """Everything is checked before anything is written, as a transaction would."""
        for name, documents in changes.inserts.items():
            rows = self.collections.get(name, {})
            ids = [one["_id"] for one in documents]
            if len(set(ids)) < len(ids) or any(one in rows for one in ids):
                raise ConflictError(f"{name}: an _id is taken")
        for name, documents in changes.replaces.items():
            rows = self.collections.get(name, {})
            for one in documents:
                if rows.get(one["_id"], {}).get("version") != one["version"] - 1:
                    raise ConflictError(f"{name}: {one['_id']} has another version")
        if any(row.id in self.inbox for row in inbox):
            raise ConflictError("inbox: an id is taken")
        if any(self.inbox[row.id].parked is None for row in unparked):
            raise ConflictError("inbox: a row is not parked any more")


@dataclass(slots=True)
class _Leased:
    errand: Errand
    until: datetime | None = None


def _by_due(errand: Errand) -> datetime:
    return errand.due_at


class MemoryErrands:
    """Due rows in memory; ``clock`` is the database's."""

    def __init__(self, clock: Callable[[], datetime] = now_ms) -> None:
        self.clock = clock
        self.rows: dict[str, _Leased] = {}

    def insert(self, errands: Sequence[Errand]) -> None:
        for errand in errands:
            if errand.id in self.rows:
                raise ConflictError("errands: an id is taken")
            self.rows[errand.id] = _Leased(errand)

    async def lanes_due(self) -> tuple[list[str], float | None]:
        now = self.clock()
        free = sorted((r.errand for r in self.rows.values() if self._free(r, now)), key=_by_due)
        due = dict.fromkeys(errand.lane for errand in free)
        later = [
            moment
            for row in self.rows.values()
            if (moment := max(row.errand.due_at, row.until or row.errand.due_at)) > now
        ]
        return list(due), (min(later) - now).total_seconds() if later else None

    async def lease(self, lane: str, most: int, lane_limit: int, lease_s: float) -> list[Errand]:
        now, token = self.clock(), secrets.token_hex(8)
        mine = [row for row in self.rows.values() if row.errand.lane == lane]
        held = sum(1 for row in mine if row.until is not None and row.until > now)
        free = sorted((row for row in mine if self._free(row, now)), key=lambda r: r.errand.due_at)
        taken = free[: max(0, min(most, lane_limit - held))]
        for row in taken:
            row.until = now + timedelta(seconds=lease_s)
            row.errand = replace(row.errand, token=token)
        return [row.errand for row in taken]

    async def still_mine(self, errand: Errand) -> bool:
        row = self.rows.get(errand.id)
        return (
            row is not None
            and row.errand.token == errand.token
            and row.until is not None
            and row.until > self.clock()
        )

    async def done(self, errands: Sequence[Errand]) -> None:
        for errand in errands:
            row = self.rows.get(errand.id)
            if row is not None and row.errand.token == errand.token:
                del self.rows[errand.id]

    async def again(self, errand: Errand, delay_s: float) -> None:
        row = self.rows.get(errand.id)
        if row is None or row.errand.token != errand.token:
            return
        due_at = self.clock() + timedelta(seconds=delay_s)
        row.errand = replace(errand, due_at=due_at, attempt=errand.attempt + 1, token=None)
        row.until = None

    @staticmethod
    def _free(row: _Leased, now: datetime) -> bool:
        return row.errand.due_at <= now and (row.until is None or row.until <= now)


class MemoryLog:
    """A log with partitions by key; one reader position per group and partition."""

    def __init__(self, partitions: int = 3) -> None:
        self.partitions = partitions
        self.topics: dict[str, list[list[Record]]] = {}
        self.positions: dict[tuple[str, str, int], int] = {}

    async def publish(self, records: Sequence[Record]) -> None:
        for record in records:
            lines = self.topics.setdefault(record.topic, [[] for _ in range(self.partitions)])
            number = sum(record.key.encode()) % self.partitions
            line = lines[number]
            line.append(replace(record, partition=number, offset=len(line)))

    def all(self, topic: str) -> list[Record]:
        return [record for line in self.topics.get(topic, []) for record in line]

    def read(self, group: str, topics: Collection[str], most: int) -> list[Record]:
        """What the group has not committed, from its positions on."""
        found: list[Record] = []
        for topic in topics:
            for number, line in enumerate(self.topics.get(topic, [])):
                found.extend(line[self.positions.get((group, topic, number), 0) :])
        return found[:most]

    def commit(self, group: str, records: Sequence[Record]) -> None:
        for record in records:
            place = (group, record.topic, record.partition)
            self.positions[place] = max(self.positions.get(place, 0), record.offset + 1)
