"""What the bank did: each reference once and for ever, the balance, and the statement.

Nothing here waits for a clock. A transfer is written once, with the times at which it will execute
and be returned, and what it *is* follows from the time of asking; so a bank that was killed in
between comes back with the same story.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Literal

from services.sandbox.journal import Journal
from services.sandbox.snap import JAKARTA


@dataclass(slots=True)
class Transfer:
    """One partnerReferenceNo, executed or refused. ``amount`` is in whole rupiah."""

    reference: str
    reference_no: str
    trace_no: str
    external_id: str
    service: str
    received_at: datetime
    source: str = ""
    account: str = ""
    bank_code: str = ""
    amount: int = 0
    remark: str = ""
    refused: str = ""
    """The responseCode with which it was refused; "" if it was taken."""
    executes_at: datetime | None = None
    returns_at: datetime | None = None

    def status(self, now: datetime) -> str:
        """SNAP's latestTransactionStatus."""
        if self.executes_at is None:
            return "06"
        if self.executes_at > now:
            return "03"
        return "04" if self.returned(now) else "00"

    def executed(self, now: datetime) -> bool:
        return self.executes_at is not None and self.executes_at <= now

    def returned(self, now: datetime) -> bool:
        return self.returns_at is not None and self.returns_at <= now


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the statement."""

    at: datetime
    kind: Literal["DEBIT", "CREDIT"]
    transfer: Transfer


class Books:
    def __init__(self, journal: Journal, opening_balance: int) -> None:
        self.transfers: dict[str, Transfer] = {}
        self.repeats: dict[str, int] = {}
        """Refused repetitions of a reference, since the start of the process."""
        self.notified: set[str] = set()
        self._journal = journal
        self._opening = opening_balance
        self._spent: dict[str, int] = {}
        self._credits: list[tuple[datetime, str]] = []
        self._lines: list[Line] = []
        self._external: dict[date, set[str]] = {}
        for fact in journal.lines():
            self._remember(fact)

    def use_external_id(self, external_id: str, now: datetime) -> bool:
        """False if it was used before on this calendar day, which is Jakarta's."""
        today = now.astimezone(JAKARTA).date()
        used = self._external.setdefault(today, set())
        fresh = external_id not in used
        used.add(external_id)
        for past in [day for day in self._external if day < today]:
            del self._external[past]
        return fresh

    def enter(self, transfer: Transfer) -> None:
        """Remember a transfer for ever; the journal has it before anybody is answered."""
        assert transfer.reference not in self.transfers, "a reference is entered once"
        self._journal.append({"kind": "transfer", "transfer": transfer})
        self._apply(transfer)

    def note_notified(self, reference: str) -> None:
        self._journal.append({"kind": "notified", "reference": reference})
        self.notified.add(reference)

    def balance(self, source: str, now: datetime) -> int:
        """What can still be spent: pending transfers are taken off, returned ones are back."""
        while self._credits and self._credits[0][0] <= now:
            back = self.transfers[heapq.heappop(self._credits)[1]]
            self._spent[back.source] -= back.amount
        return self._opening - self._spent.get(source, 0)

    def statement(self, start: datetime, end: datetime, now: datetime) -> list[Line]:
        """The lines in [start, end) that have happened by now, oldest first."""
        first = bisect_left(self._lines, start, key=_at)
        after = bisect_left(self._lines, end, key=_at)
        lines = self._lines[first:after]
        # Pending transfers and returns stand here already, with their later times.
        while lines and lines[-1].at > now:
            lines.pop()
        return lines

    def returns(self) -> Iterator[Transfer]:
        """Transfers that are or will be returned, and whose notice has not arrived."""
        for transfer in self.transfers.values():
            if transfer.returns_at is not None and transfer.reference not in self.notified:
                yield transfer

    def _remember(self, fact: dict[str, Any]) -> None:
        if fact["kind"] == "notified":
            self.notified.add(fact["reference"])
            return
        found = fact["transfer"]
        for name in ("received_at", "executes_at", "returns_at"):
            if found[name] is not None:
                found[name] = datetime.fromisoformat(found[name])
        known = {field.name for field in fields(Transfer)}
        self._apply(Transfer(**{name: value for name, value in found.items() if name in known}))

    def _apply(self, transfer: Transfer) -> None:
        self.transfers[transfer.reference] = transfer
        self.use_external_id(transfer.external_id, transfer.received_at)
        if transfer.executes_at is None:
            return
        self._spent[transfer.source] = self._spent.get(transfer.source, 0) + transfer.amount
        insort(self._lines, Line(transfer.executes_at, "DEBIT", transfer), key=_at)
        if transfer.returns_at is not None:
            insort(self._lines, Line(transfer.returns_at, "CREDIT", transfer), key=_at)
            heapq.heappush(self._credits, (transfer.returns_at, transfer.reference))


def _at(line: Line) -> datetime:
    return line.at
