"""Where: the collections of the gateway, and lives as rows of its view.

A row of ``disbursements`` is a life's picture as JSON, beside the fields that are searched for. Its
first state, ``sequence`` 0, is the remembered request itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from contracts.disburse.v1 import Disbursement, Order
from contracts.public import DISBURSEMENT_STATUSES, public_disbursement
from services._kit.life import Document

DISBURSEMENTS = "disbursements"
BALANCES = "balances"
EVENTS = "events"
ENDPOINTS = "endpoints"
PARTNERS = "partners"
KEYS = "keys"
ALLOW_LISTS = "allow_lists"
CANCELS = "cancels"

CANCELS_KEPT_S = 7 * 86_400


def indices(events_days: int) -> Mapping[str, Sequence[IndexModel]]:
    newest = ("created_at", DESCENDING)
    return {
        DISBURSEMENTS: [
            IndexModel([("account", ASCENDING), ("key", ASCENDING)], name="key", unique=True,
                       partialFilterExpression={"key": {"$type": "string"}}),
            IndexModel([("account", ASCENDING), ("reference", ASCENDING)], name="reference",
                       unique=True),
            IndexModel([("account", ASCENDING), ("_id", DESCENDING)], name="newest"),
            IndexModel([("account", ASCENDING), ("shown", ASCENDING), ("_id", DESCENDING)],
                       name="status"),
            IndexModel([("publish_at", ASCENDING)], name="unheard",
                       partialFilterExpression={"sequence": 0}),
        ],
        BALANCES: [],
        EVENTS: [
            IndexModel([("account", ASCENDING), ("_id", DESCENDING)], name="newest"),
            IndexModel("occurred_at", name="age", expireAfterSeconds=events_days * 86_400),
        ],
        ENDPOINTS: [IndexModel([("account", ASCENDING), ("_id", ASCENDING)], name="account")],
        PARTNERS: [],
        KEYS: [IndexModel([("account", ASCENDING), newest], name="account")],
        ALLOW_LISTS: [],
        CANCELS: [IndexModel("at", name="age", expireAfterSeconds=CANCELS_KEPT_S)],
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """A life as the gateway knows it."""

    life: Disbursement
    sequence: int
    key: str | None
    fingerprint: str | None

    @property
    def order(self) -> Order:
        return self.life.order

    def shown(self) -> dict[str, Any]:
        """The object that partners see."""
        return public_disbursement(self.life, self.sequence)


def remembered(life: Disbursement, key: str, fingerprint: str, publish_at: datetime) -> Document:
    """The first row of a life: its request, before anybody has heard of it."""
    return {
        "_id": life.disbursement,
        "account": life.order.account,
        "key": key,
        "fingerprint": fingerprint,
        "reference": life.order.reference,
        "publish_at": publish_at,
        "publishes": 1,
        **picture(life, 0),
    }


def picture(life: Disbursement, sequence: int) -> Document:
    """What a newer picture of a life replaces in its row."""
    return {
        "sequence": sequence,
        "status": life.status,
        "shown": DISBURSEMENT_STATUSES[life.status][0],
        # Of the base class alone: an event's own fields are none of the picture's.
        "life": Disbursement.__pydantic_serializer__.to_json(life).decode(),
        "created_at": life.created_at,
        "updated_at": life.updated_at,
    }


def view(row: Document) -> View:
    return View(
        Disbursement.model_validate_json(row["life"]),
        row["sequence"],
        row.get("key"),
        row.get("fingerprint"),
    )


def publish_again_at(now: datetime, publishes: int, first_s: float) -> datetime:
    """Longer and longer, so that a service that is away for hours finds no flood."""
    return now + timedelta(seconds=min(first_s * 2 ** min(publishes - 1, 10), max(first_s, 300)))
