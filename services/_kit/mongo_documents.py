"""Rows of the kit as MongoDB keeps them, and back."""

from datetime import datetime

from services._kit.life import Document
from services._kit.ports import Errand, InboxRow, Record


def inbox_document(row: InboxRow) -> Document:
    document: Document = {
        "_id": row.id,
        "type": row.type,
        "fingerprint": row.fingerprint,
        "at": row.at,
        "said": [
            {
                "topic": s.topic,
                "key": s.key,
                "value": s.value,
                "headers": [list(h) for h in s.headers],
            }
            for s in row.said
        ],
    }
    if row.parked is not None:
        document["parked"] = row.parked
    return document


def inbox_row(document: Document) -> InboxRow:
    said = tuple(
        Record(s["topic"], s["key"], s["value"], tuple((k, v) for k, v in s["headers"]))
        for s in document["said"]
    )
    at: datetime = document["at"]
    return InboxRow(
        document["_id"], document["type"], document["fingerprint"], at, said, document.get("parked")
    )


def errand_document(errand: Errand) -> Document:
    return {
        "_id": errand.id,
        "kind": errand.kind,
        "lane": errand.lane,
        "due_at": errand.due_at,
        "inserted_due_at": errand.inserted_due_at,
        "data": errand.data,
        "correlation": errand.correlation,
        "attempt": errand.attempt,
        "trace": [list(header) for header in errand.trace],
    }


def errand_of(document: Document) -> Errand:
    return Errand(
        id=document["_id"],
        kind=document["kind"],
        lane=document["lane"],
        due_at=document["due_at"],
        inserted_due_at=document["inserted_due_at"],
        data=document["data"],
        correlation=document["correlation"],
        attempt=document["attempt"],
        token=document.get("token"),
        trace=tuple((k, v) for k, v in document["trace"]),
    )
