"""What the domain works on: a life, what a store was answered, and who tried wrong codes.

All frozen: a decision makes new ones. ``store`` turns them into documents.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Self

from contracts.cashout.v1 import (
    Cashout,
    Failure,
    Order,
    Receipt,
    Redemption,
    Standing,
    Status,
)
from services._kit.life import Answer, Received

State = Literal["refused", "paid", "reversed"]


@dataclass(frozen=True, slots=True)
class Change:
    """A line of a life's history: the message that changed it, and what it became."""

    id: str
    type: str
    at: datetime
    status: Status


@dataclass(frozen=True, slots=True)
class Life:
    """A cash-out. ``sequence`` numbers its changes, ``version`` guards its document; a wrong
    amount counts in ``wrong_amounts`` without being a change that anybody is told.

    ``digest`` is all that is kept of the code; it stays when the life is over, so that a till
    hears why.
    """

    id: str
    phone_hash: str
    order: Order
    status: Status
    created_at: datetime
    updated_at: datetime
    sequence: int = 0
    version: int = 0
    digest: str | None = None
    wrong_amounts: int = 0
    redemption: Redemption | None = None
    failure: Failure | None = None
    reversed_at: datetime | None = None
    history: tuple[Change, ...] = ()

    @property
    def place(self) -> str:
        return place(self.order.environment, self.phone_hash)

    def picture(self) -> dict[str, Any]:
        """The fields of ``contracts.cashout.v1.Cashout``."""
        picture = Cashout.model_construct(
            cashout=self.id,
            phone_hash=self.phone_hash,
            order=self.order,
            status=self.status,
            failure=self.failure,
            redemption=self.redemption,
            reversed_at=self.reversed_at,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )
        return dict(picture)


def place(environment: str, phone_hash: str) -> str:
    """A phone in an environment: where codes are unique and wrong codes are counted."""
    return f"{environment}/{phone_hash}"


@dataclass(frozen=True, slots=True)
class Reference:
    """What was answered under one (chain, store_ref). Every redemption and every reversal writes
    it, so of two that exclude each other one wins, wherever they are handled.

    ``sequence`` counts changes of what it says, ``version`` every write. ``fingerprint`` is that
    of the try that was refused or paid; ``cashout`` is set once something was paid.
    """

    id: str
    state: State
    sequence: int = 0
    version: int = 0
    fingerprint: str | None = None
    reason: str | None = None
    cashout: str | None = None
    receipt: Receipt | None = None
    at: datetime | None = None

    def standing(self) -> Standing:
        return Standing(
            state=self.state,
            fingerprint=self.fingerprint,
            reason=self.reason,
            receipt=self.receipt,
        )

    def changed(self, now: datetime, **changes: Any) -> Self:
        return replace(self, sequence=self.sequence + 1, at=now, **changes)


@dataclass(frozen=True, slots=True)
class Tries:
    """Codes that matched nothing, tried with one phone: when, within the window."""

    id: str
    wrong_at: tuple[datetime, ...] = ()
    blocked_until: datetime | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Terminal:
    """Wrong codes tried at one terminal: the newest of each phone, within the window.

    ``slow_until``: nothing is looked at before; ``pause_s`` is how long it was made to wait.
    """

    id: str
    wrong: tuple[tuple[str, datetime], ...] = ()
    slow_until: datetime | None = None
    pause_s: float = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What the settings say, as far as decisions need it."""

    wrong_codes_max: int = 5
    wrong_codes_window_s: float = 3600
    phone_block_s: float = 3600
    wrong_amounts_max: int = 5
    terminal_phones_max: int = 10
    terminal_window_s: float = 600
    terminal_pause_s: float = 5
    terminal_pause_most_s: float = 300
    expiry_lanes: int = 1


@dataclass(frozen=True, slots=True)
class Minted:
    """A code that was drawn: sealed for its partner, and what is kept of it."""

    sealed: str = field(repr=False)
    digest: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Scene:
    """All that one message is decided from. ``life`` is the one it names, or whose code it shows.

    ``minted`` comes with ``FundsHeld``; ``matches`` with a store's request: whether the code that
    was shown is this life's.
    """

    received: Received
    now: datetime
    terms: Terms
    life: Life | None = None
    reference: Reference | None = None
    tries: Tries | None = None
    terminal: Terminal | None = None
    minted: Minted | None = None
    matches: bool = False

    @property
    def message(self) -> Any:
        return self.received.message


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a store's request was judged. ``name`` chooses the row of the life's table."""

    name: str
    reason: str | None = None
    receipt: Receipt | None = None
    effect: Literal["reversed", "already_reversed", "nothing_paid"] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The scene as it became, what is said and asked, and why a person is alarmed."""

    after: Scene
    answers: tuple[Answer, ...] = ()
    alarms: tuple[str, ...] = ()
