"""The life of a disbursement in messages. All are keyed by the id of the life or inquiry.

Events carry the whole picture of the life as it became, so that nobody who listens needs to ask.
"""

from typing import Literal

from pydantic import Field, model_validator

from contracts.message import Command, Event, Part
from contracts.money import Amount, Currency, Rupiah
from contracts.sealed import Sealed
from contracts.terms import (
    AccountId,
    DestinationType,
    Environment,
    Id,
    Moment,
    NameCheck,
    Reason,
    Reference,
    Text,
)

Status = Literal[
    "holding",
    "scheduled",
    "sending",
    "unclear",
    "succeeded",
    "failed",
    "cancelled",
    "reversed",
]


class Destination(Part):
    """Where the money goes. ``number`` is the sealed account number or phone, ``masked`` its form
    for people. ``bank`` is a BIC, ``wallet`` a wallet's short name; one of the two is set.
    """

    type: DestinationType
    bank: Id | None = None
    wallet: Id | None = None
    number: Sealed
    masked: Id
    account_name: Text | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "Destination":
        if (self.bank is None) == (self.wallet is None):
            raise ValueError("a destination has either a bank or a wallet")
        return self


class Order(Part):
    """What a partner asked for; it never changes during the life."""

    partner: Id
    environment: Environment
    account: AccountId
    reference: Reference
    amount: Amount
    currency: Currency = "IDR"
    fee: Rupiah
    destination: Destination
    description: Text = ""
    name_check: NameCheck = "off"
    instruct_at: Moment | None = None
    send_before: Moment | None = None
    metadata: dict[str, str] = Field(default_factory=dict)


class Failure(Part):
    """Why a life failed or was reversed, in domain.md's codes."""

    code: Reason
    message: Text = ""


class Disbursement(Part):
    """The picture of a life after the change whose number is the envelope's ``sequence``."""

    disbursement: Id
    order: Order
    status: Status
    failure: Failure | None = None
    rail: Id | None = None
    bank_reference: Id | None = None
    trace_no: Id | None = None
    transferred_at: Moment | None = None
    created_at: Moment
    updated_at: Moment


# --- commands --------------------------------------------------------------------------------


class RequestDisbursement(Command):
    disbursement: Id
    order: Order


class InstructDisbursement(Command):
    disbursement: Id


class CancelDisbursement(Command):
    disbursement: Id


class TransferConfirmed(Command):
    """The bank has executed. ``sending`` is the number of the send it confirms."""

    disbursement: Id
    sending: int = Field(ge=0)
    rail: Id
    bank_reference: Id | None = None
    trace_no: Id | None = None
    transferred_at: Moment | None = None


class TransferRefused(Command):
    """A definite no to send number ``sending`` (0: it was never sent)."""

    disbursement: Id
    sending: int = Field(ge=0)
    rail: Id | None = None
    code: Reason
    detail: Text = ""


class TransferUnclear(Command):
    """Nobody knows yet; ``ask`` counts the questions to the bank (0: the send itself)."""

    disbursement: Id
    sending: int = Field(ge=0)
    ask: int = Field(ge=0)
    rail: Id
    reason: Text


class TransferReturned(Command):
    """The bank gave the money back after it had executed."""

    disbursement: Id
    rail: Id
    notice: Id
    bank_reference: Id | None = None
    reason: Text = ""
    returned_at: Moment | None = None


class ResolveTransfer(Command):
    """Two persons end an unclear transfer with evidence from the bank's statement."""

    disbursement: Id
    outcome: Literal["confirmed", "refused"]
    rail: Id | None = None
    bank_reference: Id | None = None
    evidence: Text = Field(min_length=1)
    by: tuple[Id, Id]

    @model_validator(mode="after")
    def _two_persons(self) -> "ResolveTransfer":
        if self.by[0].strip().casefold() == self.by[1].strip().casefold():
            raise ValueError("by: two different persons sign for a resolved transfer")
        return self


class InquireAccount(Command):
    inquiry: Id
    partner: Id
    environment: Environment
    destination: Destination


class _AccountInquired(Part):
    inquiry: Id
    account_name: Sealed
    match: Literal["exact", "close", "none", "not_asked"]


class _AccountInquiryFailed(Part):
    inquiry: Id
    code: Reason
    detail: Text = ""


class ConcludeInquiry(Command, _AccountInquired):
    """The bank named the account's owner."""


class FailInquiry(Command, _AccountInquiryFailed):
    """The bank refused to name an owner, or did not answer in time."""


# --- events ----------------------------------------------------------------------------------


class _Picture(Event, Disbursement):
    """An event about a life is its picture under the name of what happened."""


class DisbursementAccepted(_Picture):
    pass


class DisbursementScheduled(_Picture):
    pass


class DisbursementInstructed(_Picture):
    pass


class DisbursementSucceeded(_Picture):
    pass


class DisbursementFailed(_Picture):
    pass


class DisbursementCancelled(_Picture):
    pass


class DisbursementReversed(_Picture):
    pass


class TransferContradicted(Event):
    """The bank says the opposite of what it said before; a person is paged."""

    disbursement: Id
    status: Status
    said: Reason
    detail: Text = ""


class CommandRefused(Event):
    """A command that no row of the table allows; it changed nothing and carries no status."""

    disbursement: Id
    command: Id
    command_type: Id
    reason: Reason
    detail: Text = ""


class AccountInquired(Event, _AccountInquired):
    pass


class AccountInquiryFailed(Event, _AccountInquiryFailed):
    pass
