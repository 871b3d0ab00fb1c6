"""Where endpoints and deliveries are kept: documents and back, and their indices."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime

from pymongo import IndexModel

from services._kit.life import Changes, Document
from services._kit.mongo import MongoStore, outages
from services._kit.ports import Reader
from services.callbacks.state import Book, Delivery, Endpoint

ENDPOINTS, DELIVERIES = "endpoints", "deliveries"

_FIELDS = {kind: [one.name for one in fields(kind)] for kind in (Endpoint, Delivery)}

# Delivery ids are time-ordered, so each list comes newest first out of its index.
INDICES: Mapping[str, Sequence[IndexModel]] = {
    ENDPOINTS: [IndexModel("account", name="account")],
    DELIVERIES: [
        IndexModel([("endpoint", 1), ("status", 1), ("_id", -1)], name="endpoint_status"),
        IndexModel([("account", 1), ("_id", -1)], name="account"),
        IndexModel([("about", 1), ("_id", -1)], name="about"),
        IndexModel(
            "created_at",
            name="pending_age",
            partialFilterExpression={"status": "pending"},
        ),
        IndexModel(
            [("status", 1), ("_id", -1)],
            name="exhausted",
            partialFilterExpression={"status": "exhausted"},
        ),
    ],
}


async def load(
    reader: Reader, accounts: set[str], deliveries: set[str], endpoints: set[str]
) -> Book:
    """All that a batch touches, in three queries."""
    book = Book()
    for document in (await reader.get(DELIVERIES, deliveries)).values():
        delivery = _delivery(document)
        book.deliveries[delivery.id] = delivery
    ids = endpoints | {one.endpoint for one in book.deliveries.values()}
    found = {row["_id"]: row for row in await reader.find(ENDPOINTS, "account", accounts)}
    found |= await reader.get(ENDPOINTS, ids - found.keys())
    for document in found.values():
        book.add(_endpoint(document))
    return book


def changes(book: Book) -> Changes:
    written = Changes()
    for name, held in ((ENDPOINTS, book.endpoints), (DELIVERIES, book.deliveries)):
        written.put(name, [_document(held[one]) for one in held.keys() & book.changed])
    return written


async def endpoint(reader: Reader, endpoint_id: str) -> Endpoint:
    """As it is now.

    Raises:
        KeyError: there is none.
        OutageError: MongoDB does not answer.
    """
    return _endpoint((await reader.get(ENDPOINTS, [endpoint_id]))[endpoint_id])


async def ages(store: MongoStore) -> dict[str, float]:
    """Seconds since the oldest pending delivery was made; 0 if there is none."""
    async with outages():
        row = await store.db[DELIVERIES].find_one(
            {"status": "pending"}, {"created_at": 1}, sort=[("created_at", 1)], hint="pending_age"
        )
    if row is None:
        return {"pending_delivery": 0.0}
    age = datetime.now(UTC) - row["created_at"]
    return {"pending_delivery": max(0.0, age.total_seconds())}


def _document(one: Endpoint | Delivery) -> Document:
    # Not ``asdict``: it copies deeply, and this runs for each attempt.
    document = {name: getattr(one, name) for name in _FIELDS[type(one)]}
    document["_id"] = document.pop("id")
    return document


def _endpoint(document: Document) -> Endpoint:
    found = {**document, "id": document["_id"], "events": tuple(document["events"])}
    del found["_id"]
    return Endpoint(**found)


def _delivery(document: Document) -> Delivery:
    found = {**document, "id": document["_id"]}
    del found["_id"]
    return Delivery(**found)
