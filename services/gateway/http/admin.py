"""Operators' own surface: partners, chains, keys, allow-lists, endpoints, top-ups, terms.

Partners, keys and allow-lists are written here directly; the rest are commands, answered 200 when
their event arrives within 5 s, else 202.
"""

import hmac
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from contracts.envelope import Envelope, now_ms
from contracts.ids import new_public_id
from contracts.public import moment
from contracts.terms import Environment
from services._kit.failures import ConflictError, OutageError
from services._kit.health import AsgiApp, Receive, Scope, Send
from services._kit.life import Document
from services.gateway.http.admin_models import (
    AllowList,
    NewChain,
    NewEndpoint,
    NewKey,
    NewPartner,
    Slug,
    Terms,
    Thaw,
    TopUp,
)
from services.gateway.http.edge import _send
from services.gateway.http.problems import CONTENT_TYPE, FieldError, Problem, from_errors
from services.gateway.operators import Operators
from services.gateway.outlet import NotAcknowledgedError
from services.gateway.partners import Partners, owner

PartnerId = Annotated[Slug, Path(description="the partner's id")]


class Admin:
    """The routes, each a thin step over ``Partners`` and ``Operators``."""

    def __init__(self, partners: Partners, operators: Operators, credit_limit_max: int) -> None:
        self._partners = partners
        self._operators = operators
        self._credit_limit_max = credit_limit_max
        self.router = APIRouter(prefix="/admin", tags=["operators"])
        account = "/partners/{partner}/{environment}"
        for method, path, endpoint in (
            ("POST", "/partners", self.add_partner),
            ("GET", "/partners", self.list_partners),
            ("POST", f"{account}/keys", self.add_key),
            ("GET", f"{account}/keys", self.list_keys),
            ("DELETE", f"{account}/keys/{{key}}", self.revoke_key),
            ("PUT", f"{account}/allow-list", self.set_allow_list),
            ("POST", f"{account}/allow-list", self.set_allow_list),
            ("GET", f"{account}/allow-list", self.get_allow_list),
            ("POST", f"{account}/endpoints", self.add_endpoint),
            ("GET", f"{account}/endpoints", self.list_endpoints),
            ("POST", f"{account}/top-ups", self.top_up),
            ("POST", f"{account}/terms", self.set_terms),
            ("POST", f"{account}/thaw", self.thaw),
            ("POST", "/chains", self.add_chain),
            ("GET", "/chains", self.list_chains),
            ("GET", "/chains/{partner}/{environment}/keys", self.list_chain_keys),
            ("DELETE", "/chains/{partner}/{environment}/keys/{key}", self.revoke_chain_key),
        ):
            name = f"{method.lower()}_{endpoint.__name__}"
            self.router.add_api_route(
                path, endpoint, methods=[method], operation_id=name, response_model=None
            )

    # --- written directly -----------------------------------------------------------------------

    async def add_partner(self, body: NewPartner) -> Response:
        """Make a partner with both accounts; the sandbox has its grant at once."""
        row = await self._partners.add(body.id, body.name, now_ms())
        if row["name"] != body.name:
            raise Problem("ALREADY_EXISTS", "The partner exists under another name.")
        opened = await self._operators.open_accounts(row)
        return _json(200 if opened else 202, _partner(row))

    async def list_partners(self) -> Response:
        return _json(200, {"data": [_partner(row) for row in await self._partners.everyone()]})

    async def add_key(
        self, partner: PartnerId, environment: Environment, body: NewKey | None = None
    ) -> Response:
        """Make a key. Its secret is shown this once."""
        await self._known(partner)
        label = (body or NewKey()).label
        key, secret = await self._partners.add_key(partner, environment, label, now_ms())
        shown = {"key": key, "secret": secret, "environment": environment, "label": label}
        return _json(200, shown)

    async def list_keys(self, partner: PartnerId, environment: Environment) -> Response:
        rows = await self._partners.keys(f"{partner}.{environment}")
        return _json(200, {"data": [_key(row) for row in rows]})

    async def revoke_key(self, partner: PartnerId, environment: Environment, key: str) -> Response:
        """End a key; within seconds nobody lets it in."""
        if not await self._partners.revoke(f"{partner}.{environment}", key, now_ms()):
            raise Problem("NOT_FOUND")
        return _json(200, {"key": key, "revoked": True})

    async def set_allow_list(
        self, partner: PartnerId, environment: Environment, body: AllowList
    ) -> Response:
        await self._known(partner)
        await self._partners.allow(f"{partner}.{environment}", body.networks, now_ms())
        return _json(200, {"networks": body.networks})

    async def get_allow_list(self, partner: PartnerId, environment: Environment) -> Response:
        networks = await self._partners.allowed(f"{partner}.{environment}")
        return _json(200, {"networks": networks})

    async def list_endpoints(self, partner: PartnerId, environment: Environment) -> Response:
        rows = await self._partners.endpoints(f"{partner}.{environment}")
        shown = [
            {"endpoint": r["_id"], **{n: r[n] for n in ("url", "events", "enabled")}} for r in rows
        ]
        return _json(200, {"data": shown})

    async def add_chain(self, body: NewChain) -> Response:
        """Make a chain of stores with a key, or another key of a chain that is there. The secret is
        shown this once.
        """
        row = await self._partners.add(body.id, body.name, now_ms(), role="store")
        if row["name"] != body.name:
            raise Problem("ALREADY_EXISTS", "The chain exists under another name.")
        key, secret = await self._partners.add_key(
            body.id, body.environment, body.label, now_ms(), role="store"
        )
        shown = {"environment": body.environment, "key": key, "secret": secret}
        return _json(200, _partner(row) | shown)

    async def list_chains(self) -> Response:
        rows = await self._partners.everyone(role="store")
        return _json(200, {"data": [_partner(row) for row in rows]})

    async def list_chain_keys(self, partner: PartnerId, environment: Environment) -> Response:
        rows = await self._partners.keys(owner("store", f"{partner}.{environment}"))
        return _json(200, {"data": [_key(row) for row in rows]})

    async def revoke_chain_key(
        self, partner: PartnerId, environment: Environment, key: str
    ) -> Response:
        """End a store key; within seconds nobody lets it in."""
        account = owner("store", f"{partner}.{environment}")
        if not await self._partners.revoke(account, key, now_ms()):
            raise Problem("NOT_FOUND")
        return _json(200, {"key": key, "revoked": True})

    # --- said as commands -----------------------------------------------------------------------

    async def add_endpoint(
        self, partner: PartnerId, environment: Environment, body: NewEndpoint
    ) -> Response:
        """Make an endpoint. Its signing secret is shown this once."""
        await self._known(partner)
        endpoint, secret, event = await self._operators.set_endpoint(
            partner, environment, str(body.url), body.events
        )
        shown = {"endpoint": endpoint, "secret": secret, "url": str(body.url)}
        return _json(_status(event), shown | {"events": body.events})

    async def top_up(self, partner: PartnerId, environment: Environment, body: TopUp) -> Response:
        account = await self._account(partner, environment)
        event = await self._operators.credit(account, body.amount, body.external_reference)
        return _json(_status(event), {"account": account, **_balances(event)})

    async def set_terms(
        self, partner: PartnerId, environment: Environment, body: Terms
    ) -> Response:
        if body.credit_limit > self._credit_limit_max:
            raise from_errors([FieldError("credit_limit", f"the most is {self._credit_limit_max}")])
        account = await self._account(partner, environment)
        event = await self._operators.set_terms(account, body.scheme, body.credit_limit)
        return _json(_status(event), {"account": account, **_balances(event)})

    async def thaw(self, partner: PartnerId, environment: Environment, body: Thaw) -> Response:
        """A person has looked into the fault that froze the account."""
        account = await self._account(partner, environment)
        event = await self._operators.thaw(account, body.by, body.reason)
        return _json(_status(event), {"account": account, **_balances(event)})

    async def _known(self, partner: str) -> None:
        if await self._partners.get(partner) is None:
            raise Problem("NOT_FOUND", "There is no such partner.")

    async def _account(self, partner: str, environment: Environment) -> str:
        await self._known(partner)
        return f"{partner}.{environment}"


def admin_app(admin: Admin, problems_url: str) -> FastAPI:
    """The operators' application; ``guarded`` keeps everybody else out."""
    app = FastAPI(title="Salur, for operators", version="1", docs_url=None, redoc_url=None)
    app.include_router(admin.router)

    def refused(_request: Request, error: Exception) -> Response:
        problem = _as_problem(error)
        body = problem.body(problems_url, new_public_id("req"))
        return Response(body, problem.type.status, problem.headers, media_type=CONTENT_TYPE)

    for kind in (
        Problem,
        RequestValidationError,
        HTTPException,
        OutageError,
        ConflictError,
        NotAcknowledgedError,
    ):
        app.add_exception_handler(kind, refused)
    return app


def guarded(app: AsgiApp, token: str, problems_url: str) -> AsgiApp:
    """``app`` behind ``Authorization: Bearer``."""
    expected = f"Bearer {token}".encode()

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(expected, given):
            await app(scope, receive, send)
            return
        problem = Problem("AUTHENTICATION_REQUIRED", "Send Authorization: Bearer and the token.")
        body = problem.body(problems_url, new_public_id("req"))
        headers = {"WWW-Authenticate": "Bearer"}
        await _send(send, problem.type.status, CONTENT_TYPE, body, headers)

    return guard


def _as_problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        if any(item["type"] == "json_invalid" for item in error.errors()):
            return Problem("MALFORMED_JSON")
        return from_errors(
            [
                FieldError(".".join(str(p) for p in item["loc"][1:]) or "body", item["msg"])
                for item in error.errors()
            ]
        )
    if isinstance(error, HTTPException):
        return Problem("METHOD_NOT_ALLOWED" if error.status_code == 405 else "NOT_FOUND")  # noqa: PLR2004 - HTTP
    return Problem("UNAVAILABLE")


def _status(event: Envelope[Any] | None) -> int:
    """200 when it was done, 202 when nobody has said so yet.

    Raises:
        Problem: it was refused.
    """
    if event is None:
        return 202
    if event.type.endswith(".command_refused.v1"):
        raise Problem("COMMAND_REFUSED", f"{event.message.reason}")
    return 200


def _balances(event: Envelope[Any] | None) -> Document:
    if event is None:
        return {}
    return {"available": event.message.available, "held": event.message.held}


def _partner(row: Document) -> Document:
    return {"id": row["_id"], "name": row["name"], "created_at": moment(row["created_at"])}


def _key(row: Document) -> Document:
    return {
        "key": row["_id"],
        "label": row["label"],
        "created_at": moment(row["created_at"]),
        "revoked_at": moment(row["revoked_at"]),
    }


def _json(status: int, body: Any) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
