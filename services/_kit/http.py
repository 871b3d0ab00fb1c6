"""Calls to strangers: httpx's requests and errors over aiohttp's connections (docs/adr/0009)."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpx
from yarl import URL

# The first that fits. Only what failed before anything was sent may be named a connect error.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ClientConnectorCertificateError, httpx.ConnectError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientError, httpx.ReadError),
    (OSError, httpx.ReadError),
)
# Nothing is sent that the caller did not write.
_UNASKED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Transport(httpx.AsyncBaseTransport):
    """HTTP/1.1 without redirects, cookies, decompression or proxies.

    Args:
        tls: how certificates are checked.
        connections_max: open at once; further requests wait.
        keepalive_s: how long an idle connection is kept.
    """

    def __init__(self, tls: ssl.SSLContext, *, connections_max: int, keepalive_s: float) -> None:
        self._tls = tls
        self._connections_max = connections_max
        self._keepalive_s = keepalive_s
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._session is None:
            self._session = self._open()
        limits: dict[str, Any] = request.extensions.get("timeout", {})
        with _httpx_errors():
            answer = await self._session.request(
                request.method,
                # As it was signed: aiohttp would write some characters in another way.
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    connect=limits.get("pool"),
                    sock_connect=limits.get("connect"),
                    sock_read=limits.get("read"),
                ),
                server_hostname=request.extensions.get("sni_hostname"),
            )
        return httpx.Response(
            answer.status, headers=answer.raw_headers, stream=_Body(answer), request=request
        )

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """Needs the running loop, so not before the first request."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections_max,
                keepalive_timeout=self._keepalive_s,
                ssl=self._tls,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_UNASKED,
            auto_decompress=False,
            trust_env=False,
        )


async def exchange(
    transport: httpx.AsyncBaseTransport, request: httpx.Request, bytes_max: int
) -> tuple[httpx.Response, bytes]:
    """Send and read at most about ``bytes_max`` of the body, as it came; the rest is cut off.

    Raises:
        httpx.HTTPError: no connection, a time-out, a broken answer.
    """
    # Without httpx's client: all that it adds (redirects, cookies, proxies) is unwanted here.
    response = await transport.handle_async_request(request)
    try:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        found = bytearray()
        async for chunk in response.stream:
            found += chunk
            if len(found) >= bytes_max:
                break
    finally:
        await response.aclose()
    return response, bytes(found)


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for chunk in self._answer.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        """A connection whose answer was not read to its end is closed, others are kept."""
        self._answer.release()


@contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        for theirs, ours in _ERRORS:
            if isinstance(error, theirs):
                raise ours(str(error) or type(error).__name__) from error
        raise
