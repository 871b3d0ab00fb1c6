"""What a partner reads of its lives, its events and its balance: views, nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic

import orjson

from services._kit.life import Document
from services._kit.mongo import Database, outages
from services.gateway import store
from services.gateway.http.edge import Answer, Call, Operation
from services.gateway.http.paging import Page, moment_of
from services.gateway.http.problems import FieldError, Problem, from_errors
from services.gateway.lives import L
from services.gateway.requests import READ_MAX_MS, Requests

FILTERS = ("reference", "status", "created_from", "created_to")


class GetLife(Operation, Generic[L]):
    """``GET /v1/{kind}/{id}``."""

    def __init__(self, requests: Requests[L]) -> None:
        self._requests = requests
        self.name = f"get_{requests.kind.noun}"

    async def __call__(self, call: Call[Any]) -> Answer:
        found = await self._requests.by_id(call.caller.account, call.path["id"])
        if found is None:
            raise Problem("NOT_FOUND")
        call.refuse()
        return Answer(200, self._requests.show(found))


class ListLives(Operation, Generic[L]):
    """``GET /v1/{kind}``. A code is shown to who asks by reference, not by the page."""

    def __init__(self, db: Database, requests: Requests[L]) -> None:
        self._kind = requests.kind
        self._rows = db[self._kind.collection]
        self._requests = requests
        self.name = f"list_{self._kind.noun}s"

    async def __call__(self, call: Call[Any]) -> Answer:
        call.refuse()
        page = Page(call.query, self._kind.prefix, FILTERS)
        filters = _filters(call, self._kind.shown_statuses)
        query = page.narrowed({"account": call.caller.account, **filters})
        rows = await _newest(self._rows, query, page)
        views = [store.view(self._kind, row) for row in rows]
        if "reference" not in call.query:
            views = [replace(one, code=None) for one in views]
        shown = [self._requests.show(one) for one in views]
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


def _filters(call: Call[Any], statuses: Sequence[str]) -> Document:
    errors: list[FieldError] = []
    found: Document = {}
    if (reference := call.query.get("reference")) is not None:
        found["reference"] = reference
    if (status := call.query.get("status")) is not None:
        found["shown"] = status
        if status not in statuses:
            errors.append(FieldError("status", f"is none of {', '.join(statuses)}"))
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
