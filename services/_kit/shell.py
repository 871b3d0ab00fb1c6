"""The one rule, for batches: read, decide, commit once, publish, then let the offset go.

A crash between any two steps leads back to step 1 with the same messages, and the inbox answers
what was decided with the very bytes that were said before (docs/architecture.md §1 holds the crash
table; tests/kit walks it line by line against memory and against Kafka and MongoDB).
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import structlog

from contracts import catalog, upcast
from contracts.envelope import (
    TYPE_HEADER,
    now_ms,
)
from services._kit import logs, metrics, tracing
from services._kit.entries import Entry, dead_letter, entry_of, line_of, note_repeat
from services._kit.failures import (
    ConflictError,
    LeavingError,
    OutageError,
    UnstorableError,
    patience,
)
from services._kit.handlers import Handlers
from services._kit.life import Answer, Received, Say
from services._kit.ports import (
    MESSAGE_BYTES_MAX,
    Errand,
    InboxRow,
    Publisher,
    Record,
    Store,
)
from services._kit.records import errand_of_due, is_order, say_record

log = structlog.get_logger()

Book = TypeVar("Book")

CONFLICTS_MAX = 50


class Shell(Generic[Book]):
    """Takes batches of records through the steps.

    ``probe`` is called with the name of each step when it is over; tests crash there.
    """

    def __init__(
        self,
        handlers: Handlers[Book],
        store: Store,
        publisher: Publisher,
        *,
        patience_s: float,
        wake: Callable[[Collection[str]], None] = lambda _lanes: None,
        clock: Callable[[], datetime] = now_ms,
        probe: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self.handlers = handlers
        self.service = handlers.service
        self._store = store
        self._publisher = publisher
        self._patience_s = patience_s
        self._wake = wake
        self._clock = clock
        self._probe = probe
        self._hears = upcast.with_older({model.type for model in handlers.hears()})
        commands = catalog.commands_to(self.service)
        self._order_topics = {catalog.row(model.type).topic for model in commands}
        deaf = {model.type for model in commands} - self._hears
        assert not deaf, f"{self.service} may not ignore commands addressed to it: {sorted(deaf)}"

    def wants(self, record: Record) -> bool:
        """Whether the record is for this service, told by its headers alone."""
        message_type = record.header(TYPE_HEADER)
        if message_type is None:
            return True
        if message_type not in self._hears:
            # An order that nobody here knows, of a newer version perhaps, is parked and not lost.
            return record.topic in self._order_topics
        holder = record.header(catalog.HOLDER_HEADER)
        return holder is None or not catalog.may_hold(self.service) or holder == self.service

    async def handle(self, records: Sequence[Record]) -> None:
        """Steps 1 to 4 for one batch; returns when its offsets may be committed.

        Raises:
            LeavingError: outages outlasted the patience, or a publish is in doubt.
        """
        entries = [entry_of(record) for record in records if self.wants(record)]
        if not entries:
            return
        conflicts = 0
        async for attempt in patience(self._patience_s):
            try:
                said = await self._decide_and_commit(entries)
                break
            except ConflictError as conflict:
                conflicts += 1
                metrics.conflicts.labels(self.service).inc()
                if conflicts > CONFLICTS_MAX:
                    raise LeavingError(f"{conflicts} conflicts in a row: {conflict}") from None
            except OutageError as outage:
                metrics.outages.labels(self.service).inc()
                log.warning("waiting for the database", attempt=attempt, reason=str(outage))
        await self._say(said)

    # --- steps 1 to 3 ---------------------------------------------------------------------------

    async def _decide_and_commit(self, entries: Sequence[Entry]) -> list[Record]:
        known = await self._store.answered([entry.id for entry in entries])
        fresh: list[Entry] = []
        taken: dict[str, Entry] = {}
        for entry in entries:
            row = known.get(entry.id)
            if row is not None and not (row.parked and entry.replayed):
                note_repeat(self.service, entry, row.fingerprint)
            elif entry.id in taken:
                note_repeat(self.service, entry, taken[entry.id].fingerprint)
            else:
                taken[entry.id] = entry
                fresh.append(entry)
        self._probe("read")
        answers = await self._decided(fresh, known) if fresh else {}
        said: list[Record] = []
        for entry in entries:
            row = answers.get(entry.id) or known.get(entry.id)
            if row is not None:
                said.extend(row.said)
        return said

    async def _decided(
        self, fresh: Sequence[Entry], known: dict[str, InboxRow]
    ) -> dict[str, InboxRow]:
        now = self._clock()
        faults = {entry.id: entry.fault for entry in fresh if entry.fault is not None}
        # Reads are no snapshot: another process may have committed between two of them, and what
        # was read is then half old. Only what faults on a second reading too is a fault.
        doubted: set[str] = set()
        while True:
            book = await self.handlers.load(
                self._store, [e.envelope for e in fresh if e.envelope is not None]
            )
            try:
                rows, errands = self._decide(book, fresh, faults, now)
                self.handlers.check(book)
                changes = self.handlers.changes(book)
            except _FaultError as fault:
                if fault.id in doubted:
                    faults[fault.id] = fault.reason
                doubted.add(fault.id)
                continue
            except Exception as error:  # noqa: BLE001 - all this is pure: a bug is a fault
                if len(fresh) > 1:
                    return await self._one_by_one(fresh, known)
                if fresh[0].id in doubted:
                    _blame(fresh[0], faults, error)
                doubted.add(fresh[0].id)
                continue
            self._probe("decided")
            new = [row for row in rows.values() if row.id not in known]
            unparked = [row for row in rows.values() if row.id in known]
            try:
                await self._store.commit(changes, new, unparked, errands)
            except UnstorableError as error:
                if len(fresh) > 1:
                    return await self._one_by_one(fresh, known)
                _blame(fresh[0], faults, error)
                continue
            self._probe("committed")
            self._after_commit(fresh, rows, errands, now)
            return rows

    async def _one_by_one(
        self, fresh: Sequence[Entry], known: dict[str, InboxRow]
    ) -> dict[str, InboxRow]:
        """The batch as a whole breaks a check: find the message that does it."""
        rows: dict[str, InboxRow] = {}
        for entry in fresh:
            rows |= await self._decided([entry], known)
        return rows

    def _decide(
        self,
        book: Book,
        fresh: Sequence[Entry],
        faults: Mapping[str, str],
        now: datetime,
    ) -> tuple[dict[str, InboxRow], list[Errand]]:
        rows: dict[str, InboxRow] = {}
        errands: list[Errand] = []
        for entry in fresh:
            fault = faults.get(entry.id)
            trace = tracing.carried(entry.record.headers)
            answers: Sequence[Answer] = ()
            said: list[Record] = []
            if entry.envelope is not None:
                try:
                    answers = (
                        self.handlers.decide(book, entry.envelope, now)
                        if fault is None
                        else self.handlers.park(book, entry.envelope, fault, now)
                    )
                    # What parking says has names of its own: a replay must not repeat them.
                    under = "" if fault is None else "parked/"
                    said, due = self._answers(entry.envelope, answers, trace, now, under)
                except Exception as error:  # a bug in a pure decision is a fault like an assert
                    if fault is not None:
                        raise
                    log.exception("a decision failed", type=entry.type, id=entry.id)
                    raise _FaultError(entry.id, _reason(error)) from error
                errands.extend(due)
            if fault is not None:
                said.insert(0, dead_letter(entry, fault))
            rows[entry.id] = InboxRow(
                entry.id, entry.type, entry.fingerprint, now, tuple(said), fault
            )
        return rows, errands

    def _answers(
        self,
        cause: Received,
        answers: Sequence[Answer],
        trace: tuple[tuple[str, str], ...],
        now: datetime,
        under: str,
    ) -> tuple[list[Record], list[Errand]]:
        said: list[Record] = []
        due: list[Errand] = []
        for index, answer in enumerate(answers):
            if isinstance(answer, Say):
                name = f"{under}{index}"
                said.append(say_record(self.service, cause, name, answer, now, trace))
            else:
                due.append(
                    errand_of_due(self.service, cause, f"{under}errand/{index}", answer, trace)
                )
        for record in said:
            # Found out after the commit, it could never be published, nor anything behind it.
            assert len(record.value) <= MESSAGE_BYTES_MAX, f"{record.topic}: {len(record.value)} B"
        return said, due

    def _after_commit(
        self,
        fresh: Sequence[Entry],
        rows: dict[str, InboxRow],
        errands: Sequence[Errand],
        now: datetime,
    ) -> None:
        for message_type, n in Counter(row.type for row in rows.values()).items():
            metrics.decided.labels(self.service, message_type).inc(n)
        for row in rows.values():
            if row.parked:
                metrics.parked.labels(self.service, row.type).inc()
                log.error("parked for a person", type=row.type, id=row.id, reason=row.parked)
        logs.lines("decided", self.service, (line_of(one, rows[one.id]) for one in fresh))
        soon = now + timedelta(milliseconds=1)
        lanes = {errand.lane for errand in errands if errand.due_at <= soon}
        if lanes:
            self._wake(lanes)

    # --- step 4 ---------------------------------------------------------------------------------

    async def _say(self, said: Sequence[Record]) -> None:
        """Events (and dead letters) are acknowledged before any command is sent."""
        events: list[Record] = []
        commands: list[Record] = []
        for record in said:
            (commands if is_order(record) else events).append(record)
        for wave in (events, commands):
            if wave:
                await self._publisher.publish(wave)
        self._probe("published")


class _FaultError(Exception):
    def __init__(self, message_id: str, reason: str) -> None:
        super().__init__(reason)
        self.id, self.reason = message_id, reason


def _blame(entry: Entry, faults: dict[str, str], error: Exception) -> None:
    if entry.id in faults:
        raise LeavingError(f"parking itself is a fault: {_reason(error)}") from error
    log.error("a decision failed", type=entry.type, id=entry.id, exc_info=error)
    faults[entry.id] = _reason(error)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
