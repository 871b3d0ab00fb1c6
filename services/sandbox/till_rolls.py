"""What a store's tills asked and heard: the paper roll of each conversation, kept in a journal.

A till that was switched off in the middle must still take back what it never heard about, so the
intent is written down before the first request. A code is in no roll.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from services.sandbox.journal import Journal
from services.sandbox.till_line import Credentials, Exchange

Behaviour = Literal["redeem", "silent", "reverse_first", "reverse_twice", "late", "reverse"]
Outcome = Literal["paid", "refused", "reversed", "failed"]


@dataclass(slots=True)
class Roll:
    """One conversation. ``outcome``: the cashier paid, paid nothing, or took it back; ``failed``
    if the platform did not take the request in; None while it goes on.
    """

    number: int
    behaviour: Behaviour
    store_ref: str
    store_id: str
    terminal_id: str
    phone: str
    amount: int | None
    silent_s: float
    late_s: float
    begun_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    exchanges: list[Exchange] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """With what the cashier knows at the end: ``receipt``, or ``reason``."""
        last: dict[str, Any] = {}
        for one in self.exchanges:
            if one.asked == "redemption" and one.heard and isinstance(one.answer, dict):
                last = one.answer
        reason = last.get("reason") or last.get("code")
        return {**asdict(self), "receipt": last.get("receipt"), "reason": reason}


class Rolls:
    def __init__(self, journal: Journal, kept_max: int) -> None:
        self._journal = journal
        self._kept_max = kept_max
        self._rolls: deque[Roll] = deque()
        self._numbers = 0
        self.credentials: Credentials | None = None
        open_rolls: dict[int, Roll] = {}
        for fact in journal.lines():
            self._read(fact, open_rolls)

    def set_credentials(self, found: Credentials) -> None:
        kept = {"url": str(found.url), "key": found.key, "secret": found.secret.get_secret_value()}
        if found != self.credentials:
            self._journal.append({"kind": "credentials", **kept})
        self.credentials = found

    def begin(self, **asked: Any) -> Roll:
        roll = Roll(self._numbers + 1, begun_at=datetime.now(UTC), **asked)
        self._journal.append({"kind": "begun", **asdict(roll)})
        self._add(roll)
        return roll

    def note(self, roll: Roll, exchange: Exchange) -> None:
        self._journal.append({"kind": "exchange", "roll": roll.number, **asdict(exchange)})
        roll.exchanges.append(exchange)

    def end(self, roll: Roll, outcome: Outcome) -> None:
        now = datetime.now(UTC)
        self._journal.append({"kind": "ended", "roll": roll.number, "at": now, "outcome": outcome})
        roll.outcome, roll.ended_at = outcome, now

    def newest(self) -> Iterator[Roll]:
        return reversed(self._rolls)

    def unfinished(self) -> Iterable[Roll]:
        return [roll for roll in self._rolls if roll.outcome is None]

    def _add(self, roll: Roll) -> None:
        self._numbers = roll.number
        self._rolls.append(roll)
        if len(self._rolls) > self._kept_max and self._rolls[0].outcome is not None:
            self._rolls.popleft()

    def _read(self, fact: dict[str, Any], going_on: dict[int, Roll]) -> None:
        kind = fact.pop("kind")
        if kind == "credentials":
            self.credentials = Credentials.model_validate(fact)
        elif kind == "begun":
            fact["begun_at"] = datetime.fromisoformat(fact["begun_at"])
            going_on[fact["number"]] = roll = Roll(**fact)
            self._add(roll)
        elif kind == "exchange":
            fact["sent_at"] = datetime.fromisoformat(fact["sent_at"])
            going_on[fact.pop("roll")].exchanges.append(Exchange(**fact))
        else:
            roll = going_on.pop(fact["roll"])
            roll.outcome, roll.ended_at = fact["outcome"], datetime.fromisoformat(fact["at"])
