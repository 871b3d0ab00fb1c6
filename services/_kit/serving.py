"""Serving HTTP beside jobs, until a signal or until one of them ends."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import (
    Awaitable,
    Callable,
    Iterator,
    Mapping,
)
from typing import Any

import structlog
import uvicorn

from services._kit.failures import EXIT_LEAVING, LeavingError
from services._kit.settings import ServiceSettings

log = structlog.get_logger()


LEAVE_WITHIN_S = 25.0  # below the 30 s after which whoever asked us to stop kills us


def leave_for_sure(code: int) -> None:
    """End the process soon, whatever still hangs: a client whose server is away may take for ever
    to close. Nothing is lost by it, as nothing is by a crash.
    """
    timer = threading.Timer(LEAVE_WITHIN_S, os._exit, (code,))
    timer.daemon = True
    timer.start()


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
    leave_for_sure(code)
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
