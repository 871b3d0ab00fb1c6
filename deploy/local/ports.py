"""Which ports the local platform uses: a block of 100 with fixed places in it."""

import random
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from deploy.local.errors import NoFreePortsError

PORT_BASE = 8700
BLOCK = 100
KAFKA = 90
KAFKA_CONTROLLER = 91
MONGO = 92

_FIRST_PORT, _LAST_PORT = 1024, 65535
_BLOCKS_MAX = 50
_TRIES_MAX = 200


def port_base(environ: Mapping[str, str]) -> int:
    """``SALUR_PORT_BASE``, 8700 if it is not set."""
    text = environ.get("SALUR_PORT_BASE", str(PORT_BASE))
    if not text.isdecimal() or not _FIRST_PORT <= int(text) <= _LAST_PORT - BLOCK:
        raise NoFreePortsError(f"SALUR_PORT_BASE is {text!r}: not a number from 1024 to 65435")
    return int(text)


def free_block(base: int, offsets: Iterable[int]) -> int:
    """The first of base, base + 100, … in which the ports at all ``offsets`` are free."""
    places = tuple(offsets)
    for block in range(base, min(base + _BLOCKS_MAX * BLOCK, _LAST_PORT - BLOCK + 1), BLOCK):
        if all(is_free(block + place) for place in places):
            return block
    raise NoFreePortsError(
        f"no free block of ports from {base} on: set SALUR_PORT_BASE to another one"
    )


def free_ports(count: int) -> tuple[int, ...]:
    """Random free ports below the range from which the kernel takes those of outgoing connections.

    A client that keeps calling a killed server on a port *within* that range may be given this
    very port as its own, connect to itself, and keep the server from ever coming back.
    """
    chosen: set[int] = set()
    last = _first_outgoing_port() - 1
    for _ in range(_TRIES_MAX):
        port = random.SystemRandom().randint(10_000, last)
        if port not in chosen and is_free(port):
            chosen.add(port)
        if len(chosen) == count:
            return tuple(chosen)
    raise NoFreePortsError(f"found no {count} free ports between 10000 and {last}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections of a server that has just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _first_outgoing_port() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    except OSError:
        return 32_768
    return max(int(text.split()[0]), 11_000)
