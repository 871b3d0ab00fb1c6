"""The ASGI applications: partners and banks on one port, health and metrics on another."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from contracts.ids import new_public_id
from services._kit.health import AsgiApp, Health, Receive, Scope, Send, respond
from services.gateway.http.edge import Edge
from services.gateway.http.notices import TakeNotice
from services.gateway.http.problems import CONTENT_TYPE, Problem
from services.gateway.openapi import document


def public_app(
    edges: Mapping[tuple[str, str], Edge],
    notices: TakeNotice,
    health: Health,
    problems_url: str,
) -> FastAPI:
    """What partners and banks call. The routes are plain ASGI: see ``edge``."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    methods: dict[str, dict[str, AsgiApp]] = {}
    for (method, path), edge in edges.items():
        methods.setdefault(path, {})[method] = edge
    for path, by_method in methods.items():
        app.router.routes.append(Route(path, _Methods(by_method, problems_url)))
    notify = _Methods({"POST": notices}, problems_url)
    app.router.routes.append(Route("/snap/{rail}/v1.0/transfer/notify", notify))
    app.router.routes.append(Route("/openapi.json", _Asgi(_openapi)))
    for path, answer in health.routes():
        if path != "/metrics":
            app.router.routes.append(Route(path, _Asgi(answer)))

    def refused(_request: Request, _error: Exception) -> Response:
        return _problem(Problem("NOT_FOUND"), problems_url)

    app.add_exception_handler(HTTPException, refused)
    return app


def health_app(health: Health) -> Starlette:
    """/livez, /readyz and /metrics."""
    return Starlette(routes=[Route(path, _Asgi(answer)) for path, answer in health.routes()])


async def _openapi(_scope: Scope, _receive: Receive, send: Send) -> None:
    await respond(send, 200, b"application/json", document())


class _Asgi:
    """Starlette takes a class's instance for an ASGI endpoint, and a function for a handler."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


class _Methods:
    """One address, a few methods; another one is answered 405 as a problem."""

    def __init__(self, by_method: Mapping[str, AsgiApp], problems_url: str) -> None:
        self._by_method = by_method
        self._problems_url = problems_url

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app = self._by_method.get(scope["method"])
        if app is None:
            allowed = {"Allow": ", ".join(sorted(self._by_method))}
            app = _problem(Problem("METHOD_NOT_ALLOWED", headers=allowed), self._problems_url)
        await app(scope, receive, send)


def _problem(problem: Problem, problems_url: str) -> Response:
    body = problem.body(problems_url, new_public_id("req"))
    return Response(body, problem.type.status, problem.headers, media_type=CONTENT_TYPE)
