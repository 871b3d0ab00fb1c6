"""One process of a service: connect, consume, do errands, tell how it is, leave cleanly."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import structlog
import uvicorn
from aiokafka.errors import KafkaError
from faststream.asgi import AsgiFastStream
from faststream.kafka import KafkaBroker
from pymongo import IndexModel

from contracts import catalog
from services._kit import logs, metrics, topics, tracing
from services._kit.errands import Lane, Performer, Worker
from services._kit.failures import EXIT_LEAVING, LeavingError, OutageError, patience
from services._kit.health import Health
from services._kit.kafka import KafkaPublisher, KafkaSource
from services._kit.mongo import MongoStore, open_client, wait_for_primary
from services._kit.mongo_errands import MongoErrands
from services._kit.settings import PlatformSettings, ServiceSettings, SettingsError
from services._kit.shell import Handlers, Shell

log = structlog.get_logger()

Book = TypeVar("Book")
S = TypeVar("S", bound=ServiceSettings)

PING_EVERY_S = 2.0
AGES_EVERY_S = 10.0
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: starting again will not help


@dataclass
class Parts:
    """What a service may build on once the process has connected."""

    settings: PlatformSettings
    store: MongoStore
    publisher: KafkaPublisher
    client: Any


@dataclass
class Service(Generic[Book]):
    """A service as the process needs it; ``app.py`` of each service fills this in.

    ``performers`` makes the errand performers from the connected parts; ``resources`` are entered
    before and left after them. ``ages`` gives the age in seconds of the oldest of each kind.
    """

    settings: PlatformSettings
    handlers: Handlers[Book]
    indices: Mapping[str, Sequence[IndexModel]] = field(default_factory=dict)
    performers: (
        Callable[[Parts], contextlib.AbstractAsyncContextManager[Mapping[str, Performer]]] | None
    ) = None
    lane: Callable[[str], Lane] = lambda _name: Lane(limit=64, lease_s=60)
    errands_max: int = 200
    ages: Callable[[MongoStore], Awaitable[Mapping[str, float]]] | None = None


def main(load: Callable[[Mapping[str, str]], Service[Any]]) -> int:
    """Run a service from the environment until a signal; returns the exit code."""
    try:
        service = load(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"settings: {error}\n")
        return EXIT_CONFIG
    settings = service.settings
    logs.configure(settings.service, settings.log_level)
    if settings.otlp_endpoint:
        tracing.export(settings.service, settings.otlp_endpoint)
    _collect_rarely()
    return uvloop_run(run(service))


def _collect_rarely() -> None:
    """A batch is thousands of small objects, none of them a cycle: by default the collector would
    walk them all, and all modules, many times a batch.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def uvloop_run(coroutine: Any) -> int:
    """Run on uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return int(asyncio.run(coroutine))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return int(runner.run(coroutine))


async def run(service: Service[Any]) -> int:
    """Connect, work until a signal or a failure, close."""
    settings = service.settings
    health = Health()
    try:
        async with _connected(settings, service.indices) as parts:
            return await _work(service, parts, health)
    except SettingsError as error:
        log.error("settings", problem=str(error))  # noqa: TRY400 - the sentence is the message
        return EXIT_CONFIG
    except LeavingError as error:
        log.error("leaving, to be started again", reason=str(error))  # noqa: TRY400 - the same
        return EXIT_LEAVING


@contextlib.asynccontextmanager
async def _connected(
    settings: PlatformSettings, indices: Mapping[str, Sequence[IndexModel]]
) -> AsyncIterator[Parts]:
    client = open_client(settings.mongo_url)
    publisher = KafkaPublisher(
        settings.kafka_url, settings.topic_prefix, settings.publish_timeout_s
    )
    store = MongoStore(client, settings.database_prefix + settings.service)
    try:
        async for attempt in patience(settings.outage_patience_s):
            try:
                await wait_for_primary(client, 5)
                await store.prepare(indices, settings.inbox_days)
                await topics.ensure(settings)
                await publisher.start()
                break
            except (OutageError, KafkaError, TimeoutError, OSError) as error:
                log.warning("waiting for Kafka and MongoDB", attempt=attempt, reason=repr(error))
        try:
            yield Parts(settings, store, publisher, client)
        finally:
            await publisher.stop()
    finally:
        client.close()


async def _work(service: Service[Any], parts: Parts, health: Health) -> int:
    settings = service.settings
    async with contextlib.AsyncExitStack() as stack:
        performers: Mapping[str, Performer] = {}
        if service.performers is not None:
            performers = await stack.enter_async_context(service.performers(parts))
        errands = MongoErrands(parts.store.db)
        worker = Worker(
            settings.service,
            errands,
            parts.publisher,
            performers=performers,
            lane=service.lane,
            concurrency_max=service.errands_max,
        )
        shell = Shell(
            service.handlers,
            parts.store,
            parts.publisher,
            patience_s=settings.outage_patience_s,
            wake=worker.wake,
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
        )
        monitor = Monitor(service, parts, health)
        app = AsgiFastStream(broker, asgi_routes=health.routes(), logger=None)
        return await serve_beside(
            app,
            settings,
            {
                "consumer": source.run(shell.handle),
                "errands": worker.run(),
                "monitor": monitor.run(),
            },
            partial(_drained, source, worker),
        )


async def _drained(source: KafkaSource, worker: Worker) -> None:
    await asyncio.gather(source.idle(), worker.idle())


class Monitor:
    """Keeps readiness and the ages of what waits up to date."""

    def __init__(self, service: Service[Any], parts: Parts, health: Health) -> None:
        self._service = service
        self._parts = parts
        self._down: dict[str, str] = {"start": "connecting"}
        for name in ("start", "kafka", "mongo"):
            health.ready[name] = partial(self._problem, name)

    def _problem(self, name: str) -> str | None:
        return self._down.get(name)

    async def run(self) -> None:
        """Raises LeavingError when a server was away for longer than the patience."""
        aged = 0.0
        patience_s = self._service.settings.outage_patience_s
        answered = dict.fromkeys(("kafka", "mongo"), time.monotonic())
        while True:
            kafka = await self._parts.publisher.ping()
            mongo = await self._mongo()
            for name, up in (("kafka", kafka), ("mongo", mongo)):
                if up:
                    answered[name] = time.monotonic()
                elif (away_s := time.monotonic() - answered[name]) > patience_s:
                    raise LeavingError(f"{name} has not answered for {away_s:.0f} s")
            self._down = {
                name: "does not answer"
                for name, up in (("kafka", kafka), ("mongo", mongo))
                if not up
            }
            if mongo and time.monotonic() - aged > AGES_EVERY_S:
                aged = time.monotonic()
                with contextlib.suppress(OutageError):  # the next ping tells
                    await self._ages()
            await asyncio.sleep(PING_EVERY_S)

    async def _mongo(self) -> bool:
        try:
            await wait_for_primary(self._parts.client, 2)
        except (OutageError, TimeoutError):
            return False
        return True

    async def _ages(self) -> None:
        ages = dict(await self._parts.store.ages())
        if self._service.ages is not None:
            ages |= await self._service.ages(self._parts.store)
        for kind, age_s in ages.items():
            metrics.oldest_s.labels(self._service.settings.service, kind).set(age_s)


class _Server(uvicorn.Server):
    """uvicorn without its signal handling: it would raise the signal again at the end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_beside(
    app: Any,
    settings: ServiceSettings,
    jobs: Mapping[str, Any],
    idle: Callable[[], Awaitable[None]] | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    **options: Any,
) -> int:
    """Serve ``app`` and run ``jobs`` until a signal or until one of them ends.

    Returns 0 after SIGINT or SIGTERM, ``EXIT_LEAVING`` if a job failed.
    """
    config = uvicorn.Config(
        app,
        host=host or settings.health_host,
        port=settings.health_port if port is None else port,
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
        **options,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event
        await asyncio.sleep(0.01)
    if serving.done():
        for job in jobs.values():
            job.close()
        await serving
        raise LeavingError("the server did not start: is its port taken, is Kafka away?")
    tasks = {name: asyncio.create_task(job, name=name) for name, job in jobs.items()}
    waiting = asyncio.create_task(stopping.wait())
    log.info("started", port=config.port)
    await asyncio.wait({waiting, serving, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
    code = 0 if stopping.is_set() else EXIT_LEAVING
    for name, task in tasks.items():
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "a part of the process failed",
                part=name,
                reason=repr(error),
                exc_info=None if isinstance(error, LeavingError) else error,
            )
    if idle is not None and code == 0:
        await idle()
    for task in (waiting, *tasks.values()):
        task.cancel()
    await asyncio.gather(waiting, *tasks.values(), return_exceptions=True)
    server.should_exit = True
    await serving
    log.info("stopped", code=code)
    return code
