"""A store's tills over HTTP: tell one what the cashier types and how it behaves, and see the roll.

``redeem`` asks, and pays if it may. ``silent`` hears nothing, and reverses by itself after
``silent_s``. ``reverse_first`` sends the reversal before its redemption, ``reverse_twice`` two of
them after it. ``late`` loses the answer and asks the same again after ``late_s``, when the platform
has stopped waiting. An amount that ends in 77 is silent whatever was asked; it is of use only under
amount rules that allow one.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.sandbox.bodies import BodyTooLargeError, json_response, read_body
from services.sandbox.settings import Settings
from services.sandbox.till_cashier import Cashier
from services.sandbox.till_line import Credentials
from services.sandbox.till_rolls import Behaviour, Roll, Rolls

BODY_BYTES_MAX = 4096
SHOWN_MAX = 1000
STORE, TERMINAL = "TJKT-0001", "01"

# Loose on purpose: what is wrong with them is the platform's to say.
Typed = Annotated[str, Field(min_length=1, max_length=64)]
Seconds = Annotated[float, Field(ge=0, le=3600)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Redemption(_Asked):
    code: Typed
    phone: Typed
    amount: int
    behaviour: Literal["redeem", "silent", "reverse_first", "reverse_twice", "late"] = "redeem"
    store_ref: Typed | None = None
    store_id: Typed = STORE
    terminal_id: Typed = TERMINAL
    silent_s: Seconds | None = None
    late_s: Seconds | None = None


class Reversal(_Asked):
    store_ref: Typed
    phone: Typed


class Inquiry(_Asked):
    code: Typed
    phone: Typed
    amount: int


M = TypeVar("M", bound=BaseModel)


class Till:
    """``transport`` stands in for the network in tests."""

    def __init__(
        self, settings: Settings, rolls: Rolls, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._rolls = rolls
        self._http = httpx.AsyncClient(transport=transport)
        self._cashier = Cashier(self._http, rolls, settings)
        self._going_on: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """What was going on when the store was closed is taken back; see ``Cashier.resume``."""
        if self._rolls.credentials is not None:
            for roll in self._rolls.unfinished():
                self._start(self._cashier.resume(roll))
        try:
            yield
        finally:
            for task in self._going_on:
                task.cancel()
            await asyncio.gather(*self._going_on, return_exceptions=True)
            await self._http.aclose()

    def routes(self) -> list[Route]:
        return [
            Route("/till/credentials", _checked(Credentials, self._put), methods=["PUT"]),
            Route("/till/redemptions", _checked(Redemption, self._redeem), methods=["POST"]),
            Route("/till/redemptions", self._list, methods=["GET"]),
            Route("/till/redemptions/{store_ref:path}", self._status, methods=["GET"]),
            Route("/till/reversals", _checked(Reversal, self._reverse), methods=["POST"]),
            Route("/till/inquiries", _checked(Inquiry, self._inquire), methods=["POST"]),
        ]

    async def _put(self, asked: Credentials) -> Response:
        self._rolls.set_credentials(asked)
        return json_response({"url": str(asked.url), "key": asked.key})

    async def _redeem(self, asked: Redemption) -> Response:
        behaviour: Behaviour = asked.behaviour
        if asked.amount % 100 == 77:  # noqa: PLR2004 - the magic amount
            behaviour = "silent"
        return await self._play(
            asked.code,
            behaviour=behaviour,
            store_ref=asked.store_ref or _new_reference(),
            store_id=asked.store_id,
            terminal_id=asked.terminal_id,
            phone=asked.phone,
            amount=asked.amount,
            silent_s=self._settings.till_silent_s if asked.silent_s is None else asked.silent_s,
            late_s=self._settings.till_late_s if asked.late_s is None else asked.late_s,
        )

    async def _reverse(self, asked: Reversal) -> Response:
        return await self._play(
            "",
            behaviour="reverse",
            store_ref=asked.store_ref,
            store_id=STORE,
            terminal_id=TERMINAL,
            phone=asked.phone,
            amount=None,
            silent_s=0,
            late_s=0,
        )

    async def _play(self, code: str, **asked: Any) -> Response:
        if self._rolls.credentials is None:
            return _no_credentials()
        roll: Roll = self._rolls.begin(**asked)
        # Whoever asked may hang up; the till still ends what it began.
        await asyncio.shield(self._start(self._cashier.play(roll, code)))
        return json_response(roll.shown())

    async def _inquire(self, asked: Inquiry) -> Response:
        return await self._look("inquiry", "/inquiries", asked.model_dump())

    async def _status(self, request: Request) -> Response:
        """What the platform says about a reference, and the rolls that are about it."""
        store_ref = request.path_params["store_ref"]
        about = [roll.shown() for roll in self._rolls.newest() if roll.store_ref == store_ref]
        path = f"/redemptions/{quote(store_ref, safe='')}"
        return await self._look("status", path, None, rolls=about)

    async def _look(
        self,
        asked: Literal["status", "inquiry"],
        path: str,
        body: dict[str, Any] | None,
        **more: Any,
    ) -> Response:
        if self._rolls.credentials is None:
            return _no_credentials()
        timeout_s = self._settings.till_silent_s
        exchange = await self._cashier.look(asked, path, body, timeout_s=timeout_s)
        return json_response(asdict(exchange) | more)

    async def _list(self, request: Request) -> Response:
        """The newest first; ``?store_ref=`` and ``?limit=``."""
        query = request.query_params
        wanted, limit = query.get("store_ref"), query.get("limit", "100")
        if not (limit.isascii() and limit.isdigit()):
            return json_response({"error": "limit is a number"}, 400)
        rows = [roll.shown() for roll in self._rolls.newest() if wanted in {None, roll.store_ref}]
        return json_response({"total": len(rows), "data": rows[: min(int(limit), SHOWN_MAX)]})

    def _start(self, story: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(story)
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)
        return task


def _checked(
    model: type[M], act: Callable[[M], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            asked = model.model_validate_json(await read_body(request, BODY_BYTES_MAX))
        except BodyTooLargeError:
            return json_response({"error": "too large"}, 413)
        except ValidationError as error:
            wrong = [
                {"field": ".".join(map(str, one["loc"])), "message": one["msg"]}
                for one in error.errors(include_url=False, include_input=False)
            ]
            return json_response({"error": "a field is wrong", "errors": wrong}, 422)
        return await act(asked)

    return endpoint


def _no_credentials() -> Response:
    text = 'this store has no key yet: PUT /till/credentials {"url", "key", "secret"}'
    return json_response({"error": text}, 409)


def _new_reference() -> str:
    return f"{datetime.now(UTC):%y%m%d}-{secrets.token_hex(5)}"
