"""The whole platform as processes on this machine: servers, services, sandbox.

Used by ``make run``, the benchmarks, and the tests that kill services. The processes are real, and
so are Kafka and MongoDB; if KAFKA_URL or MONGO_URL are given, those are used instead.
"""

import http.client
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from deploy.local import environment as env
from deploy.local import ports
from deploy.local.process import Server
from deploy.local.servers import LocalServers

SERVICES = ("sandbox", "ledger", "disburse", "cashout", "callbacks", "gateway")
_ROOT = Path(__file__).parents[2]
_READY_S = 60


class ServiceProcess(Server):
    """One process of a service; ready when its /readyz says so."""

    def __init__(
        self, service: str, *, folder: Path, port: int, variables: Mapping[str, str]
    ) -> None:
        super().__init__(folder=folder, port=port)
        self.service = service
        self._variables = variables

    @property
    def name(self) -> str:  # type: ignore[override] # one class for all services
        return self.service

    @property
    def url(self) -> str:
        return f"http://{env.LOOPBACK}:{self.port}"

    def _command(self) -> Sequence[str | Path]:
        # -X is ignored by Python and names the folder for whoever looks for an orphan.
        return (sys.executable, "-X", f"salur={self.folder}", "-m", f"services.{self.service}")

    def _environment(self) -> Mapping[str, str]:
        return {
            **env.for_service(self._variables, self.service),
            f"SALUR_{self.service.upper()}_HEALTH_PORT": str(self.port),
            "PYTHONPATH": str(_ROOT),
            "PYTHONUNBUFFERED": "1",
        }

    def _prepare(self) -> None:
        """Nothing: a service makes what it needs."""

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(env.LOOPBACK, self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()


class LocalPlatform:
    """Servers and services in one folder.

    Args:
        folder: data, logs and secrets; kept between runs.
        base: first port of the block, see ``deploy.local.ports``.
        choices: what may differ between a demo, a test and a benchmark.
        given: KAFKA_URL and MONGO_URL of servers that run already.
        copies: how many processes of a service, one unless named here.
    """

    def __init__(
        self,
        folder: Path,
        base: int,
        *,
        choices: env.Choices | None = None,
        given: Mapping[str, str] | None = None,
        copies: Mapping[str, int] | None = None,
    ) -> None:
        folder = folder.resolve()
        self.folder = folder
        self.base = base
        self._given = dict(given or {})
        self.servers = LocalServers(
            folder,
            kafka_port=base + ports.KAFKA,
            controller_port=base + ports.KAFKA_CONTROLLER,
            mongo_port=base + ports.MONGO,
        )
        urls = {**self.servers.urls, **self._given}
        folder.mkdir(parents=True, exist_ok=True)
        self.variables = env.environment(folder, base, urls, choices or env.Choices())
        self.processes = [
            ServiceProcess(
                service,
                folder=folder / "services" / f"{service}{copy or ''}",
                port=base + env.HEALTH + 10 * copy + place,
                variables=self.variables,
            )
            for place, service in enumerate(SERVICES)
            for copy in range((copies or {}).get(service, 1))
        ]

    @property
    def url(self) -> str:
        return f"http://{env.LOOPBACK}:{self.base + env.GATEWAY}"

    @property
    def admin_url(self) -> str:
        return f"http://{env.LOOPBACK}:{self.base + env.ADMIN}"

    @property
    def sandbox_url(self) -> str:
        return f"http://{env.LOOPBACK}:{self.base + env.SANDBOX}"

    def needed_servers(self) -> list[Server]:
        needed: list[Server] = []
        if "KAFKA_URL" not in self._given:
            needed.append(self.servers.kafka)
        if "MONGO_URL" not in self._given:
            needed.append(self.servers.mongo)
        return needed

    def of(self, service: str) -> ServiceProcess:
        return next(one for one in self.processes if one.service == service)

    def start(self) -> Self:
        """Start everything and wait until all are ready; nothing runs if one of them fails."""
        try:
            self.start_servers()
            self.start_services()
        except BaseException:
            self.stop()
            raise
        return self

    def start_servers(self) -> None:
        for server in self.needed_servers():
            server.start()
        for server in self.needed_servers():
            server.wait_ready()

    def start_services(self) -> None:
        for process in self.processes:
            process.start()
        for process in self.processes:
            process.wait_ready(_READY_S)

    def stop(self) -> None:
        """Services first, so that what is in flight ends; then the servers."""
        for process in self.processes:
            process.ask_to_stop()
        for process in self.processes:
            process.stop(timeout_s=25)
        for server in self.needed_servers():
            server.ask_to_stop()
        for server in self.needed_servers():
            server.stop()

    def dead(self) -> Iterator[Server]:
        """Processes and servers that ended by themselves."""
        for one in (*self.needed_servers(), *self.processes):
            if one.pid is None:
                yield one

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def given_servers(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """KAFKA_URL and MONGO_URL, where set."""
    return {name: environ[name] for name in ("KAFKA_URL", "MONGO_URL") if environ.get(name)}


def places() -> tuple[int, ...]:
    """The places in a block of ports that a platform takes."""
    health = range(env.HEALTH, env.HEALTH + len(SERVICES))
    servers = (ports.KAFKA, ports.KAFKA_CONTROLLER, ports.MONGO)
    return (env.GATEWAY, env.ADMIN, env.SANDBOX, *health, *servers)
