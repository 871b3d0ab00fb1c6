"""The kit's HTTP transport against a server of raw bytes on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from services._kit.http import Transport, exchange

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TLS = httpx.create_ssl_context(trust_env=False)


class Server:
    """Runs ``script`` on each connection and keeps the heads of what it was sent."""

    def __init__(self, answer: bytes = b"", *, silent: bool = False) -> None:
        self.answer, self.silent = answer, silent
        self.heads: list[str] = []
        self.connections = 0
        self.closed = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                text = head.decode()
                self.heads.append(text)
                length = int(text.lower().partition("content-length: ")[2].split("\r")[0] or 0)
                await reader.readexactly(length)
                if self.silent:
                    continue
                if not self.answer:
                    return
                writer.write(self.answer)
                await writer.drain()
                if b"cut" in self.answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def served(server: Server) -> AsyncIterator[tuple[str, Transport]]:
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    transport = Transport(TLS, connections_max=2, keepalive_s=4)
    try:
        yield f"http://127.0.0.1:{port}", transport
    finally:
        await transport.aclose()
        listening.close()


async def post(
    url: str, transport: Transport, *, most: int = 1000, read_s: float = 5
) -> tuple[httpx.Response, bytes]:
    timeout = httpx.Timeout(read_s, connect=1).as_dict()
    request = httpx.Request("POST", url, content=b"{}", extensions={"timeout": timeout})
    return await exchange(transport, request, most)


def answer(body: bytes, *more: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((b"HTTP/1.1 200 OK", length, *more, b"", body))


async def test_one_connection_serves_one_request_after_another() -> None:
    server = Server(answer(b"yes"))
    async with served(server) as (url, transport):
        for _ in range(3):
            response, body = await post(url, transport)
            assert (response.status_code, body) == (200, b"yes")
    assert server.connections == 1


async def test_nothing_is_sent_that_the_caller_did_not_write() -> None:
    server = Server(answer(b"yes", b"Set-Cookie: a=b"))
    async with served(server) as (url, transport):
        await post(url + "/a%2Fb/%7e?c=%3A", transport)
        await post(url + "/", transport)
    first, second = (head.split("\r\n") for head in server.heads)
    assert first[0] == "POST /a%2Fb/%7e?c=%3A HTTP/1.1"  # as it was signed
    assert {line.partition(":")[0].lower() for line in first[1:-2]} == {"host", "content-length"}
    assert not any(line.lower().startswith("cookie") for line in second)


async def test_a_redirect_is_an_answer() -> None:
    moved = b"HTTP/1.1 307 Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
    server = Server(moved)
    async with served(server) as (url, transport):
        response, _ = await post(url, transport)
    assert response.status_code == 307
    assert len(server.heads) == 1


async def test_a_compressed_body_comes_as_it_is() -> None:
    server = Server(answer(b"\x1f\x8bnot really", b"Content-Encoding: gzip"))
    async with served(server) as (url, transport):
        _, body = await post(url, transport)
    assert body == b"\x1f\x8bnot really"


async def test_what_is_too_long_is_cut_off_and_its_connection_closed() -> None:
    server = Server(answer(b"x" * 3_000_000))
    async with served(server) as (url, transport):
        _, body = await post(url, transport, most=1000)
        assert 1000 <= len(body) < 1_000_000
        async with asyncio.timeout(5):
            await server.closed.wait()


async def test_only_what_was_never_sent_is_a_connect_error() -> None:
    """The guard of callbacks dials the next address after one: anything else would post twice."""
    server = Server()
    async with served(server) as (url, transport):
        with pytest.raises(httpx.RemoteProtocolError):
            await post(url, transport)
    assert len(server.heads) == 1
    transport = Transport(TLS, connections_max=1, keepalive_s=4)
    with pytest.raises(httpx.ConnectError):
        await post(url, transport)  # nobody listens there any more
    await transport.aclose()


async def test_a_name_that_leads_nowhere_is_a_connect_error() -> None:
    transport = Transport(TLS, connections_max=1, keepalive_s=4)
    with pytest.raises(httpx.ConnectError):
        await post("http://nobody.invalid", transport)
    await transport.aclose()


async def test_a_server_that_speaks_no_tls_is_a_connect_error() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0)
    transport = Transport(TLS, connections_max=1, keepalive_s=4)
    with pytest.raises(httpx.ConnectError):
        await post(f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}", transport)
    await transport.aclose()
    listening.close()


async def test_silence_is_a_read_timeout() -> None:
    async with served(Server(silent=True)) as (url, transport):
        with pytest.raises(httpx.ReadTimeout):
            await post(url, transport, read_s=0.1)


@pytest.mark.parametrize(
    "broken",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\ncut",
        b"what is this?\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\ncut",
    ],
    ids=["short", "chunks", "no HTTP", "long header"],
)
async def test_a_broken_answer_is_a_protocol_error(broken: bytes) -> None:
    async with served(Server(broken)) as (url, transport):
        with pytest.raises(httpx.RemoteProtocolError):
            await post(url, transport)
