"""MongoDB as a store: one transaction per batch, majority and journaled, guards counted.

The driver is opened in ``open_client`` and nowhere else. Motor is PyMongo in threads; a transaction
is one call of PyMongo itself (docs/adr/0003).
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from bson.codec_options import CodecOptions
from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import IndexModel, ReplaceOne
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    WriteError,
)
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from services._kit.failures import ConflictError, OutageError, UnstorableError
from services._kit.life import Changes, Document
from services._kit.mongo_documents import errand_document, inbox_document, inbox_row
from services._kit.ports import Errand, InboxRow

TRANSACTION_MAX_MS = 20_000
SERVER_SELECTION_MS = 3_000
SOCKET_TIMEOUT_MS = 30_000
DURABLE = WriteConcern(w="majority", j=True, wtimeout=TRANSACTION_MAX_MS)
MAJORITY = ReadConcern("majority")
INBOX, ERRANDS = "inbox", "errands"

_WRITE_CONFLICT = 112
_DUPLICATE_KEY = 11000
# Host or cursor gone, a majority that does not answer, NoSuchTransaction, ExceededTimeLimit,
# MaxTimeMSExpired, TransactionTooOld, interrupted, stepdown…
_PASSING = {6, 7, 43, 50, 64, 89, 91, 133, 134, 189, 202, 225, 251, 262}
_PASSING |= {9001, 10107, 11600, 11601, 11602, 13435, 13436}

Client = Any
Database = Any


def open_client(url: str) -> Client:
    """The one place that knows which driver it is."""
    return AsyncIOMotorClient(
        url,
        tz_aware=True,
        uuidRepresentation="standard",
        serverSelectionTimeoutMS=SERVER_SELECTION_MS,
        socketTimeoutMS=SOCKET_TIMEOUT_MS,
        connectTimeoutMS=SERVER_SELECTION_MS,
        retryWrites=True,
        retryReads=True,
    )


def database(client: Client, name: str) -> Database:
    """A database with durable writes, majority reads from the primary, and aware datetimes."""
    return client.get_database(
        name,
        codec_options=CodecOptions(tz_aware=True),
        write_concern=DURABLE,
        read_concern=MAJORITY,
        read_preference=ReadPreference.PRIMARY,
    )


def as_outage(error: PyMongoError) -> Exception:
    """The kit's word for a driver's error; a programming error stays what it is."""
    if isinstance(error, DuplicateKeyError):
        return ConflictError(_key_text(error.details))
    if isinstance(error, BulkWriteError):
        codes = {one.get("code") for one in error.details.get("writeErrors", [])}
        if codes & {_DUPLICATE_KEY, _WRITE_CONFLICT}:
            return ConflictError(f"bulk write: {sorted(codes)}")
        return OutageError(f"bulk write: {error.details}"[:300])
    if isinstance(error, OperationFailure):
        if error.code in (_WRITE_CONFLICT, _DUPLICATE_KEY):
            return ConflictError(_key_text(error.details))
        if (
            error.has_error_label("TransientTransactionError")
            or error.has_error_label("UnknownTransactionCommitResult")
            or error.has_error_label("RetryableWriteError")
            or error.code in _PASSING
        ):
            return OutageError(f"MongoDB: {error.code} {error.details}"[:300])
        return error
    if isinstance(error, ConnectionFailure) or not isinstance(error, WriteError):
        return OutageError(f"{type(error).__name__}: {error}"[:300])
    return error


@asynccontextmanager
async def outages() -> AsyncIterator[None]:
    """Driver errors inside become ConflictError, OutageError, or stay what they are."""
    try:
        yield
    except (BSONError, OverflowError) as error:
        # The driver's text would show the document.
        raise UnstorableError(f"{type(error).__name__}: cannot be written as BSON") from None
    except PyMongoError as error:
        raise as_outage(error) from error


class MongoStore:
    """A service's database.

    Args:
        client: from ``open_client``.
        name: the database's.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.db = database(client, name)

    async def prepare(self, indices: Mapping[str, Sequence[IndexModel]], inbox_days: int) -> None:
        """Make collections and indices; inside a transaction that would conflict or fail."""
        async with outages():
            present = set(await self.db.list_collection_names())
            for name in (INBOX, ERRANDS, *indices):
                if name not in present:
                    await _create(self.db, name)
            age = IndexModel("at", name="age", expireAfterSeconds=inbox_days * 86_400)
            await self._index(INBOX, [age, IndexModel("parked", name="parked", sparse=True)])
            await self._index(
                ERRANDS,
                [
                    IndexModel([("lane", 1), ("due_at", 1)], name="lane_due"),
                    IndexModel(
                        [("lane", 1), ("slot", 1)],
                        name="lane_slot",
                        unique=True,
                        partialFilterExpression={"slot": {"$type": "number"}},
                    ),
                ],
            )
            for name, models in indices.items():
                if models:
                    await self._index(name, list(models))

    async def _index(self, name: str, models: list[IndexModel]) -> None:
        await self.db[name].create_indexes(models)

    async def get(self, collection: str, ids: Collection[str]) -> dict[str, Document]:
        rows = await self.find(collection, "_id", ids)
        return {row["_id"]: row for row in rows}

    async def find(self, collection: str, field: str, values: Collection[Any]) -> list[Document]:
        if not values:
            return []
        async with outages():
            cursor = self.db[collection].find({field: {"$in": list(values)}})
            rows: list[Document] = await cursor.to_list(None)
            return rows

    async def answered(self, ids: Collection[str]) -> dict[str, InboxRow]:
        return {row["_id"]: inbox_row(row) for row in await self.find(INBOX, "_id", ids)}

    async def commit(
        self,
        changes: Changes,
        inbox: Sequence[InboxRow],
        unparked: Sequence[InboxRow],
        errands: Sequence[Errand],
    ) -> None:
        inserts = dict(changes.inserts)
        if inbox:
            inserts[INBOX] = [inbox_document(row) for row in inbox]
        if errands:
            inserts[ERRANDS] = [errand_document(errand) for errand in errands]
        async with outages():
            # One trip to a thread for the transaction, not one for each of its commands.
            await asyncio.to_thread(self._commit, changes.replaces, unparked, inserts)

    def _commit(
        self,
        replaces: Mapping[str, Sequence[Document]],
        unparked: Sequence[InboxRow],
        inserts: Mapping[str, Sequence[Document]],
    ) -> None:
        with (
            self._client.delegate.start_session() as session,
            session.start_transaction(
                read_concern=MAJORITY,
                write_concern=DURABLE,
                read_preference=ReadPreference.PRIMARY,
                max_commit_time_ms=TRANSACTION_MAX_MS,
            ),
        ):
            # Guards first: a zombie's batch fails before it has written much.
            for name, documents in replaces.items():
                self._replace(name, documents, session)
            if unparked:
                self._unpark(unparked, session)
            for name, documents in inserts.items():
                self._insert(name, documents, session)

    async def ages(self) -> dict[str, float]:
        """Seconds since the oldest due errand fell due and since the oldest row was parked."""
        now = datetime.now(UTC)
        ages = {}
        async with outages():
            # One entry per lane: the head of the index (lane, due_at).
            lanes = await (
                self.db[ERRANDS]
                .aggregate(
                    [
                        {"$sort": {"lane": 1, "due_at": 1}},
                        {"$group": {"_id": "$lane", "due_at": {"$first": "$due_at"}}},
                        {"$group": {"_id": None, "due_at": {"$min": "$due_at"}}},
                    ]
                )
                .to_list(None)
            )
            due = lanes[0] if lanes else None
            parked = await self.db[INBOX].find_one(
                {"parked": {"$type": "string"}}, {"at": 1}, sort=[("at", 1)], hint="parked"
            )
        for kind, row, moment in (("due_errand", due, "due_at"), ("dead_letter", parked, "at")):
            ages[kind] = max(0.0, (now - row[moment]).total_seconds()) if row else 0.0
        return ages

    def _insert(self, name: str, documents: Sequence[Document], session: Any) -> None:
        """One command; ``insert_many`` would look at each document in Python once more."""
        self._write(name, session, insert=name, documents=documents)

    def _replace(self, name: str, documents: Sequence[Document], session: Any) -> None:
        """One command, like ``_insert``."""
        updates = [
            {"q": {"_id": one["_id"], "version": one["version"] - 1}, "u": one} for one in documents
        ]
        matched = self._write(name, session, update=name, updates=updates)
        if matched != len(updates):
            missed = len(updates) - matched
            raise ConflictError(f"{name}: {missed} of {len(updates)} have another version")

    def _write(self, name: str, session: Any, **command: Any) -> int:
        """How many documents were inserted or matched."""
        answer = self.db.delegate.command(
            {**command, "ordered": True, "maxTimeMS": TRANSACTION_MAX_MS}, session=session
        )
        errors = answer.get("writeErrors")
        if errors:
            code = errors[0].get("code")
            if code in (_DUPLICATE_KEY, _WRITE_CONFLICT):
                raise ConflictError(f"{name}: {errors[0].get('keyPattern', code)}")
            raise OperationFailure(str(errors[0].get("errmsg"))[:300], code)
        return int(answer["n"])

    def _unpark(self, rows: Sequence[InboxRow], session: Any) -> None:
        writes = [
            ReplaceOne({"_id": row.id, "parked": {"$type": "string"}}, inbox_document(row))
            for row in rows
        ]
        done = self.db.delegate[INBOX].bulk_write(writes, ordered=True, session=session)
        if done.matched_count != len(writes):
            raise ConflictError("inbox: a row is not parked any more")


async def wait_for_primary(client: Client, limit_s: float) -> None:
    """Return when the replica set has a primary.

    Raises:
        OutageError: there was none within ``limit_s``.
    """
    async with asyncio.timeout(limit_s + SERVER_SELECTION_MS / 1000), outages():
        await client.admin.command("ping")


async def _create(db: Database, name: str) -> None:
    try:
        await db.create_collection(name)
    except OperationFailure as error:
        if error.code != 48:  # noqa: PLR2004 - NamespaceExists: another process was first
            raise


def _key_text(details: Mapping[str, Any] | None) -> str:
    return f"taken: {dict(details or {}).get('keyPattern', 'write conflict')}"
