"""Time that passes when nobody has anything to do: hours of a platform in seconds of a test.

The loop's clock jumps to the next timer instead of waiting for it, so that ``asyncio.sleep`` and
``asyncio.timeout`` are free, and a run is decided by its seed alone.
"""

import asyncio
import logging
import os
import random
import selectors
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import structlog

from contracts import sealed
from services._kit import errands, failures
from services.callbacks import sender

START = datetime(2026, 3, 2, 5, 0, tzinfo=UTC)

T = TypeVar("T")


class _NoWaiting(selectors.SelectSelector):
    """Turns the clock instead of waiting; there is nothing outside that could answer."""

    def __init__(self) -> None:
        super().__init__()
        self.turn: Callable[[float], None] = lambda _seconds: None

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everybody waits for somebody else"
        self.turn(timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    """An event loop on a clock of its own, which starts at 0."""

    def __init__(self) -> None:
        self._seconds = 0.0
        selector = _NoWaiting()
        super().__init__(selector)
        selector.turn = self._turn

    def time(self) -> float:
        return self._seconds

    def _turn(self, seconds: float) -> None:
        self._seconds += max(0.0, seconds)


class Clock:
    """The loop's time as all services see it, at MongoDB's resolution."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __call__(self) -> datetime:
        return START + timedelta(milliseconds=round(self._loop.time() * 1000))

    def ticks(self) -> float:
        return self._loop.time()


class SeededSealer(sealed.Sealer):
    """A sealer whose nonces come from the seed, so that a replay is the same to the byte."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__("k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        self._rng = rng

    def seal(self, text: str, purpose: str) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sealed, "os", SimpleNamespace(urandom=self._rng.randbytes))
            return super().seal(text, purpose)


@contextmanager
def turned(clock: Clock, rng: random.Random) -> Iterator[list[str]]:
    """Those clocks and dice that no constructor takes.

    Gives what is logged as an error meanwhile; the rest is not written: a run tells thousands of
    times of outages that were meant.
    """
    errors: list[str] = []

    def keep(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        errors.append(f"{event.pop('event')}: {event}")
        raise structlog.DropEvent

    watch = SimpleNamespace(monotonic=clock.ticks)
    before = structlog.get_config()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(errands, "now_ms", clock)
        patch.setattr(failures, "time", watch)
        patch.setattr(failures, "random", rng)
        patch.setattr(sender, "time", watch)
        structlog.configure(
            processors=[keep],
            wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        )
        try:
            yield errors
        finally:
            structlog.configure(**before)


def run(play: Callable[[Clock], Awaitable[T]]) -> T:
    """Run ``play`` to its end on a fresh clock."""

    async def _played() -> T:
        loop = asyncio.get_running_loop()
        # A crash leaves its tasks behind, and nobody asks them what happened.
        loop.set_exception_handler(lambda _loop, _context: None)
        return await play(Clock(loop))

    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(_played())


def asked_seed() -> int | None:
    """The one seed to replay, if the environment names one."""
    text = os.environ.get("SALUR_SIMULATION_SEED")
    return None if text is None else int(text)
