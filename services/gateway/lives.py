"""The kinds of lives that partners ask for: what differs is a value here, the rest is shared.

Requests are remembered, said, waited for, read and cancelled alike, whatever they are about.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from contracts.cashout import v1 as cashout
from contracts.disburse import v1 as disburse
from contracts.message import Message
from contracts.public import (
    CASHOUT_ENDS,
    CASHOUT_STATUSES,
    DISBURSEMENT_ENDS,
    DISBURSEMENT_STATUSES,
    public_cashout,
    public_disbursement,
)

AnyLife = disburse.Disbursement | cashout.Cashout
L = TypeVar("L", bound=AnyLife)


@dataclass(frozen=True, slots=True)
class View(Generic[L]):
    """A life as the gateway knows it. ``code`` is sealed, and there while it can be redeemed."""

    life: L
    sequence: int
    key: str | None = None
    fingerprint: str | None = None
    code: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, event: Any, sequence: int | None) -> "View[L]":
        """The picture in an event."""
        return cls(event, sequence or 0, code=getattr(event, "code", None))


@dataclass(frozen=True)
class Kind(Generic[L]):
    """A kind of life.

    Args:
        noun: names its operations, its address and the field of its id.
        prefix: of its ids.
        model: its picture.
        statuses: inside to (what partners see, callback type).
        ends: statuses that are never left, but by a reversal.
        done: statuses that are answered 200.
        rests: statuses in which a waiting request is answered.
        wakes: events that bring it there.
        public: what partners see, but for a code.
        request, cancel: the commands about a life.
        cancelled, refused: the events that answer a cancel.
        coded: whether partners see a code while it is ``active``.
    """

    noun: str
    prefix: str
    model: type[L]
    statuses: Mapping[str, tuple[str, str | None]]
    ends: frozenset[str]
    done: frozenset[str]
    rests: frozenset[str]
    wakes: tuple[type[Message], ...]
    public: Callable[[L, int], dict[str, Any]]
    request: Callable[[L], Message]
    cancel: Callable[[L], Message]
    cancelled: type[Message]
    refused: type[Message]
    coded: bool = False

    @property
    def collection(self) -> str:
        return f"{self.noun}s"

    @property
    def path(self) -> str:
        return f"/v1/{self.noun}s"

    @property
    def shown_statuses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(shown for shown, _ in self.statuses.values()))

    def id(self, life: L) -> str:
        found: str = getattr(life, self.noun)
        return found


DISBURSEMENT: Final = Kind[disburse.Disbursement](
    noun="disbursement",
    prefix="disb",
    model=disburse.Disbursement,
    statuses=DISBURSEMENT_STATUSES,
    ends=DISBURSEMENT_ENDS,
    done=DISBURSEMENT_ENDS,
    # A scheduled one ends the wait too: nothing more will happen for a while.
    rests=DISBURSEMENT_ENDS | {"scheduled"},
    wakes=(
        disburse.DisbursementScheduled,
        disburse.DisbursementSucceeded,
        disburse.DisbursementFailed,
        disburse.DisbursementCancelled,
        disburse.DisbursementReversed,
    ),
    public=public_disbursement,
    request=lambda life: disburse.RequestDisbursement(
        disbursement=life.disbursement, order=life.order
    ),
    cancel=lambda life: disburse.CancelDisbursement(disbursement=life.disbursement),
    cancelled=disburse.DisbursementCancelled,
    refused=disburse.CommandRefused,
)
CASHOUT: Final = Kind[cashout.Cashout](
    noun="cashout",
    prefix="cash",
    model=cashout.Cashout,
    statuses=CASHOUT_STATUSES,
    ends=CASHOUT_ENDS,
    done=CASHOUT_ENDS | {"active"},
    rests=CASHOUT_ENDS | {"active"},
    wakes=(
        cashout.CodeIssued,
        cashout.CashoutFailed,
        cashout.CodeRedeemed,
        cashout.CodeBlocked,
        cashout.CashoutCancelled,
        cashout.CodeExpired,
        cashout.CashoutReversed,
    ),
    public=public_cashout,
    request=lambda life: cashout.RequestCashout(
        cashout=life.cashout, phone_hash=life.phone_hash, order=life.order
    ),
    cancel=lambda life: cashout.CancelCashout(cashout=life.cashout, phone_hash=life.phone_hash),
    cancelled=cashout.CashoutCancelled,
    refused=cashout.CommandRefused,
    coded=True,
)
KINDS: Final[tuple[Kind[Any], ...]] = (DISBURSEMENT, CASHOUT)


def kind_of(life: AnyLife) -> Kind[Any]:
    return CASHOUT if isinstance(life, cashout.Cashout) else DISBURSEMENT
