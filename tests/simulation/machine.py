"""Processes that crash, stall and lose answers: the real shell and worker behind seams.

Every touch of the world crosses a seam. There the dice may kill the process before or after the
touch, stall it (others take its lines and leases, then it goes on as a zombie), or lose the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from services._kit.errands import Lane, Performer
from services._kit.failures import LeavingError, OutageError
from services._kit.handlers import Handlers
from services._kit.life import Changes, Document
from services._kit.memory import MemoryStore
from services._kit.ports import Errand, InboxRow, Record
from services._kit.shell import Shell
from services._kit.worker import Worker
from services.disburse.life import Life, Transfer
from services.disburse.store import MemoryNotes
from tests.simulation.dice import PATIENCE_S, PRECIOUS, PRECIOUS_FACTOR, STALLS_S, CrashError, Dice
from tests.support.simulated import Clock

T = TypeVar("T")


class Process:
    """One process of a service: a consumer and an errand worker that die together.

    Args:
        seat: the place that it takes; lines of the log belong to seats.
        world: clock, log, dice, and who is told when it is gone.
    """

    def __init__(self, seat: "Seat", world: Any) -> None:
        self.seat = seat
        self.world = world
        self.dice: Dice = world.dice
        self.clock: Clock = world.clock
        self.is_dead = False
        self.store = SeamStore(self, seat.store)
        self.errands = SeamErrands(self, seat.store)
        self.notes = SeamNotes(self, seat.store)
        self.news, self.work = asyncio.Event(), asyncio.Event()
        handlers, performers, lane = seat.make(self)
        self.shell: Shell[Any] = Shell(
            handlers,
            self.store,
            self,
            patience_s=PATIENCE_S,
            clock=self.clock,
            probe=self.probe,
        )
        self.worker = Worker(handlers.service, self.errands, self, performers=performers, lane=lane)
        self._overdue: set[asyncio.Task[Any]] = set()
        self.tasks = [asyncio.create_task(self._live(job)) for job in (self._consume, self._work)]

    # --- its two jobs ---------------------------------------------------------------------------

    async def _live(self, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except CrashError:
            pass
        except LeavingError:
            self.dice.met["left"] += 1
            self.die()
        except Exception as bug:  # noqa: BLE001 - found at the end of the run
            self.world.bugs.append(bug)

    async def _consume(self) -> None:
        while True:
            batch = self.world.take(self.seat)
            if not batch:
                self.news.clear()
                await self.news.wait()
                continue
            await self.shell.handle(batch)
            if not self.dice.falls(self.dice.outage, "offset lost"):
                self.world.let_go(self.seat, batch)

    async def _work(self) -> None:
        while True:
            self.work.clear()
            try:
                taken = await self.worker.once()
            except OutageError:
                taken = 0
            lanes, wait_s = await self.seat.store.errands.lanes_due()
            if lanes:
                await asyncio.sleep(0.01 if taken else 1)
                continue
            try:
                async with asyncio.timeout(wait_s):
                    await self.work.wait()
            except TimeoutError:
                continue

    # --- its end --------------------------------------------------------------------------------

    def probe(self, step: str) -> None:
        if not self.is_dead and self.dice.falls(self.dice.crash, f"crash: {step}"):
            self.die()
            raise CrashError(step)

    def die(self) -> None:
        """From now on it touches nothing; another takes its seat after a while."""
        if self.is_dead:
            return
        self.is_dead = True
        mine = [*self.tasks, *self.worker._tasks, self.worker._sweep]
        for task in mine:
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self.world.died(self.seat)

    # --- the seam -------------------------------------------------------------------------------

    async def cross(
        self,
        step: str,
        touch: Callable[[], Awaitable[T]],
        doubt: type[Exception] | None = OutageError,
    ) -> T:
        """Touch the world, perhaps. ``doubt``: how a lost question or answer shows itself."""
        self._alive()
        dice, factor = self.dice, PRECIOUS_FACTOR if step in PRECIOUS else 1
        if dice.rng.random() < 0.3:
            await asyncio.sleep(dice.rng.randint(1, 30) / 1000)
        if dice.falls(dice.stall * factor, f"stall: {step}"):
            await self._stall(dice.rng.choice(STALLS_S))
        self._alive()
        self._crash(factor, f"crash before {step}")
        if doubt is not None and dice.falls(dice.outage * factor / 3, f"lost question: {step}"):
            raise doubt(step)
        touched = await touch()
        self._alive()
        self._crash(factor, f"crash after {step}")
        if doubt is not None and dice.falls(dice.outage * factor / 3, f"lost answer: {step}"):
            raise doubt(step)
        self._late()
        return touched

    def _alive(self) -> None:
        if self.is_dead:
            raise CrashError("touched by the dead")

    def _crash(self, factor: float, what: str) -> None:
        if self.dice.falls(self.dice.crash * factor, what):
            self.die()
            raise CrashError(what)

    async def _stall(self, seconds: float) -> None:
        """A stalled process is not even cancelled in time: what comes due shows itself later."""
        if self.dice.rng.random() < 0.7:
            self.world.rebalance(self.seat.service)
        until = self.clock.ticks() + seconds
        while (left := until - self.clock.ticks()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                if self.is_dead:
                    raise
                task = asyncio.current_task()
                assert task is not None
                self._overdue.add(task)

    def _late(self) -> None:
        task = asyncio.current_task()
        if task in self._overdue and self.dice.rng.random() < 0.5:
            self._overdue.discard(task)
            raise asyncio.CancelledError

    # --- it publishes ---------------------------------------------------------------------------

    async def publish(self, records: Sequence[Record]) -> None:
        """In doubt, some may be in the log: of each line the first ones."""
        dice = self.dice

        async def put() -> None:
            if len(records) > 1 and dice.falls(dice.outage / 2, "half published"):
                await self.world.publish(records[: dice.rng.randrange(1, len(records))])
                raise LeavingError("a publish is in doubt")
            await self.world.publish(records)

        await self.cross("publish", put, LeavingError)


Made = tuple[Handlers[Any], Mapping[str, Performer], Callable[[str], Lane]]


@dataclass(eq=False)
class Seat:
    """A place for one process after another, on a service's database."""

    service: str
    number: int
    store: MemoryStore
    make: Callable[[Process], Made]
    process: Process | None = None


class SeamStore:
    def __init__(self, process: Process, store: MemoryStore) -> None:
        self._process, self._store = process, store

    async def get(self, collection: str, ids: Collection[str]) -> dict[str, Document]:
        return await self._process.cross("get", lambda: self._store.get(collection, ids))

    async def find(self, collection: str, field: str, values: Collection[Any]) -> list[Document]:
        return await self._process.cross(
            "find", lambda: self._store.find(collection, field, values)
        )

    async def answered(self, ids: Collection[str]) -> dict[str, InboxRow]:
        return await self._process.cross("answered", lambda: self._store.answered(ids))

    async def commit(
        self,
        changes: Changes,
        inbox: Sequence[InboxRow],
        unparked: Sequence[InboxRow],
        errands: Sequence[Errand],
    ) -> None:
        async def put() -> None:
            await self._store.commit(changes, inbox, unparked, errands)
            if errands:
                self._process.world.wake(self._process.seat.service)

        await self._process.cross("commit", put)


class SeamErrands:
    def __init__(self, process: Process, store: MemoryStore) -> None:
        self._process, self._errands = process, store.errands

    async def lanes_due(self) -> tuple[list[str], float | None]:
        return await self._process.cross("lanes_due", self._errands.lanes_due)

    async def lease(self, lane: str, most: int, lane_limit: int, lease_s: float) -> list[Errand]:
        return await self._process.cross(
            "lease", lambda: self._errands.lease(lane, most, lane_limit, lease_s)
        )

    async def still_mine(self, errand: Errand) -> bool:
        return await self._process.cross("still_mine", lambda: self._errands.still_mine(errand))

    async def done(self, errands: Sequence[Errand]) -> None:
        await self._process.cross("done", lambda: self._errands.done(errands))

    async def again(self, errand: Errand, delay_s: float) -> None:
        await self._process.cross("again", lambda: self._errands.again(errand, delay_s))
        self._process.world.wake(self._process.seat.service)


class SeamNotes:
    def __init__(self, process: Process, store: MemoryStore) -> None:
        self._process, self._notes = process, MemoryNotes(store)

    async def transfer(self, life: str) -> Transfer | None:
        return await self._process.cross("transfer", lambda: self._notes.transfer(life))

    async def note_sending(
        self, seen: Transfer, sent_at: datetime, *, resend: bool
    ) -> Transfer | None:
        return await self._process.cross(
            "note_sending", lambda: self._notes.note_sending(seen, sent_at, resend=resend)
        )

    async def lives(self, ids: Collection[str]) -> dict[str, Life]:
        return await self._process.cross("lives", lambda: self._notes.lives(ids))

    async def read_until(self, rail: str) -> datetime | None:
        return await self._process.cross("read_until", lambda: self._notes.read_until(rail))

    async def note_read_until(self, rail: str, moment: datetime) -> None:
        await self._process.cross(
            "note_read_until", lambda: self._notes.note_read_until(rail, moment)
        )
