"""The accounts that misbehave: one table, which the bank obeys and the documentation shows.

The magic is the beginning of the account number. An e-wallet is paid through a virtual account
(prefix + phone), so there it is what follows the operator's four digits of the phone: the phone
0812 **123456** 7 of GoPay is the account 70001 0812 123456 7 (or 70001 62812 123456 7).
"""

import re
from dataclasses import dataclass
from typing import Literal

Behaviour = Literal["pay", "refuse", "return", "pend", "execute_then_hang", "lose_and_hang"]


@dataclass(frozen=True, slots=True)
class Magic:
    prefix: str
    behaviour: Behaviour
    case: str
    """The answer to a transfer: HTTP status, ``xx`` for the service code, and SNAP's case."""
    status: str
    """What a later status inquiry says: latestTransactionStatus values in order, or a code."""
    ends_as: str
    """How the platform's disbursement ends."""
    story: str


# fmt: off
MAGIC = (
    Magic("123456", "refuse",            "403xx06", "06",      "failed BANK_UNAVAILABLE",
          "the bank is closed at this time, and definitely did not pay"),
    Magic("999999", "refuse",            "403xx05", "06",      "failed REJECTED_BY_BANK",
          "the bank does not honour it"),
    Magic("121212", "refuse",            "404xx11", "06",      "failed INVALID_DESTINATION",
          "there is no such account; an account inquiry says the same"),
    Magic("654321", "return",            "200xx00", "00, 04",  "succeeded, then reversed",
          "paid, and returned by the bank after return_after_s"),
    Magic("131313", "pend",              "202xx00", "03, 00",  "succeeded",
          "in progress, and confirmed after pending_s"),
    Magic("141414", "execute_then_hang", "504xx00", "00",      "succeeded",
          "paid at once, but the answer hangs for hang_s: the dangerous one"),
    Magic("151515", "lose_and_hang",     "504xx00", "404xx01", "failed BANK_UNAVAILABLE",
          "hangs for hang_s, and is neither executed nor remembered"),
)
ORDINARY = \
    Magic("",       "pay",               "200xx00", "00",      "succeeded",
          "paid at once, with a name made from the number")
# fmt: on

_VIRTUAL_ACCOUNT = re.compile(r"\d{3,6}(?:0|62)8\d\d(\d+)")


def magic_of(account: str) -> Magic:
    """What the beneficiary account makes the bank do."""
    phone = _VIRTUAL_ACCOUNT.fullmatch(account)
    for magic in MAGIC:
        if account.startswith(magic.prefix) or (phone and phone[1].startswith(magic.prefix)):
            return magic
    return ORDINARY
