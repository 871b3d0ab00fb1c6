"""HTTP exchanges with one bank: bounded in time and size, and honest about what is not known."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

_CONNECT_S_MAX = 5.0
# uvicorn and many gateways close an idle connection after 5 s; sending into a closing one would
# make an order unclear for nothing.
_KEEPALIVE_S = 4.0
# httpx looks at every connection of a pool at each request. Measured with 100 calls at once to a
# bank that takes 20 ms, on two cores: one pool 250 calls/s (p99 1.9 s), pools of 4 990 (0.16 s).
_CONNECTIONS_PER_POOL = 4


class NoReply(Exception):  # noqa: N818 - not an error here: silence is an answer too
    """The request may or may not have reached the bank; the text says what was seen."""


class Wire:
    """The connections to one bank.

    No redirects, no proxies from the environment, no cookies kept, no compression.

    Args:
        base_url: what comes before the paths.
        connections_max: of all pools together.
        transport: replaces the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connections_max: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        pools = -(-connections_max // _CONNECTIONS_PER_POOL)
        each = -(-connections_max // pools)
        tls = httpx.create_ssl_context(trust_env=False)
        self._clients = [
            httpx.AsyncClient(
                base_url=base_url,
                transport=transport,
                verify=tls,
                limits=httpx.Limits(
                    max_connections=each,
                    max_keepalive_connections=each,
                    keepalive_expiry=_KEEPALIVE_S,
                ),
                follow_redirects=False,
                trust_env=False,
                # Compressed answers could be larger than they look.
                headers={"Accept-Encoding": "identity", "Accept": "application/json"},
            )
            for _ in range(pools)
        ]
        self._busy = [0] * pools

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
        pool = self._busy.index(min(self._busy))
        self._busy[pool] += 1
        # httpx's time-outs are per read; a bank that drips bytes meets the deadline of the whole.
        timeout = httpx.Timeout(deadline_s, connect=min(deadline_s, _CONNECT_S_MAX))
        try:
            async with asyncio.timeout(deadline_s):
                return await _exchange(
                    self._clients[pool], path, dict(headers), body, bytes_max, timeout
                )
        except (TimeoutError, httpx.TimeoutException):
            raise NoReply(f"no answer within {deadline_s:g} s") from None
        except httpx.HTTPError as error:
            raise NoReply(f"connection broken: {type(error).__name__}") from None
        finally:
            self._busy[pool] -= 1

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()


async def _exchange(
    client: httpx.AsyncClient,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    bytes_max: int,
    timeout: httpx.Timeout,  # noqa: ASYNC109 - httpx's, inside the deadline of the caller
) -> tuple[int, dict[str, Any] | None]:
    async with client.stream(
        "POST", path, headers=headers, content=body, timeout=timeout
    ) as response:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise NoReply("the answer is compressed, which was not asked for")
        found = bytearray()
        async for chunk in response.aiter_bytes():
            found += chunk
            if len(found) > bytes_max:
                raise NoReply(f"the answer is larger than {bytes_max} bytes")
    client.cookies.clear()
    return response.status_code, _json_object(bytes(found))


def _json_object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
