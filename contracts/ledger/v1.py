"""What is asked of the ledger, and what it answers. All are keyed by the account id.

The envelope's ``sequence`` of an event is the number of the account's newest entry.
"""

from contracts.message import Command, Event
from contracts.money import Amount, Balance, Rupiah
from contracts.terms import AccountId, Id, Reason, Scheme, Text


class OpenAccount(Command):
    account: AccountId
    scheme: Scheme
    credit_limit: Rupiah = 0


class SetTerms(Command):
    account: AccountId
    scheme: Scheme
    credit_limit: Rupiah = 0


class CreditDeposit(Command):
    """A top-up, sandbox grant or invoice payment; unique per account by its reference."""

    account: AccountId
    amount: Amount
    external_reference: Id


class HoldFunds(Command):
    """Set ``amount + fee`` aside for the life ``hold``, which ``holder`` (a service) owns."""

    account: AccountId
    hold: Id
    holder: Id
    amount: Amount
    fee: Rupiah


class SettleHold(Command):
    """The money left through ``rail``."""

    account: AccountId
    hold: Id
    rail: Id


class ReleaseHold(Command):
    account: AccountId
    hold: Id
    reason: Reason


class ReturnFunds(Command):
    """Compensate a settled hold: the money came back through ``rail``."""

    account: AccountId
    hold: Id
    rail: Id
    return_fee: bool
    reason: Reason


class ThawAccount(Command):
    """A person has looked into the fault that froze the account."""

    account: AccountId
    by: Text
    reason: Text


class _Balances(Event):
    """The account after the entry whose number is the envelope's ``sequence``."""

    account: AccountId
    available: Balance
    held: Rupiah


class AccountOpened(_Balances):
    scheme: Scheme
    credit_limit: Rupiah


class TermsSet(_Balances):
    scheme: Scheme
    credit_limit: Rupiah


class DepositCredited(_Balances):
    amount: Amount
    external_reference: Id


class FundsHeld(_Balances):
    hold: Id
    holder: Id
    amount: Amount
    fee: Rupiah


class HoldRefused(_Balances):
    hold: Id
    holder: Id
    reason: Reason


class HoldSettled(_Balances):
    hold: Id
    amount: Amount
    fee: Rupiah
    rail: Id


class HoldReleased(_Balances):
    hold: Id
    amount: Amount
    fee: Rupiah
    reason: Reason


class FundsReturned(_Balances):
    hold: Id
    amount: Amount
    fee: Rupiah
    fee_returned: bool
    rail: Id
    reason: Reason


class AccountFrozen(_Balances):
    reason: Text


class AccountThawed(_Balances):
    by: Text
    reason: Text


class CommandRefused(Event):
    """A command that no row of the tables allows; it changed nothing."""

    account: AccountId
    command: Id
    command_type: Id
    reason: Reason
    detail: Text = ""
