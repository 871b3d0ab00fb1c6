"""Indonesian mobile numbers, and numbers that people may see only in part.

Inside, a phone is ``62`` and its digits; a wallet's virtual account wants ``08…`` behind a prefix.
"""

import re

# Mobile numbers begin with 8 behind the country's 62 and have 9 to 12 digits there (the national
# numbering plan: 10 to 13 with the leading 0).
_MOBILE = re.compile(r"8[1-9][0-9]{7,10}", re.ASCII)
_ORNAMENT = re.compile(r"[\s().\-]+")
_LONGEST_WRITTEN = 32

_MASK = "****"
_PHONE_ENDS = 4
_ACCOUNT_END = 4


class PhoneError(ValueError):
    """Not an Indonesian mobile number. Never shows the number."""


def normalised(text: str) -> str:
    """``0812-3456-7890``, ``62812…`` or ``+62 812…`` as ``6281234567890``.

    Raises:
        PhoneError: see there.
    """
    digits = _ORNAMENT.sub("", text) if len(text) <= _LONGEST_WRITTEN else ""
    for prefix in ("+62", "62", "0"):
        if digits.startswith(prefix) and _MOBILE.fullmatch(digits.removeprefix(prefix)):
            return "62" + digits.removeprefix(prefix)
    raise PhoneError("not an Indonesian mobile number: write it as 08…, 62… or +62…")


def local_form(text: str) -> str:
    """Any of the forms as ``081234567890``.

    Raises:
        PhoneError: see there.
    """
    return "0" + normalised(text).removeprefix("62")


def masked_phone(text: str) -> str:
    """``0812****7890``: as the store prints it, and of the same length for every number.

    Raises:
        PhoneError: see there.
    """
    local = local_form(text)
    return local[:_PHONE_ENDS] + _MASK + local[-_PHONE_ENDS:]


def masked_account(number: str) -> str:
    """``****6789``: the last four, fewer of a short number, so that half stays hidden."""
    shown = min(_ACCOUNT_END, len(number) // 2)
    return _MASK + number[len(number) - shown :]
