"""Which addresses a callback may be sent to: never one inside, whatever its name says.

A merchant chooses the URL, and a name can lead anywhere and change between two looks. So the name
is resolved here, each address is compared with an explicit list, and the one that passed is what
is dialled (``GuardedTransport``); there is no second look. ``ipaddress.is_global`` is no such
list: it calls 64:ff9b::a00:1, 2002:7f00:1:: and 224.0.0.1 global.
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

# fmt: off
_DENIED = tuple(ipaddress.ip_network(text) for text in (
    "0.0.0.0/8",        # this network
    "10.0.0.0/8",       # private
    "100.64.0.0/10",    # carriers' shared space
    "127.0.0.0/8",      # loopback
    "169.254.0.0/16",   # link-local; clouds' metadata
    "172.16.0.0/12",    # private
    "192.0.0.0/24",     # protocol assignments
    "192.0.2.0/24",     # documentation
    "192.88.99.0/24",   # 6to4 relays
    "192.168.0.0/16",   # private
    "198.18.0.0/15",    # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",   # documentation
    "224.0.0.0/4",      # multicast
    "240.0.0.0/4",      # reserved, broadcast
    # All but 2000::/3: loopback, IPv4 in IPv6 (::/96, ::ffff:0:0/96, 64:ff9b::/96), unique local,
    # link-local, site-local, multicast, and what nobody was given.
    "::/3", "4000::/2", "8000::/1",
    "2001::/23",        # Teredo and other protocols
    "2001:db8::/32",    # documentation
    "2002::/16",        # 6to4: an IPv4 address in disguise
    "3fff::/20",        # documentation
))
# fmt: on

_ADDRESSES_MAX = 3
_FRESH_S = 30.0
_NAMES_MAX = 10_000
_THREADS = 32

Lookup = Callable[[str, int], Sequence[str]]


class AddressError(Exception):
    """The name leads nowhere, or to where no callback may go."""


def is_denied(address: str) -> bool:
    """Whether ``address`` (an IP address as text) is not on the public Internet."""
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in _DENIED if network.version == parsed.version)


def system_lookup(host: str, port: int) -> list[str]:
    """What the operating system says; blocks for as long as name servers are silent."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


class Resolver:
    """Names to addresses that may be dialled.

    Threads of its own and one look-up per name at a time: a name whose servers are silent takes one
    thread, and nobody else's.
    """

    def __init__(self, *, allow_private: bool, lookup: Lookup = system_lookup) -> None:
        self._allow_private = allow_private
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolve")
        self._known: dict[tuple[str, int], tuple[float, asyncio.Future[list[str] | str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """A few addresses of ``host``, best first.

        Raises:
            AddressError: none, or none that may be dialled.
        """
        place = (host, port)
        fresh_until, answer = self._known.get(place, (0.0, None))
        if answer is None or (answer.done() and time.monotonic() > fresh_until):
            if len(self._known) >= _NAMES_MAX:
                self._known.clear()
            answer = asyncio.ensure_future(self._ask(host, port))
            self._known[place] = (time.monotonic() + _FRESH_S, answer)
        found = await asyncio.shield(answer)
        if isinstance(found, str):
            self._known.pop(place, None)
            raise AddressError(found)
        return found

    async def _ask(self, host: str, port: int) -> list[str] | str:
        """Addresses, or why there are none: the asker may be gone when the answer comes."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self._lookup, host, port)
        except (OSError, UnicodeError) as error:
            return f"the name cannot be resolved: {type(error).__name__}"
        allowed = [one for one in found if self._allow_private or not is_denied(one)]
        if not allowed:
            return "the address is not on the public Internet" if found else "no address"
        return allowed[:_ADDRESSES_MAX]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedTransport(httpx.AsyncBaseTransport):
    """Dials the addresses that the resolver let pass, in turn, and nothing else.

    The request goes to the address itself; the name stays in ``Host`` and in TLS, where the
    certificate is checked against it.
    """

    def __init__(self, resolver: Resolver, inner: httpx.AsyncBaseTransport) -> None:
        self._resolver = resolver
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        refused: Exception = AddressError("no address")
        for address in await self._resolver.addresses(url.host, port):
            try:
                return await self._inner.handle_async_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                refused = error
        raise refused

    async def aclose(self) -> None:
        await self._inner.aclose()


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    extensions = dict(request.extensions)
    if request.url.scheme == "https":
        extensions["sni_hostname"] = request.url.raw_host.decode("ascii")
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions=extensions,
    )
