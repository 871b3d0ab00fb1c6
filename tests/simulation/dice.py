"""What goes wrong, how often, and how long it takes."""

import random
from collections import Counter
from dataclasses import dataclass, field

STALLS_S = (3, 40, 70, 400, 880, 1500)
BATCHES = (1, 2, 5, 30, 500)
PATIENCE_S = 20
WORST = {"crash": 0.01, "stall": 0.008, "outage": 0.03, "again": 0.1, "rebalance": 0.03}
# Steps of an errand are rarer than reads: there, trouble is more frequent.
PRECIOUS = frozenset(
    (
        *("lease", "still_mine", "done", "again", "transfer", "note_sending"),
        *("sign", "call", "ask", "inquire", "post", "commit"),
    )
)
PRECIOUS_FACTOR = 3


class CrashError(BaseException):
    """The process is gone; no ``except Exception`` may save it."""


@dataclass
class Dice:
    """What goes wrong, and how often; ``met`` counts what did."""

    rng: random.Random
    crash: float = 0.0
    stall: float = 0.0
    outage: float = 0.0
    again: float = 0.0
    rebalance: float = 0.0
    met: Counter[str] = field(default_factory=Counter)

    def throw(self) -> None:
        """A run has its own mixture; some troubles stay away from some runs."""
        for name, most in WORST.items():
            setattr(self, name, most * self.rng.choice((0, 0.3, 1)))

    def calm(self) -> None:
        for name in WORST:
            setattr(self, name, 0.0)

    def falls(self, chance: float, what: str) -> bool:
        if chance == 0 or self.rng.random() >= chance:
            return False
        self.met[what] += 1
        return True
