"""What a SNAP BI answer means. One table each for sending, asking and inquiring.

A responseCode is HTTP status (3), service code (2), case code (2); the tables write it as
``403xx14``. Only what a table lists as a definite no is ``Refused``; a code that is not listed, an
answer that contradicts itself, and silence are ``Unclear``: nobody loses money by asking again.
Codes and their meaning: SNAP BI 1.0.2, "Daftar Response Code".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from contracts.money import from_snap_value
from services.disburse.rails import (
    Confirmed,
    FailureCode,
    InquiryAnswer,
    InquiryRefused,
    InquiryUnclear,
    Named,
    NotFound,
    Order,
    Refused,
    Returned,
    SendAnswer,
    StatusAnswer,
    TokenExpired,
    Unclear,
)

Definite = Literal["confirmed", "token_expired"]


@dataclass(frozen=True, slots=True)
class No:
    """A definite no, under the failure code that the partner sees."""

    code: FailureCode


@dataclass(frozen=True, slots=True)
class Ask:
    """Unclear, and why."""

    reason: str


# What is listed here as No was refused before anything was executed.
# Not listed on purpose, so Unclear: 403xx00 (expired: when?), 403xx16 (suspended, not ended),
# 404xx00, 404xx01 and 404xx04 (they speak of a transaction that exists somewhere).
# fmt: off
REFUSALS: Final[Mapping[str, No]] = {
    "400xx00": No("REJECTED_BY_BANK"),            # bad request
    "400xx01": No("REJECTED_BY_BANK"),            # invalid field format
    "400xx02": No("REJECTED_BY_BANK"),            # missing mandatory field
    "403xx01": No("BANK_UNAVAILABLE"),            # feature not allowed (cut-off)
    "403xx02": No("DESTINATION_LIMIT_EXCEEDED"),  # over the transaction amount limit
    "403xx03": No("SUSPECTED_FRAUD"),
    "403xx04": No("BANK_UNAVAILABLE"),            # our activity count of today is used up
    "403xx05": No("REJECTED_BY_BANK"),            # do not honour
    "403xx06": No("BANK_UNAVAILABLE"),            # feature not allowed at this time
    "403xx07": No("ACCOUNT_INACTIVE"),            # blocked
    "403xx08": No("ACCOUNT_INACTIVE"),            # expired
    "403xx09": No("ACCOUNT_INACTIVE"),            # dormant
    "403xx14": No("BANK_UNAVAILABLE"),            # ours at the bank is short, not the partner's
    "403xx15": No("REJECTED_BY_BANK"),            # transaction not permitted
    "403xx18": No("ACCOUNT_INACTIVE"),            # inactive account
    "403xx23": No("DESTINATION_LIMIT_EXCEEDED"),  # over the account's limit
    "404xx02": No("CHANNEL_NOT_SUPPORTED"),       # invalid routing
    "404xx03": No("CHANNEL_NOT_SUPPORTED"),       # bank not supported by the switch
    "404xx09": No("CHANNEL_NOT_SUPPORTED"),       # no issuer
    "404xx11": No("INVALID_DESTINATION"),         # invalid account
    "404xx12": No("INVALID_DESTINATION"),         # invalid virtual account (a wallet's phone)
    "404xx13": No("REJECTED_BY_BANK"),            # invalid amount
    "404xx16": No("BANK_UNAVAILABLE"),            # partner not found: our own set-up
    "404xx19": No("INVALID_DESTINATION"),         # virtual account expired
    "405xx00": No("CHANNEL_NOT_SUPPORTED"),       # function not supported
    "405xx01": No("CHANNEL_NOT_SUPPORTED"),       # operation not allowed
}

SEND: Final[Mapping[str, Definite | No | Ask]] = {
    "200xx00": "confirmed",
    "202xx00": Ask("in progress"),
    "401xx00": "token_expired",                   # unauthorised
    "401xx01": "token_expired",                   # invalid token (B2B)
    "401xx03": "token_expired",                   # token not found (B2B)
    "404xx18": Ask("inconsistent request"),       # counts as a success for transfers
    "409xx00": Ask("external id re-used"),        # ours is fresh: the bank saw this very request
    "409xx01": Ask("duplicate reference"),        # the first one stands
    "429xx00": Ask("too many requests"),
    "500xx00": Ask("bank error"),
    "500xx01": Ask("bank error"),
    "500xx02": Ask("bank error"),
    "504xx00": Ask("bank timed out"),
    **REFUSALS,
}

# latestTransactionStatus of a 200xx00 answer to service 36.
STATUS: Final[Mapping[str, Literal["confirmed", "returned", "not_found"] | No | Ask]] = {
    "00": "confirmed",
    "01": Ask("initiated"),
    "02": Ask("paying"),
    "03": Ask("pending"),
    "04": "returned",                             # refunded
    "05": No("REJECTED_BY_BANK"),                 # cancelled
    "06": No("REJECTED_BY_BANK"),                 # failed
    "07": "not_found",
}
STATUS_NOT_FOUND: Final = "404xx01"

# An inquiry moves nothing: a no is a no about the account.
INQUIRY: Final[Mapping[str, Literal["named"] | No]] = {
    "200xx00": "named",
    **REFUSALS,
    "400xx01": No("INVALID_DESTINATION"),         # only the account can be malformed
    "404xx01": No("INVALID_DESTINATION"),
}
# fmt: on

_RESPONSE_CODE = re.compile(r"[1-5][0-9]{6}", re.ASCII)
_LONG_NUMBER = re.compile(r"\d{6,}")
_TEXT_MAX, _ID_MAX, _NAME_MAX = 200, 64, 200


@dataclass(frozen=True, slots=True)
class Reply:
    """What came over the wire; ``fields`` is None if the body is not a JSON object."""

    http_status: int
    service: str
    fields: Mapping[str, Any] | None

    @property
    def response_code(self) -> str | None:
        """The responseCode if it is one at all."""
        code = str(self.fields.get("responseCode", "")) if self.fields is not None else ""
        return code if _RESPONSE_CODE.fullmatch(code) else None

    @property
    def case(self) -> str | None:
        """The key into the tables; None if HTTP status, service and responseCode disagree.

        A 401 may name another service: gateways in front of a bank refuse tokens by themselves.
        """
        code = self.response_code
        if code is None or code[:3] != str(self.http_status):
            return None
        if code[3:5] != self.service and not code.startswith("401"):
            return None
        return f"{code[:3]}xx{code[5:]}"

    def text(self, name: str, length_max: int = _ID_MAX) -> str | None:
        """A field as text, None if it is absent, empty or neither text nor a number."""
        value = (self.fields or {}).get(name)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            return None
        return str(value).strip()[:length_max] or None

    @property
    def message(self) -> str:
        """The bank's own words. They may repeat an account number, so long numbers are masked."""
        return _LONG_NUMBER.sub("******", self.text("responseMessage", _TEXT_MAX) or "")


def send_answer(reply: Reply, order: Order, now: datetime) -> SendAnswer:
    """The answer to a transfer (services 17 and 18)."""
    case = reply.case
    if case is None:
        return _unreadable(reply)
    meaning = SEND.get(case, Ask("unknown code"))
    if isinstance(meaning, No):
        return Refused(meaning.code, reply.message, reply.response_code or "")
    if isinstance(meaning, Ask):
        return Unclear(meaning.reason, reply.response_code)
    if meaning == "token_expired":
        return TokenExpired(reply.response_code)
    if _of_another(reply, order, "partnerReferenceNo"):
        return Unclear("answer about another transfer", reply.response_code)
    return Confirmed(
        bank_reference=reply.text("referenceNo"),
        trace_no=reply.text("traceNo"),
        transferred_at=moment_of(reply.text("transactionDate")) or now,
    )


def status_answer(reply: Reply, order: Order) -> StatusAnswer:
    """The answer to a status inquiry (service 36)."""
    case = reply.case
    if case is None:
        return _unreadable(reply)
    code = reply.response_code or ""
    if case == STATUS_NOT_FOUND:
        return NotFound(code)
    if case != "200xx00":
        return Unclear("status not answered", code)
    if _of_another(reply, order, "originalPartnerReferenceNo"):
        return Unclear("answer about another transfer", code)
    return _latest_status(reply, code)


def _latest_status(reply: Reply, code: str) -> StatusAnswer:
    status = reply.text("latestTransactionStatus") or ""
    meaning = STATUS.get(status, Ask("unknown status"))
    said = reply.text("transactionStatusDesc", _TEXT_MAX)
    reason = _LONG_NUMBER.sub("******", said) if said else reply.message
    at = moment_of(reply.text("transactionDate"))
    if isinstance(meaning, Ask):
        return Unclear(meaning.reason, code)
    if isinstance(meaning, No):
        return Refused(_first_no(reply, meaning).code, reason, f"{code}/{status}")
    if meaning == "not_found":
        return NotFound(f"{code}/{status}")
    bank_reference = reply.text("originalReferenceNo") or reply.text("referenceNo")
    if meaning == "returned":
        return Returned(bank_reference, at, reason)
    return Confirmed(bank_reference, reply.text("traceNo"), at)


def _first_no(reply: Reply, otherwise: No) -> No:
    """How the bank refused the transfer itself, which says more than "failed"; if it repeats it."""
    original = reply.text("originalResponseCode") or ""
    return REFUSALS.get(f"{original[:3]}xx{original[5:]}", otherwise)


def inquiry_answer(reply: Reply) -> InquiryAnswer:
    """The answer to an account inquiry (services 15 and 16)."""
    code = reply.response_code
    meaning = INQUIRY.get(reply.case or "")
    if isinstance(meaning, No):
        return InquiryRefused(meaning.code, reply.message, code or "")
    name = reply.text("beneficiaryAccountName", _NAME_MAX)
    if meaning == "named" and name:
        return Named(name)
    return InquiryUnclear("no name in the answer" if meaning else "unknown answer", code)


def _unreadable(reply: Reply) -> Unclear:
    if reply.response_code is None:
        return Unclear(f"HTTP {reply.http_status} without a responseCode")
    return Unclear(f"HTTP {reply.http_status} disagrees with its code", reply.response_code)


def _of_another(reply: Reply, order: Order, name: str) -> bool:
    """Whether the answer names another reference or amount than the order's.

    Both are optional in an answer; what is there must fit, or the answer is not ours.
    """
    reference = reply.text(name)
    if reference is not None and reference != order.reference:
        return True
    amount = (reply.fields or {}).get("amount")
    if not isinstance(amount, Mapping) or "value" not in amount:
        return False
    return whole_rupiah(amount["value"]) != order.amount


def whole_rupiah(value: object) -> int | None:
    """``"10000.00"`` as 10000; None if it is anything but whole rupiah."""
    try:
        return from_snap_value(str(value))
    except ValueError:
        return None


def moment_of(text: str | None) -> datetime | None:
    """A bank's time; None without an offset, because a guess would be seven hours wrong."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None
