"""One HTTP POST to a stranger: bounded in time, size and reach."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx

from services._kit.http import Transport, exchange
from services.callbacks.addresses import AddressError, GuardedTransport, Resolver

ANSWER_BYTES_MAX = 4096
# Many servers close an idle connection after 5 s.
_KEEPALIVE_S = 4.0
_CLIENTS_MAX = 1000
_RETRY_AFTER_MOST_S = 7 * 86_400
_HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "Salur-Callbacks/1",
    "Accept": "*/*",
    # Compressed answers could be larger than they look.
    "Accept-Encoding": "identity",
}

MakeTransport = Callable[[], httpx.AsyncBaseTransport]


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` None: none, ``error`` says why."""

    status: int | None
    error: str = ""
    retry_after_s: int | None = None


class UnansweredError(Exception):
    """No answer came; the text is for the merchant's attempt log."""


@dataclass(slots=True)
class _Client:
    http: httpx.AsyncBaseTransport
    busy: int = 0


class Poster:
    """Connections of their own for each endpoint: nobody waits for the places of another.

    Args:
        resolver: says which addresses may be dialled.
        timeout_s: for all of one call.
        connect_timeout_s: for one connection.
        connections_max: to one endpoint.
        transport: makes what is below the guard; tests give their own.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        connections_max: int,
        transport: MakeTransport | None = None,
    ) -> None:
        self._resolver = resolver
        self._timeout_s = timeout_s
        # Made once: reading the certificates takes longer than many calls.
        self._tls = httpx.create_ssl_context(trust_env=False)
        self._connections_max = connections_max
        self._timeout = httpx.Timeout(timeout_s, connect=connect_timeout_s).as_dict()
        self._transport = transport or self._dial
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    async def post(self, endpoint: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """What the endpoint answered.

        Raises:
            UnansweredError: time-out, no connection, a forbidden address, or a broken answer.
        """
        client = await self._client(endpoint)
        client.busy += 1
        try:
            request = httpx.Request(
                "POST",
                url,
                headers={**_HEADERS, **headers},
                content=body,
                extensions={"timeout": self._timeout},
            )
            async with asyncio.timeout(self._timeout_s):
                # Read so that the connection can be used again; what says more is cut off.
                response, _ = await exchange(client.http, request, ANSWER_BYTES_MAX)
        except (TimeoutError, httpx.TimeoutException):
            raise UnansweredError("no answer in time") from None
        except AddressError as error:
            raise UnansweredError(str(error)) from None
        except httpx.ConnectError:
            raise UnansweredError("no connection") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnansweredError(f"connection broken: {type(error).__name__}") from None
        finally:
            client.busy -= 1
        status = response.status_code
        wrong = "" if response.is_success else f"answered {status}"
        return Answer(status, wrong, _retry_after_s(response.headers.get("Retry-After", "")))

    async def aclose(self) -> None:
        while self._clients:
            _, client = self._clients.popitem()
            await client.http.aclose()
        self._resolver.close()

    async def _client(self, endpoint: str) -> _Client:
        client = self._clients.get(endpoint)
        if client is None:
            client = _Client(self._open())
            self._clients[endpoint] = client
            await self._close_idle()
        self._clients.move_to_end(endpoint)
        return client

    async def _close_idle(self) -> None:
        """The one that was used longest ago, unless it is in use."""
        for name, client in list(self._clients.items()):
            if len(self._clients) <= _CLIENTS_MAX:
                return
            if not client.busy:
                del self._clients[name]
                await client.http.aclose()

    def _open(self) -> httpx.AsyncBaseTransport:
        return GuardedTransport(self._resolver, self._transport())

    def _dial(self) -> httpx.AsyncBaseTransport:
        return Transport(self._tls, connections_max=self._connections_max, keepalive_s=_KEEPALIVE_S)


def _retry_after_s(text: str) -> int | None:
    """Seconds or an HTTP date, RFC 9110 §10.2.3; None if it is neither."""
    found: float | None = None
    if text.isascii() and text.isdigit() and len(text) < len(str(_RETRY_AFTER_MOST_S)) + 3:
        found = int(text)
    else:
        with suppress(ValueError, TypeError):
            moment = parsedate_to_datetime(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            found = moment.timestamp() - time.time()
    return None if found is None else int(min(max(found, 0), _RETRY_AFTER_MOST_S))
