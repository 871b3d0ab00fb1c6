"""Reads each rail's statement again and again, for what no other answer told.

A credit with our reference is money that came back; a debit with it ends what is unclear. Each
rail has one errand that is never done: it gives itself back. What it says is named after the line,
under an errand id that never changes, so a line that is read twice says the same message twice.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from contracts.disburse.v1 import TransferConfirmed, TransferReturned
from contracts.envelope import now_ms
from contracts.ids import derived_id
from services._kit.errands import Again, Conclusion, Outcome, errand_record
from services._kit.ports import Errand, Publisher
from services.disburse.alarms import page
from services.disburse.life import Life
from services.disburse.rails import Rail, RailUnavailable, StatementLine
from services.disburse.store import Notes
from services.disburse.words import SERVICE

STATEMENT: Final = "statement"
# Sorted by time, a rail's errand is older than any other.
_EPOCH: Final = datetime(2020, 1, 1, tzinfo=UTC)
_IDS_PER_READ = 1_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reading:
    """How often and how far back; ``overlap_s`` is for lines that a bank books late."""

    every_s: float = 300
    overlap_s: float = 21_600
    first_s: float = 259_200


def statement_lane(rail: str) -> str:
    return f"statement:{rail}"


def statement_errand(rail: str, due_at: datetime) -> Errand:
    """The rail's only one; every process that starts offers it, and it is inserted once."""
    return Errand(
        id=derived_id(rail, _EPOCH, f"{SERVICE}/{STATEMENT}"),
        kind=STATEMENT,
        lane=statement_lane(rail),
        due_at=due_at,
        inserted_due_at=_EPOCH,
        data={"rail": rail},
        correlation=rail,
    )


class StatementReader:
    """Performs ``statement``."""

    def __init__(
        self,
        rails: Mapping[str, Rail],
        notes: Notes,
        publisher: Publisher,
        reading: Reading,
        *,
        clock: Callable[[], datetime] = now_ms,
    ) -> None:
        self._rails = rails
        self._notes = notes
        self._publisher = publisher
        self._reading = reading
        self._clock = clock

    async def read(self, errand: Errand) -> Outcome:
        again = Again(self._reading.every_s)
        rail = self._rails.get(errand.data["rail"])
        if rail is None:
            return again
        until = self._clock()
        mark = await self._notes.read_until(rail.name)
        since = (
            mark - timedelta(seconds=self._reading.overlap_s)
            if mark is not None
            else until - timedelta(seconds=self._reading.first_s)
        )
        try:
            lines = await rail.statement(since, until)
        except RailUnavailable as error:
            log.warning("no statement", rail=rail.name, reason=str(error))
            return again
        ours = [line for line in lines if line.reference is not None]
        for start in range(0, len(ours), _IDS_PER_READ):
            await self._tell(errand, rail.name, ours[start : start + _IDS_PER_READ])
        await self._notes.note_read_until(rail.name, until)
        return again

    async def _tell(self, errand: Errand, rail: str, lines: Sequence[StatementLine]) -> None:
        lives = await self._notes.lives({line.reference for line in lines if line.reference})
        said = [
            errand_record(SERVICE, replace(errand, correlation=about), conclusion)
            for about, conclusion in _conclusions(rail, lines, lives)
        ]
        if said:
            await self._publisher.publish(said)


def _conclusions(
    rail: str, lines: Iterable[StatementLine], lives: Mapping[str, Life]
) -> list[tuple[str, Conclusion]]:
    """By life, in the order of the statement: it hears of its payment before its return."""
    found = []
    for line in lines:
        life = lives.get(line.reference or "")
        if life is None or life.rail != rail:
            continue  # another platform's, or the sandbox's of another day
        if line.amount != life.order.amount:
            page("statement", life.id, [f"a {line.kind.lower()} of another amount"])
        elif line.kind == "CREDIT" and life.status != "reversed":
            found.append((life.id, _returned(rail, line, life)))
        elif line.kind == "DEBIT" and life.status in ("unclear", "failed"):
            # Of a failed life it is a contradiction, and the table pages a person.
            found.append((life.id, _confirmed(rail, line, life)))
    return found


def _returned(rail: str, line: StatementLine, life: Life) -> Conclusion:
    notice = f"statement-{line.bank_reference or life.id}"
    message = TransferReturned(
        disbursement=life.id,
        rail=rail,
        notice=notice,
        bank_reference=line.bank_reference,
        reason="returned according to the bank's statement",
        returned_at=line.at,
    )
    return Conclusion(f"TransferReturned/{life.id}/{notice}", message)


def _confirmed(rail: str, line: StatementLine, life: Life) -> Conclusion:
    message = TransferConfirmed(
        disbursement=life.id,
        sending=0,
        rail=rail,
        bank_reference=line.bank_reference,
        transferred_at=line.at,
    )
    return Conclusion(f"TransferConfirmed/{life.id}", message)
