"""The worker that does what falls due: it leases rows, and has a client and no transaction."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from contracts.upcast import models
from services._kit import metrics, tracing
from services._kit.errands import Again, Conclusion, Done, Lane, Performer, errand_record
from services._kit.failures import LeavingError, OutageError
from services._kit.life import SAY
from services._kit.ports import Errand, ErrandStore, Publisher, Record
from services._kit.together import pause_s

log = structlog.get_logger()

BACKOFF_MOST_S = 60.0
# Alarm clocks ring one after another, and nobody wakes the worker for the next one.
SAY_POLL_S = 0.05


@dataclass(slots=True)
class _Counts:
    running: int = 0
    woken: set[str] = field(default_factory=set)
    lanes: dict[str, int] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)


class Worker:
    """Leases due rows and performs them.

    Args:
        service: who says what the errands conclude.
        store: the rows.
        publisher: where conclusions go.
        performers: by kind; ``say`` is built in.
        lane: the policy of a lane, by its name.
        concurrency_max: errands at once in this process.
        poll_s: the longest time that a row may wait unseen.
        gather_s: shortest time from one lease of many rows to the next, see ``pause_s``.
    """

    def __init__(
        self,
        service: str,
        store: ErrandStore,
        publisher: Publisher,
        *,
        performers: Mapping[str, Performer],
        lane: Callable[[str], Lane],
        concurrency_max: int = 200,
        poll_s: float = 0.25,
        gather_s: float = 0.04,
    ) -> None:
        self._service = service
        self._store = store
        self._publisher = publisher
        self._performers = {SAY: self._say, **performers}
        self._lane = lane
        self._most = concurrency_max
        self._poll_s = poll_s
        self._gather_s = gather_s
        self._counts = _Counts()
        self._bell = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished: list[Errand] = []
        self._sweep: asyncio.Task[None] | None = None
        self._broken: BaseException | None = None
        self._poll_at = 0.0
        self._leaving = False

    def wake(self, lanes: Collection[str]) -> None:
        """There is work in these lanes, due now."""
        self._counts.woken.update(lanes)
        self._bell.set()

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            LeavingError: a publish is in doubt; the rows' leases run out and another goes on.
        """
        try:
            while True:
                await self._round()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._sweep is not None:
                with contextlib.suppress(Exception):
                    await self._sweep

    async def idle(self, limit_s: float = 15) -> None:
        """Lease nothing more, and wait until what is under way is over; bounded."""
        self._leaving = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)
        if self._tasks:
            log.warning("errands are cut off; they are done again later", n=len(self._tasks))

    async def once(self) -> int:
        """Lease and perform what is due now, and wait for it; returns how many rows were taken."""
        lanes, _ = await self._store.lanes_due()
        taken = 0
        for name in lanes:
            taken += await self._lease(name)
        await asyncio.gather(*self._tasks)
        if self._sweep is not None:
            await self._sweep
        if self._broken is not None:
            raise self._broken
        return taken

    async def _round(self) -> None:
        lanes = dict.fromkeys(self._counts.woken)
        self._counts.woken = set()
        self._bell.clear()
        try:
            # Lanes that are woken all the time must not hide the others, so polls go on.
            if not lanes or time.monotonic() >= self._poll_at:
                due, wait = await self._store.lanes_due()
                lanes = dict.fromkeys([*due, *lanes])
                pause = min(self._poll_s, wait if wait is not None else self._poll_s)
                self._poll_at = time.monotonic() + pause
            took = 0
            for name in lanes:
                took += await self._lease(name)
            pause = self._poll_at - time.monotonic()
            if took:
                await asyncio.sleep(pause_s(took, self._gather_s))
        except OutageError as outage:
            metrics.outages.labels(self._service).inc()
            log.warning("errands wait for the database", reason=str(outage))
            pause = 1.0
        if self._broken is not None:
            raise self._broken
        if not self._counts.woken:
            # Not wait_for: before Python 3.12 it swallows a cancellation that meets the bell.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause, 0.001)):
                    await self._bell.wait()

    async def _lease(self, name: str) -> int:
        room = self._most - self._counts.running
        if room <= 0 or self._leaving:
            return 0
        policy = self._lane(name)
        most = min(room, policy.limit)
        # The lease begins in the database a moment later, so this end is on the safe side.
        until = asyncio.get_running_loop().time() + policy.lease_s
        errands = await self._store.lease(name, most, policy.limit, policy.lease_s)
        # A lane that gave all it could may hold more: look again when a place is free.
        held = self._counts.lanes.get(name, 0) + len(errands)
        if errands and (len(errands) == most or held >= policy.limit):
            self._counts.full.add(name)
        else:
            self._counts.full.discard(name)
        self._counts.lanes[name] = held
        says = [errand for errand in errands if errand.kind == SAY]
        if says:
            self._poll_at = min(self._poll_at, time.monotonic() + SAY_POLL_S)
        groups = [[errand] for errand in errands if errand.kind != SAY]
        for group in [*groups, says] if says else groups:
            self._counts.running += len(group)
            task = asyncio.create_task(self._perform(group, until))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(errands)

    async def _perform(self, group: Sequence[Errand], until: float) -> None:
        started = time.monotonic()
        outcome = "failed"
        errand, together = group[0], len(group) > 1
        try:
            # The lease is the outer limit of everything an attempt does.
            async with asyncio.timeout_at(until):
                with tracing.continued(f"errand {errand.kind}", () if together else errand.trace):
                    attempt = self._say_together(group) if together else self._attempt(errand)
                    outcome = await attempt
        except TimeoutError:
            log.warning("an errand outlived its lease", kind=errand.kind, id=errand.id)
        except LeavingError as error:
            self._broken = error
            self._bell.set()
        except OutageError as error:
            log.warning("an errand met an outage", kind=errand.kind, reason=str(error))
        except Exception:  # the row waits for its lease to run out, and the reason is seen
            log.exception("an errand could not be put away", kind=errand.kind, id=errand.id)
        finally:
            self._counts.running -= len(group)
            metrics.errands.labels(self._service, errand.kind, outcome).inc(len(group))
            metrics.errand_s.labels(self._service, errand.kind).observe(time.monotonic() - started)
            self._free(errand.lane, len(group))

    def _free(self, lane: str, places: int) -> None:
        self._counts.lanes[lane] -= places
        if self._counts.lanes[lane] == 0:
            del self._counts.lanes[lane]
        if lane in self._counts.full:
            self.wake((lane,))

    async def _attempt(self, errand: Errand) -> str:
        try:
            outcome = await self._performers[errand.kind](errand)
            says = outcome.says if isinstance(outcome, Done) else ()
            records = [self._record(errand, one) for one in says]
        except (LeavingError, OutageError):
            raise
        except Exception:  # a bug in a performer must not lose the errand: it waits and is seen
            log.exception("an errand failed", kind=errand.kind, id=errand.id)
            outcome = Again(min(2.0**errand.attempt, BACKOFF_MOST_S), "a bug")
        if isinstance(outcome, Again):
            await self._store.again(errand, outcome.delay_s)
            return "again"
        if records:
            await self._publisher.publish(records)
        await self._delete([errand])
        return "done"

    async def _say_together(self, group: Sequence[Errand]) -> str:
        """Thousands of alarm clocks ring at the same minute: one publish, one delete."""
        records: list[Record] = []
        try:
            for errand in group:
                done = await self._say(errand)
                records += [self._record(errand, one) for one in done.says]
        except Exception:  # noqa: BLE001 - each for itself, so that the one that cannot be said is seen
            for errand in group:
                await self._attempt(errand)
            return "done"
        await self._publisher.publish(records)
        await self._delete(group)
        return "done"

    async def _delete(self, errands: Sequence[Errand]) -> None:
        """Rows that end together are deleted together."""
        self._finished.extend(errands)
        if self._sweep is None or self._sweep.done():
            self._sweep = asyncio.create_task(self._delete_finished())
        await asyncio.shield(self._sweep)

    async def _delete_finished(self) -> None:
        while self._finished:
            batch, self._finished = self._finished, []
            try:
                await self._store.done(batch)
            except OutageError as outage:
                # The leases run out; the rows are done again and say the same.
                log.warning("errands are done but not deleted", reason=str(outage))

    async def _say(self, errand: Errand) -> Done:
        model = models()[errand.data["type"]]
        message = model.model_validate(errand.data["message"])
        return Done([Conclusion(type(message).__name__, message)])

    def _record(self, errand: Errand, conclusion: Conclusion) -> Record:
        return errand_record(self._service, errand, conclusion)
