"""The life of a cash-out code in messages, and what stores ask and hear.

All commands are keyed by ``phone_hash`` (``keys.PhoneKey``), so that all that concerns one phone
stands in one line. Events about a life carry its whole picture and are keyed by its id; answers to
stores are keyed by ``chain/store_ref`` and never become callbacks.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contracts.cashout.keys import Kind, reference_key, store_correlation
from contracts.message import Command, Event, Part
from contracts.money import Amount, Currency, Rupiah
from contracts.sealed import Sealed
from contracts.terms import AccountId, Environment, Id, Moment, Reason, Reference, Text

# What a value is sealed for (``Sealer.seal(text, purpose)``).
CODE, PHONE = "code", "phone"

Status = Literal[
    "requested",
    "active",
    "paid",
    "failed",
    "cancelled",
    "expired",
    "blocked",
    "reversed",
]

# A chain has an environment, as an account has: ``indomaret.sandbox`` pays sandbox codes only.
ChainId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}\.(sandbox|production)$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Order(Part):
    """What a partner asked for; it never changes. ``phone_masked`` is ``0812****7890``, the phone
    itself is sealed. ``expires_at`` is given by the gateway: its default is the partner's terms.
    """

    partner: Id
    environment: Environment
    account: AccountId
    reference: Reference
    amount: Amount
    currency: Currency = "IDR"
    fee: Rupiah
    phone: Sealed
    phone_masked: Id
    recipient_name: Text
    expires_at: Moment
    description: Text = ""
    metadata: dict[str, str] = Field(default_factory=dict)


class Failure(Part):
    """Why a life failed or was reversed; ``contracts.failures`` knows the codes."""

    code: Reason
    message: Text = ""


class Redemption(Part):
    """Where and when a code was paid out; it stays with a life that is reversed later."""

    chain: ChainId
    store_ref: Reference
    store_id: Id
    terminal_id: Id
    cashier_at: Moment | None = None
    paid_at: Moment


class Cashout(Part):
    """The picture of a life after the change whose number is the envelope's ``sequence``."""

    cashout: Id
    phone_hash: Digest
    order: Order
    status: Status
    failure: Failure | None = None
    redemption: Redemption | None = None
    reversed_at: Moment | None = None
    created_at: Moment
    updated_at: Moment


class Receipt(Part):
    """What a till prints. ``reference`` is the cash-out's id, ``phone`` is masked; a repeated
    redemption gets the same receipt to the byte.
    """

    reference: Id
    amount: Amount
    phone: Id
    paid_at: Moment
    text: str = Field(max_length=2000)


class _AboutPhone(Part):
    phone_hash: Digest


class _Till(_AboutPhone):
    """A store's request. ``fingerprint`` is ``keys.PhoneKey``'s, of what was asked."""

    chain: ChainId
    store_ref: Reference
    fingerprint: Digest


# --- commands --------------------------------------------------------------------------------


class RequestCashout(Command, _AboutPhone):
    cashout: Id
    order: Order


class CancelCashout(Command, _AboutPhone):
    cashout: Id


class ExpireCode(Command, _AboutPhone):
    cashout: Id


class RedeemCode(Command, _Till):
    """Whether to pay. Decided later than ``answer_by``, it is refused: the store has given up."""

    code: Sealed
    amount: Amount
    store_id: Id
    terminal_id: Id
    cashier_at: Moment | None = None
    answer_by: Moment


class ReverseRedemption(Command, _Till):
    """The store heard nothing, or paid nothing. It always gets a yes."""

    reason: Text = ""


class InquireCode(Command, _AboutPhone):
    """Would this be paid? Changes nothing but the count of wrong tries."""

    inquiry: Id
    chain: ChainId
    code: Sealed
    amount: Amount
    store_id: Id | None = None
    terminal_id: Id | None = None


# --- events about a life ---------------------------------------------------------------------


class _Picture(Event, Cashout):
    """An event about a life is its picture under the name of what happened."""


class CashoutAccepted(_Picture):
    pass


class CashoutFailed(_Picture):
    pass


class CodeIssued(_Picture):
    """The one event that carries the code, sealed."""

    code: Sealed


class CodeRedeemed(_Picture):
    pass


class CodeBlocked(_Picture):
    pass


class CashoutCancelled(_Picture):
    pass


class CodeExpired(_Picture):
    pass


class CashoutReversed(_Picture):
    pass


class CommandRefused(Event):
    """A command that no row of the table allows; it changed nothing and carries no status."""

    cashout: Id
    command: Id
    command_type: Id
    reason: Reason
    detail: Text = ""


# --- answers to stores -----------------------------------------------------------------------


class Standing(Part):
    """How a store reference stands after the change whose number is the envelope's ``sequence``:
    what its status inquiry shows. ``fingerprint`` is that of the try that was refused or paid.
    """

    state: Literal["refused", "paid", "reversed"]
    fingerprint: Digest | None = None
    reason: Reason | None = None
    receipt: Receipt | None = None


class _Answer(Event):
    """The answer to one request. The envelope's ``sequence`` numbers ``standing``, whichever
    request it answers: a view keeps the newest and never goes back.
    """

    chain: ChainId
    store_ref: Reference
    kind: Kind
    fingerprint: Digest
    standing: Standing

    @property
    def key(self) -> str:
        return reference_key(self.chain, self.store_ref)

    @property
    def correlation(self) -> str:
        return store_correlation(self.chain, self.store_ref, self.kind, self.fingerprint)


class RedemptionAnswered(_Answer):
    """``receipt`` with a valid one, ``reason`` with an invalid one."""

    kind: Literal["redemption"] = "redemption"
    result: Literal["valid", "invalid"]
    reason: Reason | None = None
    receipt: Receipt | None = None


class ReversalAnswered(_Answer):
    kind: Literal["reversal"] = "reversal"
    result: Literal["accepted"] = "accepted"
    effect: Literal["reversed", "already_reversed", "nothing_paid"]


class InquiryAnswered(Event):
    inquiry: Id
    chain: ChainId
    result: Literal["valid", "invalid"]
    reason: Reason | None = None
