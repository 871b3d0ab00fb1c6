"""Readiness and the ages of what waits, kept up to date."""

import asyncio
import contextlib
import time
from functools import partial
from typing import Any

from services._kit import metrics
from services._kit.failures import LeavingError, OutageError
from services._kit.health import Health
from services._kit.mongo import wait_for_primary
from services._kit.service import Parts, Service

PING_EVERY_S = 2.0
AGES_EVERY_S = 10.0


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
