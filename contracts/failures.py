"""Failure codes that partners see, each with what to do about it (one table for all services)."""

from typing import Literal, NamedTuple

Retry = Literal["no", "yes", "after_top_up", "later"]


class FailureCode(NamedTuple):
    """``retry`` is for a program, ``message`` for a person."""

    retry: Retry
    message: str


# fmt: off
FAILURES: dict[str, FailureCode] = {
    "INSUFFICIENT_BALANCE":       FailureCode("after_top_up", "The deposit does not cover amount and fee. Top up, then send a new request."),
    "CREDIT_LIMIT_EXCEEDED":      FailureCode("yes",          "Amount and fee exceed what is left of the credit limit."),
    "INVALID_DESTINATION":        FailureCode("no",           "The bank knows no such account."),
    "ACCOUNT_FROZEN":             FailureCode("later",        "Your account is frozen. Contact support."),
    "UNKNOWN_ACCOUNT":            FailureCode("later",        "Your account is not open yet. Contact support."),
    "ACCOUNT_INACTIVE":           FailureCode("no",           "The beneficiary's account is dormant or closed."),
    "ACCOUNT_NAME_MISMATCH":      FailureCode("no",           "The account belongs to another name."),
    "DESTINATION_LIMIT_EXCEEDED": FailureCode("no",           "The beneficiary's account cannot receive this amount."),
    "AMOUNT_BELOW_MINIMUM":       FailureCode("no",           "The amount is below the channel's minimum."),
    "AMOUNT_ABOVE_MAXIMUM":       FailureCode("no",           "The amount is above the channel's maximum."),
    "AMOUNT_NOT_A_MULTIPLE":      FailureCode("no",           "The amount is not a multiple of the channel's step."),
    "CHANNEL_NOT_SUPPORTED":      FailureCode("no",           "No rail serves this bank or wallet."),
    "BANK_UNAVAILABLE":           FailureCode("later",        "The bank cannot be reached. Try again in one to three hours."),
    "REJECTED_BY_BANK":           FailureCode("later",        "The bank rejected the transfer. Check the details first."),
    "DUPLICATE_REFERENCE":        FailureCode("no",           "The reference was used before."),
    "SUSPECTED_FRAUD":            FailureCode("no",           "The bank suspects fraud."),
    "RETURNED_BY_BANK":           FailureCode("later",        "The bank gave the money back after it had accepted the transfer."),
    "REVERSED_BY_STORE":          FailureCode("yes",          "The till did not hear in time that it may pay, and took the redemption back. Send a new request."),
}
# fmt: on

# A code from a newer service than this one: shown as it is, never an error.
_UNKNOWN = FailureCode("later", "See the failure code.")


def failure(code: str) -> FailureCode:
    return FAILURES.get(code, _UNKNOWN)
