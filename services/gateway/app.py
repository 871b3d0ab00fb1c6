"""With what: the gateway wired together from its settings, and its process."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker

from contracts import catalog
from contracts.cashout.v1 import Cashout
from contracts.disburse.v1 import Disbursement
from contracts.sealed import Sealer
from services._kit import logs, topics, tracing
from services._kit.failures import EXIT_LEAVING, LeavingError, OutageError, patience
from services._kit.health import Health
from services._kit.kafka import KafkaPublisher
from services._kit.kafka_source import KafkaSource
from services._kit.mongo import MongoStore, open_client, wait_for_primary
from services._kit.process import EXIT_CONFIG, collect_rarely, uvloop_run
from services._kit.serving import serve_beside
from services._kit.settings import SettingsError
from services.gateway import lives, store
from services.gateway.auth import Gate
from services.gateway.commands import Commands
from services.gateway.http.admin import Admin, admin_app, guarded
from services.gateway.http.app import health_app, public_app
from services.gateway.http.edge import Edge
from services.gateway.http.notices import TakeNotice
from services.gateway.limits import Limits
from services.gateway.operations import Wired, operations_of
from services.gateway.operators import Operators
from services.gateway.outlet import Outlet
from services.gateway.partners import Partners
from services.gateway.requests import Requests
from services.gateway.settings import Settings
from services.gateway.tail import Tail
from services.gateway.views import Views

log = structlog.get_logger()

PING_EVERY_S = 2.0


@dataclass
class Gateway:
    """What runs: three ASGI applications, and the jobs beside them."""

    public: Any
    admin: Any
    health: Any
    partners: Partners
    requests: Requests[Disbursement]
    cashouts: Requests[Cashout]
    outlet: Outlet
    tail: Tail
    jobs: dict[str, Coroutine[Any, Any, None]]
    source: KafkaSource


def main() -> int:
    """Run from the environment until a signal; returns the exit code."""
    try:
        settings = Settings.load(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"settings: {error}\n")
        return EXIT_CONFIG
    logs.configure(settings.service, settings.log_level)
    if settings.otlp_endpoint:
        tracing.export(settings.service, settings.otlp_endpoint)
    collect_rarely()
    return uvloop_run(run(settings))


async def run(settings: Settings) -> int:
    """Connect, serve until a signal or a failure, close."""
    try:
        admin = _listening(settings.admin_host, settings.admin_port)
        health = _listening(settings.health_host, settings.health_port)
        async with connected(settings) as gateway:
            jobs = gateway.jobs | {
                "admin": _serve(gateway.admin, admin),
                "health": _serve(gateway.health, health),
            }
            return await serve_beside(
                gateway.public,
                settings,
                jobs,
                gateway.source.idle,
                host=settings.host,
                port=settings.port,
                proxy_headers=bool(settings.proxy_networks),
                forwarded_allow_ips=",".join(settings.proxy_networks),
                server_header=False,
            )
    except SettingsError as error:
        log.error("settings", problem=str(error))  # noqa: TRY400 - the sentence is the message
        return EXIT_CONFIG
    except LeavingError as error:
        log.error("leaving, to be started again", reason=str(error))  # noqa: TRY400 - the same
        return EXIT_LEAVING


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Gateway]:
    """The gateway with its servers; the caller starts its jobs.

    Raises:
        LeavingError: Kafka or MongoDB did not answer within the patience.
    """
    client = open_client(settings.mongo_url)
    rows = MongoStore(client, settings.database_prefix + settings.service)
    outlet = Outlet(
        lambda: KafkaPublisher(
            settings.kafka_url, settings.topic_prefix, settings.publish_timeout_s
        )
    )
    broker = KafkaBroker(settings.kafka_url, logger=None)
    source = KafkaSource(
        broker,
        catalog.heard_by(settings.service),
        group=settings.service,
        prefix=settings.topic_prefix,
        messages_max=settings.batch_messages_max,
        bytes_max=settings.batch_bytes_max,
        gather_s=settings.batch_gather_ms / 1000,
        commit_s=settings.commit_every_ms / 1000,
    )
    try:
        async for attempt in patience(settings.outage_patience_s):
            try:
                await wait_for_primary(client, 5)
                await rows.prepare(store.indices(settings.events_days), settings.inbox_days)
                await topics.ensure(settings)
                await outlet.start()
                await broker.start()
                break
            except (OutageError, KafkaError, TimeoutError, OSError) as error:
                log.warning("waiting for Kafka and MongoDB", attempt=attempt, reason=repr(error))
        try:
            gateway = build(settings, client, rows, outlet, source)
            yield gateway
        finally:
            for job in gateway.jobs.values():
                job.close()
            await broker.stop()
            await outlet.stop()
    finally:
        client.close()


def build(
    settings: Settings, client: Any, rows: MongoStore, outlet: Outlet, source: KafkaSource
) -> Gateway:
    tail = Tail(settings.kafka_url, catalog.heard_by(settings.service), settings.topic_prefix)
    sealer = Sealer(settings.seal_key.get_secret_value())
    partners = Partners(rows.db, sealer, settings.key_cache_s)
    disbursements = Requests(
        lives.DISBURSEMENT, rows.db, outlet, sealer, settings.republish_after_s
    )
    cashouts = Requests(lives.CASHOUT, rows.db, outlet, sealer, settings.republish_after_s)
    commands = Commands(outlet, tail)
    wired = Wired(settings, rows.db, sealer, outlet, tail, commands, partners)
    operations = operations_of(wired, disbursements, cashouts)
    gate = Gate(partners, settings.signature_tolerance_s)
    limits = Limits(settings.in_flight_max, settings.rate_limit_per_s)
    health = Health()
    watch = _Watch(client)
    health.ready |= {"kafka": outlet.problem, "tail": tail.problem, "mongo": watch.problem}
    edges = {
        place: Edge(
            operation,
            gate,
            limits,
            body_bytes_max=settings.body_bytes_max,
            problems_url=settings.problems_url,
        )
        for place, operation in operations.items()
    }
    grant = Sealer(settings.callback_seal_key.get_secret_value())
    admin = Admin(
        partners,
        Operators(commands, grant, settings.sandbox_grant, settings.operator_wait_s),
        settings.credit_limit_max,
    )
    operators = admin_app(admin, settings.problems_url)
    notices = TakeNotice(commands, settings.bank_public_keys)
    return Gateway(
        public=public_app(edges, notices, health, settings.problems_url),
        admin=guarded(operators, settings.admin_token.get_secret_value(), settings.problems_url),
        health=health_app(health),
        partners=partners,
        requests=disbursements,
        cashouts=cashouts,
        outlet=outlet,
        tail=tail,
        jobs={
            "views": source.run(Views(rows.db, settings.outage_patience_s).handle),
            "tail": tail.run(),
            "outlet": outlet.run(),
            "remembered": disbursements.run(),
            "remembered cash-outs": cashouts.run(),
            "watch": watch.run(),
        },
        source=source,
    )


class _Watch:
    """Whether MongoDB answers."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._down: str | None = None

    def problem(self) -> str | None:
        return self._down

    async def run(self) -> None:
        while True:
            try:
                await wait_for_primary(self._client, 2)
                self._down = None
            except (OutageError, TimeoutError):
                self._down = "does not answer"
            await asyncio.sleep(PING_EVERY_S)


class _Beside(uvicorn.Server):
    """A server beside the main one, which alone listens to signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listening(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise LeavingError(f"{host}:{port}: {error.strerror}") from None
    return listening


async def _serve(app: Any, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False,
        timeout_graceful_shutdown=5,
    )  # fmt: skip
    await _Beside(config).serve(sockets=[listening])
