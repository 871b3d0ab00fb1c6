"""Where lives, references and wrong tries are kept: documents and back, and their indices.

A life's order and a receipt are kept as their JSON text: partners choose the keys of ``metadata``,
and a receipt is repeated to the byte. The fields beside them are for people and indices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from pymongo import ASCENDING, IndexModel

from contracts.cashout.v1 import Failure, Order, Receipt, Redemption
from services._kit.life import Document
from services._kit.mongo import MongoStore, outages
from services.cashout.life import Change, Life, Reference, Terminal, Terms, Tries

LIVES, REFERENCES, TRIES, TERMINALS = "cashouts", "references", "tries", "terminals"
DIGEST: Final = "digest"

_FORGET: Final = IndexModel("forget_at", name="forget_at", expireAfterSeconds=0)
INDICES: Final[Mapping[str, Sequence[IndexModel]]] = {
    LIVES: [
        # Not by ``$type``: the planner does not see that a string is one, and would not use it.
        IndexModel(DIGEST, name="by_digest", partialFilterExpression={DIGEST: {"$exists": True}}),
        # The net below the read in ``handlers``: two holds of one phone answered at once.
        IndexModel(
            "live",
            name="live",
            unique=True,
            partialFilterExpression={"live": {"$type": "string"}},
        ),
        IndexModel(
            [("waits", ASCENDING), ("waits_since", ASCENDING)],
            name="waiting",
            partialFilterExpression={"waits": {"$exists": True}},
        ),
        IndexModel([("account", ASCENDING), ("reference", ASCENDING)], name="account_reference"),
    ],
    REFERENCES: [],
    TRIES: [_FORGET],
    TERMINALS: [_FORGET],
}


def life_document(life: Life) -> Document:
    """The document of the life's next version."""
    order = life.order
    document: Document = {
        "_id": life.id,
        "version": life.version + 1,
        "sequence": life.sequence,
        "status": life.status,
        "partner": order.partner,
        "environment": order.environment,
        "account": order.account,
        "reference": order.reference,
        "amount": order.amount,
        "fee": order.fee,
        "phone_hash": life.phone_hash,
        "order": order.model_dump_json(),
        "created_at": life.created_at,
        "updated_at": life.updated_at,
        "wrong_amounts": life.wrong_amounts,
        "redemption": life.redemption.model_dump_json() if life.redemption else None,
        "failure": life.failure.model_dump() if life.failure else None,
        "reversed_at": life.reversed_at,
        "history": [asdict(change) for change in life.history],
    }
    if life.digest is not None:
        document[DIGEST] = life.digest
    if life.status == "requested":
        document |= {"waits": life.status, "waits_since": life.created_at}
    elif life.status == "active":
        # From then on it waits for its alarm clock.
        document |= {"live": life.digest, "waits": life.status, "waits_since": order.expires_at}
    return document


def life_of(document: Document) -> Life:
    failure, redemption = document["failure"], document["redemption"]
    return Life(
        id=document["_id"],
        phone_hash=document["phone_hash"],
        order=Order.model_validate_json(document["order"]),
        status=document["status"],
        created_at=document["created_at"],
        updated_at=document["updated_at"],
        sequence=document["sequence"],
        version=document["version"],
        digest=document.get(DIGEST),
        wrong_amounts=document["wrong_amounts"],
        redemption=Redemption.model_validate_json(redemption) if redemption else None,
        failure=Failure(**failure) if failure else None,
        reversed_at=document["reversed_at"],
        history=tuple(Change(**change) for change in document["history"]),
    )


def reference_document(reference: Reference) -> Document:
    """The document of the reference's next version."""
    return {
        "_id": reference.id,
        "version": reference.version + 1,
        "sequence": reference.sequence,
        "state": reference.state,
        "fingerprint": reference.fingerprint,
        "reason": reference.reason,
        "cashout": reference.cashout,
        "receipt": reference.receipt.model_dump_json() if reference.receipt else None,
        "at": reference.at,
    }


def reference_of(document: Document) -> Reference:
    receipt = document["receipt"]
    return Reference(
        id=document["_id"],
        state=document["state"],
        sequence=document["sequence"],
        version=document["version"],
        fingerprint=document["fingerprint"],
        reason=document["reason"],
        cashout=document["cashout"],
        receipt=Receipt.model_validate_json(receipt) if receipt else None,
        at=document["at"],
    )


def tries_document(tries: Tries, terms: Terms, now: datetime) -> Document:
    """The document of the next version; it is forgotten when nothing in it counts any more."""
    kept = timedelta(seconds=max(terms.wrong_codes_window_s, terms.phone_block_s))
    return {
        "_id": tries.id,
        "version": tries.version + 1,
        "wrong_at": list(tries.wrong_at),
        "blocked_until": tries.blocked_until,
        "forget_at": now + kept,
    }


def tries_of(document: Document) -> Tries:
    return Tries(
        document["_id"],
        tuple(document["wrong_at"]),
        document["blocked_until"],
        document["version"],
    )


def terminal_document(terminal: Terminal, terms: Terms, now: datetime) -> Document:
    """The document of the next version; forgotten as ``tries_document`` is."""
    kept = timedelta(seconds=max(terms.terminal_window_s, terms.terminal_pause_most_s))
    return {
        "_id": terminal.id,
        "version": terminal.version + 1,
        "wrong": [list(one) for one in terminal.wrong],
        "slow_until": terminal.slow_until,
        "pause_s": terminal.pause_s,
        "forget_at": now + kept,
    }


def terminal_of(document: Document) -> Terminal:
    return Terminal(
        document["_id"],
        tuple((phone, at) for phone, at in document["wrong"]),
        document["slow_until"],
        document["pause_s"],
        document["version"],
    )


async def ages(store: MongoStore) -> dict[str, float]:
    """Seconds since the oldest request was made that has no answer from the ledger yet, and since
    the oldest code should have expired.
    """
    now, found = datetime.now(UTC), {}
    async with outages():
        for status, kind in (("requested", "requested"), ("active", "overdue")):
            row = await store.db[LIVES].find_one(
                {"waits": status},
                {"waits_since": 1},
                sort=[("waits_since", ASCENDING)],
            )
            age_s = (now - row["waits_since"]).total_seconds() if row else 0.0
            found[kind] = max(0.0, age_s)
    return found
