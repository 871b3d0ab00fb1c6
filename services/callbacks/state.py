"""What the service remembers: endpoints and deliveries, and the working set of one batch."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Policy:
    """When a failed delivery is tried again, from the settings.

    Attributes:
        schedule_s: the pause after the first, second … failure of a round.
        retry_after_most_s: the longest pause that an endpoint may ask for.
        attempts_kept: how many of the newest attempts a delivery remembers.
    """

    schedule_s: tuple[float, ...]
    retry_after_most_s: float
    attempts_kept: int


@dataclass(slots=True)
class Endpoint:
    """Where a partner's callbacks of one environment go. ``secret`` is sealed."""

    id: str
    account: str
    partner: str
    environment: str
    url: str
    events: tuple[str, ...]
    secret: str
    enabled: bool
    created_at: datetime
    updated_at: datetime
    sequence: int = 0
    version: int = 0

    def wants(self, event_type: str) -> bool:
        return self.enabled and any(_matches(one, event_type) for one in self.events)


@dataclass(slots=True)
class Delivery:
    """One event on its way to one endpoint.

    ``attempts`` counts all that were made; ``round_attempts`` those since it was (re)started, which
    is the place in the schedule. ``body`` never changes.
    """

    id: str
    endpoint: str
    account: str
    partner: str
    environment: str
    event_id: str
    event_type: str
    about: str
    body: str
    created_at: datetime
    updated_at: datetime
    status: str = "pending"
    attempts: int = 0
    round_attempts: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    sequence: int = 0
    version: int = 0


@dataclass(slots=True)
class Book:
    """What one batch read and has decided since. ``changed`` ids are written."""

    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    _by_account: dict[str, dict[str, Endpoint]] = field(default_factory=dict)

    def add(self, endpoint: Endpoint) -> None:
        self.endpoints[endpoint.id] = endpoint
        self._by_account.setdefault(endpoint.account, {})[endpoint.id] = endpoint

    def of_account(self, account: str) -> list[Endpoint]:
        found = self._by_account.get(account, {}).values()
        return sorted(found, key=lambda one: one.id)

    def change(self, one: Endpoint | Delivery, now: datetime) -> None:
        """``sequence`` counts decisions, ``version`` writes: one a batch."""
        if one.id not in self.changed:
            self.changed.add(one.id)
            one.version += 1
        one.sequence += 1
        one.updated_at = now


def _matches(wanted: str, event_type: str) -> bool:
    """``*``, a prefix like ``disbursement.*``, or the type itself."""
    if wanted.endswith("*"):
        return event_type.startswith(wanted[:-1])
    return wanted == event_type
