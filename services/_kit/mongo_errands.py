"""Due work in MongoDB: leased rows, with a lane's limit kept over all processes by a unique index.

A leased row holds one of its lane's slots 0 … limit-1 in the row itself. Two workers that reach for
the same slot meet in the unique index (lane, slot), so no counter can drift after a crash, and the
row that is deleted frees its slot with it. Times of leases are the database's (``$$NOW``).
"""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import timedelta

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from services._kit.life import Document
from services._kit.mongo import ERRANDS, Database, outages
from services._kit.mongo_documents import errand_of
from services._kit.ports import Errand
from services._kit.together import Together

QUERY_MAX_MS = 5_000
_DUPLICATE_KEY = 11000
_DUE = {"$expr": {"$lte": ["$due_at", "$$NOW"]}}
_READ = {"due_at": 1, "now": "$$NOW"}


class MongoErrands:
    """The errands of one service's database."""

    def __init__(self, db: Database) -> None:
        self._rows = db[ERRANDS]
        self._mine = Together(self._still_mine)

    async def lanes_due(self) -> tuple[list[str], float | None]:
        async with outages():
            # Sorted and grouped by the head of an index, this reads one entry per lane.
            cursor = self._rows.aggregate(
                [
                    {"$sort": {"lane": 1, "due_at": 1}},
                    {"$group": {"_id": "$lane", "due_at": {"$first": "$due_at"}}},
                    {"$project": {"wait_ms": {"$subtract": ["$due_at", "$$NOW"]}}},
                ],
                maxTimeMS=QUERY_MAX_MS,
            )
            rows = await cursor.to_list(None)
        rows.sort(key=lambda row: row["wait_ms"])
        due = [row["_id"] for row in rows if row["wait_ms"] <= 0]
        later = [row["wait_ms"] for row in rows if row["wait_ms"] > 0]
        return due, min(later) / 1000 if later else None

    async def lease(self, lane: str, most: int, lane_limit: int, lease_s: float) -> list[Errand]:
        async with outages():
            held, free = await asyncio.gather(self._held(lane), self._free(lane, most))
            expired = [row for row in held if row["expired"]]
            used = {row["slot"] for row in held}
            slots = [slot for slot in range(lane_limit) if slot not in used]
            token = secrets.token_hex(12)
            # A row whose worker vanished keeps its slot and goes first.
            writes = [self._take(row, row["slot"], token, lease_s) for row in expired[:most]]
            room = most - len(writes)
            writes += [
                self._take(row, slot, token, lease_s)
                for row, slot in zip(free[:room], slots, strict=False)
            ]
            if not writes:
                return []
            try:
                await self._rows.bulk_write(writes, ordered=False)
            except BulkWriteError as error:
                codes = {one["code"] for one in error.details["writeErrors"]}
                if codes != {_DUPLICATE_KEY}:
                    raise
            asked = [row["_id"] for row in (*expired, *free)]
            rows = await self._rows.find({"_id": {"$in": asked}, "token": token}).to_list(None)
        rows.sort(key=lambda row: row["due_at"])
        return [errand_of(row) for row in rows]

    async def _held(self, lane: str) -> list[Document]:
        stages = [
            {"$match": {"lane": lane, "slot": {"$type": "number"}}},
            {
                "$project": {
                    **_READ,
                    "slot": 1,
                    "token": 1,
                    "expired": {"$lte": ["$leased_until", "$$NOW"]},
                }
            },
        ]
        cursor = self._rows.aggregate(stages, hint="lane_slot", maxTimeMS=QUERY_MAX_MS)
        rows: list[Document] = await cursor.to_list(None)
        return rows

    async def _free(self, lane: str, most: int) -> list[Document]:
        stages = [
            {"$match": {"lane": lane, "slot": None, **_DUE}},
            {"$sort": {"lane": 1, "due_at": 1}},
            {"$limit": most},
            {"$project": _READ},
        ]
        cursor = self._rows.aggregate(stages, maxTimeMS=QUERY_MAX_MS)
        rows: list[Document] = await cursor.to_list(None)
        return rows

    @staticmethod
    def _take(row: Document, slot: int, token: str, lease_s: float) -> UpdateOne:
        """Only while the row is as it was read: free, or leased under the same dead token."""
        as_read = {"_id": row["_id"], "token": row.get("token"), "due_at": row["due_at"]}
        until = row["now"] + timedelta(seconds=lease_s)
        return UpdateOne(as_read, {"$set": {"slot": slot, "token": token, "leased_until": until}})

    async def still_mine(self, errand: Errand) -> bool:
        return await self._mine(errand)

    async def _still_mine(self, errands: Sequence[Errand]) -> list[bool]:
        async with outages():
            rows = await self._rows.find(
                {
                    "_id": {"$in": [errand.id for errand in errands]},
                    "$expr": {"$gt": ["$leased_until", "$$NOW"]},
                },
                {"token": 1},
            ).to_list(None)
        leases = {(row["_id"], row.get("token")) for row in rows}
        return [(errand.id, errand.token) in leases for errand in errands]

    async def done(self, errands: Sequence[Errand]) -> None:
        """Rows leased anew by another worker are left to it."""
        leases: dict[str | None, list[str]] = {}
        for errand in errands:
            leases.setdefault(errand.token, []).append(errand.id)
        async with outages():
            await self._rows.delete_many(
                {"$or": [{"_id": {"$in": ids}, "token": token} for token, ids in leases.items()]}
            )

    async def again(self, errand: Errand, delay_s: float) -> None:
        async with outages():
            await self._rows.update_one(
                {"_id": errand.id, "token": errand.token},
                [
                    {
                        "$set": {
                            "due_at": {"$add": ["$$NOW", int(delay_s * 1000)]},
                            "attempt": errand.attempt + 1,
                        }
                    },
                    {"$unset": ["slot", "token", "leased_until"]},
                ],
            )
