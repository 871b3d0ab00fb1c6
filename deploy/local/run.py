"""``make run``: the whole platform on this machine, with a partner to play with.

Starts Kafka, MongoDB, the services and the sandbox, opens the sandbox partner once, follows the
logs, and starts a process again that died. Ctrl-C stops everything; the data stay in ``.local/``.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from deploy.local import ports, stack
from deploy.local.environment import Choices, own_settings
from deploy.local.errors import LocalServerError
from deploy.local.follow import Follower
from deploy.local.process import Server
from deploy.local.sandbox_partner import Partner, SetupError, open_partner

FOLDER = Path(os.environ.get("SALUR_LOCAL_DIR") or Path(__file__).parents[2] / ".local")

_WATCH_S = 0.3
_QUICK_DEATH_S = 10
_PAUSE_MOST_S = 30.0

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks to stay
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        return _run()
    except (LocalServerError, SetupError) as error:
        console.print(f"[red]✗[/] {error}")
        return 1
    except KeyboardInterrupt:
        return 0


def _run() -> int:
    base = ports.free_block(ports.port_base(os.environ), stack.places())
    choices = Choices(overrides=own_settings(os.environ))
    platform = stack.LocalPlatform(FOLDER, base, choices=choices, given=stack.given_servers())
    begun = time.monotonic()
    try:
        servers = " and ".join(one.name for one in platform.needed_servers()) or "no servers"
        console.print(f"starting {servers} (data in {FOLDER})")
        platform.start_servers()
        console.print(f"[green]✓[/] they answer after {time.monotonic() - begun:.1f} s")
        names = ", ".join(one.service for one in platform.processes)
        console.print(f"starting {names}")
        platform.start_services()
        console.print(f"[green]✓[/] all are ready after {time.monotonic() - begun:.1f} s")
        partner = open_partner(platform)
        _tell(platform, partner)
        _watch(platform)
    finally:
        console.print("stopping: services first, so that what is in flight ends; then the servers")
        platform.stop()
        console.print("[green]✓[/] stopped; a second `make run` finds all data again")
    return 0


def _tell(platform: stack.LocalPlatform, partner: Partner) -> None:
    console.print(f"\npartner [bold]{partner.name}[/], sandbox, deposit Rp {partner.deposit:,}")
    console.print(
        f"key and secret are in {FOLDER / 'sandbox.json'}; operators: {partner.admin_url}"
    )
    console.print(f"[bold]ready: {platform.url}[/]\n")
    console.print(partner.curl(), markup=False)
    console.print("\nIn a second terminal: make demo. Ctrl-C stops everything. The logs:\n")


def _watch(platform: stack.LocalPlatform) -> None:
    """Follow the logs and start again what died, with a growing pause if it dies at once."""
    followers = [Follower(one.service, one.log) for one in platform.processes]
    restarts = Restarts()
    while True:
        for follower in followers:
            for line in follower.lines():
                console.print(line, markup=False)
        restarts.look(platform.dead())
        time.sleep(_WATCH_S)


class Restarts:
    """Starts dead processes again and says so."""

    def __init__(self) -> None:
        self._begun: dict[int, float] = {}
        self._pause_s: dict[int, float] = {}
        self._due: dict[int, float] = {}

    def look(self, dead: Iterable[Server]) -> None:
        now = time.monotonic()
        for server in dead:
            place = id(server)
            if place not in self._due:
                quick = now - self._begun.get(place, 0.0) < _QUICK_DEATH_S
                pause = min(self._pause_s.get(place, 0.5) * 2, _PAUSE_MOST_S) if quick else 0.0
                self._pause_s[place] = pause
                self._due[place] = now + pause
                console.print(
                    f"[red]✗ {server.name} died[/] (log: {server.log}); "
                    f"starting it again{f' in {pause:.0f} s' if pause else ''}"
                )
            elif now >= self._due[place]:
                del self._due[place]
                self._begun[place] = now
                server.start()
                console.print(f"[green]✓ {server.name} started again[/], process {server.pid}")


if __name__ == "__main__":
    sys.exit(main())
