"""HTTP exchanges with one bank: bounded in time and size, and honest about what is not known."""

import asyncio
from typing import Any

import httpx
import orjson

from services._kit.http import Transport, exchange

_CONNECT_S_MAX = 5.0
# uvicorn and many gateways close an idle connection after 5 s; sending into a closing one would
# make an order unclear for nothing.
_KEEPALIVE_S = 4.0
# Compressed answers could be larger than they look.
_HEADERS = {"Accept-Encoding": "identity", "Accept": "application/json"}


class NoReply(Exception):  # noqa: N818 - not an error here: silence is an answer too
    """The request may or may not have reached the bank; the text says what was seen."""


class Wire:
    """The connections to one bank.

    No redirects, no proxies from the environment, no cookies, no compression.

    Args:
        base_url: what comes before the paths.
        connections_max: open at once.
        transport: replaces the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connections_max: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = base_url
        self._transport = transport or Transport(
            httpx.create_ssl_context(trust_env=False),
            connections_max=connections_max,
            keepalive_s=_KEEPALIVE_S,
        )

    async def post(
        self,
        path: str,
        *,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
        deadline_s: float,
        bytes_max: int,
    ) -> tuple[int, dict[str, Any] | None]:
        """HTTP status and the JSON object that came; None if the body is anything else.

        Raises:
            NoReply: time-out, a broken connection, or more than ``bytes_max``.
        """
        # httpx's time-outs are per read; a bank that drips bytes meets the deadline of the whole.
        timeout = httpx.Timeout(deadline_s, connect=min(deadline_s, _CONNECT_S_MAX))
        try:
            request = httpx.Request(
                "POST",
                self._base_url + path,
                headers={**_HEADERS, **dict(headers)},
                content=body,
                extensions={"timeout": timeout.as_dict()},
            )
            async with asyncio.timeout(deadline_s):
                response, found = await exchange(self._transport, request, bytes_max + 1)
        except (TimeoutError, httpx.TimeoutException):
            raise NoReply(f"no answer within {deadline_s:g} s") from None
        except httpx.HTTPError as error:
            raise NoReply(f"connection broken: {type(error).__name__}") from None
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise NoReply("the answer is compressed, which was not asked for")
        if len(found) > bytes_max:
            raise NoReply(f"the answer is larger than {bytes_max} bytes")
        return response.status_code, _json_object(found)

    async def aclose(self) -> None:
        await self._transport.aclose()


def _json_object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
