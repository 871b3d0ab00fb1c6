"""One process of a service: connect, consume, do errands, tell how it is, leave cleanly."""

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import (
    AsyncIterator,
    Callable,
    Mapping,
    Sequence,
)
from functools import partial
from typing import Any, TypeVar

import structlog
from aiokafka.errors import KafkaError
from faststream.asgi import AsgiFastStream
from faststream.kafka import KafkaBroker
from pymongo import IndexModel

from contracts import catalog
from services._kit import logs, topics, tracing
from services._kit.errands import Performer
from services._kit.failures import EXIT_LEAVING, LeavingError, OutageError, patience
from services._kit.health import Health
from services._kit.kafka import KafkaPublisher
from services._kit.kafka_source import KafkaSource
from services._kit.mongo import MongoStore, open_client, wait_for_primary
from services._kit.mongo_errands import MongoErrands
from services._kit.monitor import Monitor
from services._kit.service import Parts, Service
from services._kit.serving import serve_beside
from services._kit.settings import PlatformSettings, ServiceSettings, SettingsError
from services._kit.shell import Shell
from services._kit.worker import Worker

log = structlog.get_logger()

Book = TypeVar("Book")
S = TypeVar("S", bound=ServiceSettings)

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: starting again will not help


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
    collect_rarely()
    return uvloop_run(run(service))


def collect_rarely() -> None:
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
            commit_s=settings.commit_every_ms / 1000,
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
