"""How much at once: requests in flight, and requests of one partner in a second."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BUCKETS_MAX = 10_000


class Limits:
    """Counts in one process.

    Args:
        in_flight_max: of all callers together.
        rate_per_s: of one account; a second's worth may come at once.
        clock: monotonic seconds.
    """

    def __init__(
        self, in_flight_max: int, rate_per_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._in_flight_max = in_flight_max
        self._rate_per_s = rate_per_s
        self._clock = clock
        self._in_flight = 0
        self._buckets: dict[str, tuple[float, float]] = {}

    @contextmanager
    def one(self) -> Iterator[None]:
        """A request is in flight."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    @property
    def overloaded(self) -> bool:
        return self._in_flight > self._in_flight_max

    def take(self, account: str) -> float:
        """0 if the account may go on, else the seconds that it should wait."""
        now = self._clock()
        most = max(self._rate_per_s, 1.0)
        left, since = self._buckets.get(account, (most, now))
        left = min(most, left + (now - since) * self._rate_per_s)
        if left < 1:
            self._buckets[account] = (left, now)
            return (1 - left) / self._rate_per_s
        if len(self._buckets) >= BUCKETS_MAX:
            self._buckets.clear()
        self._buckets[account] = (left - 1, now)
        return 0.0
