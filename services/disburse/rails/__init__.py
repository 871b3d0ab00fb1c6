"""A rail is one way to a bank: it signs and calls, and says what the bank's answer means.

A rail knows nothing of lives, messages or the ledger, and keeps no state that matters: what it was
asked and what it heard is the caller's to write down. Every answer is a value. Only one exception
leaves it, ``RailUnavailable``, and it means that no order was given to the bank.

Sending is two steps, because the worker notes durably that it is about to call in between, and
never signs twice for one noted sending (docs/architecture.md §2, "Sending money"):

    signed = await rail.sign(order)   # harmless: may fetch a token
    ...                               # note ``sending`` and ``sent_at``
    answer = await rail.call(signed)  # money may move from here on, whatever the answer

``ask``, ``inquire`` and ``statement`` move nothing and may renew their token and repeat by
themselves. Read ``answers`` next (what a bank's words mean), then ``snap`` (how it is called).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

FailureCode = Literal[
    "INVALID_DESTINATION",
    "ACCOUNT_INACTIVE",
    "DESTINATION_LIMIT_EXCEEDED",
    "CHANNEL_NOT_SUPPORTED",
    "BANK_UNAVAILABLE",
    "REJECTED_BY_BANK",
    "SUSPECTED_FRAUD",
]


class RailUnavailable(Exception):  # noqa: N818 - an outage, named as what it is
    """The bank gave no token or no statement; no order has reached it. Try later."""


class TokenRefused(RailUnavailable):
    """The bank knows neither our client id nor our key: it will not heal without a person."""


@dataclass(frozen=True, slots=True)
class Beneficiary:
    """``bank_bic`` keys the bank; ``account_name`` is None when the partner gave none."""

    bank_bic: str
    account_number: str = field(repr=False)
    account_name: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Order:
    """One transfer. ``reference`` is the public id, the same for every sending of a life."""

    reference: str
    amount: int
    destination: Beneficiary
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire. ``body`` is what was signed, to the byte."""

    service: str
    path: str
    external_id: str
    expires_at: datetime
    token: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """An order that is ready to be called, once."""

    order: Order
    request: Request


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The bank has executed. What it did not say is None."""

    bank_reference: str | None = None
    trace_no: str | None = None
    transferred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A definite no: no money has moved and none will."""

    code: FailureCode
    reason_text: str
    response_code: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nobody knows whether money moved: ask, never send again."""

    reason: str
    response_code: str | None = None


@dataclass(frozen=True, slots=True)
class TokenExpired:
    """The token was refused before the order was looked at; sign again as a *new* sending.

    The rail has dropped the token. Bound the repeats: a bank that refuses every token says so
    here for ever.
    """

    response_code: str | None = None


@dataclass(frozen=True, slots=True)
class NotFound:
    """The bank does not know the reference *yet*; what that proves depends on when it was asked."""

    response_code: str


@dataclass(frozen=True, slots=True)
class Returned:
    """The bank executed and gave the money back."""

    bank_reference: str | None
    returned_at: datetime | None
    reason_text: str


@dataclass(frozen=True, slots=True)
class Named:
    account_name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class InquiryRefused:
    code: FailureCode
    reason_text: str
    response_code: str


@dataclass(frozen=True, slots=True)
class InquiryUnclear:
    reason: str
    response_code: str | None = None


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line of the account's statement.

    ``reference`` is ours if the bank repeats it; ``amount`` is None if it is not whole rupiah
    (interest, tax). A CREDIT with our reference is money that came back.
    """

    kind: Literal["DEBIT", "CREDIT"]
    amount: int | None
    reference: str | None
    bank_reference: str | None
    at: datetime
    remark: str = field(default="", repr=False)


SendAnswer = Confirmed | Refused | Unclear | TokenExpired
StatusAnswer = Confirmed | Refused | Unclear | NotFound | Returned
InquiryAnswer = Named | InquiryRefused | InquiryUnclear
Answer = SendAnswer | StatusAnswer | InquiryAnswer


class Rail(Protocol):
    """One way to a bank; one lane. Made once per process and closed with ``aclose``."""

    @property
    def name(self) -> str: ...

    @property
    def dedupes_reference(self) -> bool:
        """It refuses *every* repeated reference, also one that it refused before."""

    @property
    def concurrency(self) -> int:
        """Calls at once in this lane, over all processes."""

    @property
    def not_found_after_s(self) -> float:
        """After a sending's ``sent_at``, when "not found" means that it never happened."""

    @property
    def attempt_deadline_s(self) -> float:
        """Sum of all deadlines of the longest attempt; a lease must outlive it.

        The longest is: inquire, sign, call, and sign and call again after ``TokenExpired``.
        """

    async def sign(self, order: Order) -> SignedRequest:
        """Raises ``RailUnavailable`` when there is no token to sign with."""

    async def call(self, signed: SignedRequest) -> SendAnswer: ...

    async def ask(self, order: Order) -> StatusAnswer:
        """What became of an order; ``order`` as it was sent."""

    async def inquire(self, destination: Beneficiary, reference: str) -> InquiryAnswer: ...

    async def statement(self, since: datetime, until: datetime) -> list[StatementLine]:
        """All lines of the period, oldest pages first; raises ``RailUnavailable``."""

    async def aclose(self) -> None: ...
