"""What the domain works on: a life, its transfer, and the terms under which both are decided.

All frozen: a decision makes new ones. ``store`` turns them into documents.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from contracts.disburse.v1 import Destination, Disbursement, Failure, Order, Status
from contracts.terms import Environment
from services._kit.life import Answer, Received

HISTORY_FIRST, HISTORY_LAST = 20, 30
# For a rail that is no longer in the settings: the default of those that are.
NOT_FOUND_AFTER_S = 1200.0


@dataclass(frozen=True, slots=True)
class Change:
    """A line of a life's history: the message that changed it, and what it became."""

    id: str
    type: str
    at: datetime
    status: Status


@dataclass(frozen=True, slots=True)
class Way:
    """How the money goes: the rail, and the bank (BIC) that is paid. It stays with the life."""

    rail: str
    bank: str


@dataclass(frozen=True, slots=True)
class Life:
    """A disbursement. ``sequence`` numbers its changes, ``version`` guards its document.

    ``ask`` is the number of the newest question to the bank (0: none was due yet); ``since`` is
    when the status was entered.
    """

    id: str
    order: Order
    status: Status
    created_at: datetime
    updated_at: datetime
    since: datetime
    sequence: int = 0
    version: int = 0
    ask: int = 0
    way: Way | None = None
    failure: Failure | None = None
    bank_reference: str | None = None
    trace_no: str | None = None
    transferred_at: datetime | None = None
    resolution: Mapping[str, Any] | None = None
    detail: str = ""
    history: tuple[Change, ...] = ()

    @property
    def rail(self) -> str | None:
        return self.way.rail if self.way else None

    def picture(self) -> dict[str, Any]:
        """The fields of ``contracts.disburse.v1.Disbursement``."""
        picture = Disbursement.model_construct(
            disbursement=self.id,
            order=self.order,
            status=self.status,
            failure=self.failure,
            rail=self.rail,
            bank_reference=self.bank_reference,
            trace_no=self.trace_no,
            transferred_at=self.transferred_at,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )
        return dict(picture)

    def remembering(self, change: Change) -> Self:
        """With one more line of history; the middle of a long one is forgotten."""
        lines = (*self.history, change)
        if len(lines) > HISTORY_FIRST + HISTORY_LAST:
            lines = (*lines[:HISTORY_FIRST], *lines[-HISTORY_LAST:])
        return replace(self, history=lines)


@dataclass(frozen=True, slots=True)
class Transfer:
    """What was sent for a life. Workers note ``sending`` and ``sent_at`` before each call, and
    only while it is not ``closed``; the handler that ends the life closes it.
    """

    id: str
    sending: int = 0
    sent_at: datetime | None = None
    resends: int = 0
    closed: datetime | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What the settings say, as far as decisions need it.

    ``choose`` finds the way to a destination (None: no rail serves it); ``not_found_after_s`` is
    by rail. ``ask_after_s`` counts from when a transfer became unclear.
    """

    choose: Callable[[Environment, Destination], Way | None]
    not_found_after_s: Mapping[str, float] = field(default_factory=dict)
    ask_after_s: tuple[float, ...] = (5, 30, 120, 600, 3600)
    ask_every_s: float = 3600
    person_after_s: float = 86_400
    send_within_s: float = 3600
    inquire_within_s: float = 10


@dataclass(frozen=True, slots=True)
class Case:
    """What a decision is about: the life and its transfer as they are, the message, the time."""

    life: Life | None
    transfer: Transfer | None
    received: Received
    now: datetime
    terms: Terms

    @property
    def message(self) -> Any:
        return self.received.message

    @property
    def sending(self) -> int:
        """The newest that was noted."""
        return self.transfer.sending if self.transfer else 0

    @property
    def settled_after(self) -> datetime | None:
        """From then on no stalled request can be accepted any more; None: nothing was sent."""
        if self.transfer is None or self.transfer.sent_at is None or self.life is None:
            return None
        after_s = self.terms.not_found_after_s.get(self.life.rail or "", NOT_FOUND_AFTER_S)
        return self.transfer.sent_at + timedelta(seconds=after_s)


@dataclass(frozen=True, slots=True)
class Decision:
    """The life and transfer as they became, what is said and asked, and why a person is paged."""

    life: Life | None
    transfer: Transfer | None
    answers: tuple[Answer, ...] = ()
    pages: tuple[str, ...] = ()
