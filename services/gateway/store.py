"""Where: the collections of the gateway, and lives as rows of its views.

A row of a life's view is its picture as JSON, beside the fields that are searched for. Its first
state, ``sequence`` 0, is the remembered request itself. A code stands there sealed, while active.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from services._kit.life import Document
from services.gateway.lives import KINDS, AnyLife, Kind, L, View, kind_of

STORE_REFERENCES = "store_references"
BALANCES = "balances"
EVENTS = "events"
ENDPOINTS = "endpoints"
PARTNERS = "partners"
KEYS = "keys"
CHAINS = "chains"
ALLOW_LISTS = "allow_lists"
CANCELS = "cancels"

CANCELS_KEPT_S = 7 * 86_400


def indices(events_days: int) -> Mapping[str, Sequence[IndexModel]]:
    newest = ("created_at", DESCENDING)
    lives = [
        # Not by ``$type``: the planner does not see that a string is one, and would not use it.
        IndexModel([("account", ASCENDING), ("key", ASCENDING)], name="account_key", unique=True,
                   partialFilterExpression={"key": {"$exists": True}}),
        IndexModel([("account", ASCENDING), ("reference", ASCENDING)], name="reference",
                   unique=True),
        IndexModel([("account", ASCENDING), ("_id", DESCENDING)], name="newest"),
        IndexModel([("account", ASCENDING), ("shown", ASCENDING), ("_id", DESCENDING)],
                   name="status"),
        IndexModel([("publish_at", ASCENDING)], name="unheard",
                   partialFilterExpression={"sequence": 0}),
    ]  # fmt: skip
    return {kind.collection: lives for kind in KINDS} | {
        STORE_REFERENCES: [],
        BALANCES: [],
        EVENTS: [
            IndexModel([("account", ASCENDING), ("_id", DESCENDING)], name="newest"),
            IndexModel("occurred_at", name="age", expireAfterSeconds=events_days * 86_400),
        ],
        ENDPOINTS: [IndexModel([("account", ASCENDING), ("_id", ASCENDING)], name="account")],
        PARTNERS: [],
        KEYS: [
            IndexModel([("account", ASCENDING), newest], name="account"),
            IndexModel([("role", ASCENDING), ("environment", ASCENDING)], name="role"),
        ],
        CHAINS: [],
        ALLOW_LISTS: [],
        CANCELS: [IndexModel("at", name="age", expireAfterSeconds=CANCELS_KEPT_S)],
    }  # fmt: skip


def remembered(life: AnyLife, key: str, fingerprint: str, publish_at: datetime) -> Document:
    """The first row of a life: its request, before anybody has heard of it."""
    return {
        "_id": kind_of(life).id(life),
        "account": life.order.account,
        "key": key,
        "fingerprint": fingerprint,
        "reference": life.order.reference,
        "publish_at": publish_at,
        "publishes": 1,
        **picture(life, 0),
    }


def picture(life: AnyLife, sequence: int) -> Document:
    """What a newer picture of a life replaces in its row."""
    kind = kind_of(life)
    found: Document = {
        "sequence": sequence,
        "status": life.status,
        "shown": kind.statuses[life.status][0],
        # Of the base class alone: an event's own fields are none of the picture's.
        "life": kind.model.__pydantic_serializer__.to_json(life).decode(),
        "created_at": life.created_at,
        "updated_at": life.updated_at,
    }
    if kind.coded:
        # Only the event that issues it has one; whatever comes later takes it away.
        found["code"] = getattr(life, "code", None)
    return found


def row_of(life: AnyLife, sequence: int) -> Document:
    """A picture in a row that may not be there yet."""
    fixed = {"account": life.order.account, "reference": life.order.reference}
    return picture(life, sequence) | fixed


def view(kind: Kind[L], row: Document) -> View[L]:
    return View(
        # The bound of L hides which model it is.
        cast("L", kind.model.model_validate_json(row["life"])),
        row["sequence"],
        row.get("key"),
        row.get("fingerprint"),
        row.get("code"),
    )


def publish_again_at(now: datetime, publishes: int, first_s: float) -> datetime:
    """Longer and longer, so that a service that is away for hours finds no flood."""
    return now + timedelta(seconds=min(first_s * 2 ** min(publishes - 1, 10), max(first_s, 300)))
