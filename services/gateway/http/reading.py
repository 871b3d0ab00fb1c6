"""What a partner reads of its disbursements, its events and its balance: views, nothing else."""

from typing import Any

import orjson

from services._kit.life import Document
from services._kit.mongo import Database, outages
from services.gateway import store
from services.gateway.http.edge import Answer, Call, Operation
from services.gateway.http.paging import Page, moment_of
from services.gateway.http.problems import FieldError, Problem, from_errors
from services.gateway.requests import READ_MAX_MS, Requests

STATUSES = ("processing", "scheduled", "succeeded", "failed", "cancelled", "reversed")
FILTERS = ("reference", "status", "created_from", "created_to")


class GetDisbursement(Operation):
    """``GET /v1/disbursements/{id}``."""

    name = "get_disbursement"

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def __call__(self, call: Call[Any]) -> Answer:
        found = await self._requests.by_id(call.caller.account, call.path["id"])
        if found is None:
            raise Problem("NOT_FOUND")
        call.refuse()
        return Answer(200, found.shown())


class ListDisbursements(Operation):
    """``GET /v1/disbursements``."""

    name = "list_disbursements"

    def __init__(self, db: Database) -> None:
        self._rows = db[store.DISBURSEMENTS]

    async def __call__(self, call: Call[Any]) -> Answer:
        call.refuse()
        page = Page(call.query, "disb", FILTERS)
        query = page.narrowed({"account": call.caller.account, **_filters(call)})
        rows = await _newest(self._rows, query, page)
        shown = [store.view(row).shown() for row in rows]
        return Answer(200, page.answer(shown, [row["_id"] for row in rows]))


class ListEvents(Operation):
    """``GET /v1/events``: what callbacks tell, for who missed one."""

    name = "list_events"

    def __init__(self, db: Database) -> None:
        self._rows = db[store.EVENTS]

    async def __call__(self, call: Call[Any]) -> Answer:
        call.refuse()
        page = Page(call.query, "evt", ("type", "about"))
        query = page.narrowed({"account": call.caller.account})
        query |= {name: call.query[name] for name in ("type", "about") if name in call.query}
        rows = await _newest(self._rows, query, page)
        shown = [orjson.Fragment(row["body"]) for row in rows]
        return Answer(200, page.answer(shown, [row["_id"] for row in rows]))


class GetBalance(Operation):
    """``GET /v1/balance``. It may trail a status by a moment: it is settled when held is 0."""

    name = "get_balance"

    def __init__(self, db: Database) -> None:
        self._rows = db[store.BALANCES]

    async def __call__(self, call: Call[Any]) -> Answer:
        async with outages():
            row = await self._rows.find_one({"_id": call.caller.account}, max_time_ms=READ_MAX_MS)
        if row is None or "scheme" not in row:
            raise Problem("NOT_FOUND", "The account is not open yet.")
        call.refuse()
        return Answer(200, _balance(row))


def _balance(row: Document) -> dict[str, Any]:
    """An invoice account runs below zero; what it may still spend is told as available."""
    invoice = row["scheme"] == "invoice"
    available, held = row["available"], row["held"]
    return {
        "scheme": row["scheme"],
        "available": available + row["credit_limit"] if invoice else available,
        "held": held,
        "currency": "IDR",
        "credit_limit": row["credit_limit"] if invoice else None,
        "outstanding": max(0, -(available + held)) if invoice else None,
    }


def _filters(call: Call[Any]) -> Document:
    errors: list[FieldError] = []
    found: Document = {}
    if (reference := call.query.get("reference")) is not None:
        found["reference"] = reference
    if (status := call.query.get("status")) is not None:
        found["shown"] = status
        if status not in STATUSES:
            errors.append(FieldError("status", f"is none of {', '.join(STATUSES)}"))
    since = moment_of(call.query, "created_from", errors)
    until = moment_of(call.query, "created_to", errors)
    if errors:
        raise from_errors(errors)
    between = {name: t for name, t in (("$gte", since), ("$lt", until)) if t is not None}
    return found | ({"created_at": between} if between else {})


async def _newest(rows: Any, query: Document, page: Page) -> list[Document]:
    async with outages():
        cursor = rows.find(query).sort("_id", -1).limit(page.limit + 1).max_time_ms(READ_MAX_MS)
        found: list[Document] = await cursor.to_list(None)
    return found
