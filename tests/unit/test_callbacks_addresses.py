"""A callback goes to the public Internet or nowhere, whatever a name says."""

import asyncio
import threading
from collections.abc import Sequence

import httpx
import pytest

from services.callbacks.addresses import (
    AddressError,
    GuardedTransport,
    Resolver,
    is_denied,
    system_lookup,
)

DENIED = [
    "0.0.0.0",  # noqa: S104 - nobody binds to it here
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
ALLOWED = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "192.167.255.255",
    "192.169.0.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2400:cb00::1",
    "2606:4700::1111",
    "2a00:1450::1",
]


@pytest.mark.parametrize("address", DENIED)
def test_an_address_inside_is_denied(address: str) -> None:
    assert is_denied(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_an_address_on_the_internet_is_allowed(address: str) -> None:
    assert not is_denied(address)


async def _dialled(
    url: str,
    found: Sequence[str],
    *,
    allow_private: bool = False,
    refusing: frozenset[str] = frozenset(),
) -> list[httpx.Request]:
    dialled: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        dialled.append(request)
        if request.url.host in refusing:
            raise httpx.ConnectError("refused")
        return httpx.Response(200)

    resolver = Resolver(allow_private=allow_private, lookup=lambda _host, _port: found)
    guarded = GuardedTransport(resolver, httpx.MockTransport(answer))
    async with httpx.AsyncClient(transport=guarded) as client:
        await client.post(url, content=b"{}")
    resolver.close()
    return dialled


async def test_the_address_that_was_checked_is_dialled_and_the_name_stays_in_host_and_tls() -> None:
    (request,) = await _dialled("https://merchant.example:8443/hooks?a=1", ["93.184.216.34"])

    assert str(request.url) == "https://93.184.216.34:8443/hooks?a=1"
    assert request.headers["Host"] == "merchant.example:8443"
    assert request.extensions["sni_hostname"] == "merchant.example"


async def test_a_name_that_leads_inside_is_never_dialled() -> None:
    with pytest.raises(AddressError, match="not on the public Internet"):
        await _dialled("https://merchant.example/hooks", ["10.0.0.7", "::1"])


async def test_of_several_addresses_those_inside_are_left_out() -> None:
    (request,) = await _dialled("https://merchant.example/", ["127.0.0.1", "2606:4700::1111"])

    assert request.url.host == "2606:4700::1111"


async def test_an_address_that_refuses_is_followed_by_the_next() -> None:
    dialled = await _dialled(
        "http://merchant.example/", ["8.8.8.8", "8.8.4.4"], refusing=frozenset({"8.8.8.8"})
    )

    assert [one.url.host for one in dialled] == ["8.8.8.8", "8.8.4.4"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
    ],
)
async def test_every_spelling_of_an_address_inside_is_refused(url: str) -> None:
    resolver = Resolver(allow_private=False, lookup=system_lookup)
    guarded = GuardedTransport(resolver, httpx.MockTransport(lambda _: httpx.Response(200)))

    async with httpx.AsyncClient(transport=guarded) as client:
        with pytest.raises(AddressError, match="not on the public Internet"):
            await client.post(url)
    resolver.close()


async def test_the_local_sandbox_may_call_loopback() -> None:
    (request,) = await _dialled("http://demo.test/", ["127.0.0.1"], allow_private=True)

    assert request.url.host == "127.0.0.1"


async def test_a_name_whose_servers_are_silent_is_asked_for_once_and_delays_no_other() -> None:
    silent = threading.Event()
    asked: list[str] = []

    def lookup(host: str, _port: int) -> list[str]:
        asked.append(host)
        if host == "silent.example":
            silent.wait(20)
        return ["8.8.8.8"]

    resolver = Resolver(allow_private=False, lookup=lookup)
    waiting = [asyncio.create_task(resolver.addresses("silent.example", 80)) for _ in range(50)]
    try:
        found = await asyncio.wait_for(resolver.addresses("quick.example", 80), 10)
        assert found == ["8.8.8.8"]
        assert asked == ["silent.example", "quick.example"]
    finally:
        silent.set()
        await asyncio.gather(*waiting)
        resolver.close()
