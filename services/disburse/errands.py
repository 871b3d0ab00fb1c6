"""How money is sent: signed, noted, called once, and asked about ever after.

The order of steps is what keeps a transfer from being paid twice (docs/architecture.md §2, "Sending
money"): a worker signs, then notes the next ``sending`` under its lease and only while the transfer
is not closed, then calls. Who comes later and finds a sending noted asks the bank instead.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

import structlog

from contracts.disburse.v1 import (
    TransferConfirmed,
    TransferRefused,
    TransferReturned,
    TransferUnclear,
)
from contracts.envelope import now_ms
from contracts.message import Message
from contracts.phones import PhoneError
from contracts.sealed import Sealer
from services._kit.errands import Again, Conclusion, Done, Lane, Outcome
from services._kit.ports import Errand, ErrandStore
from services.disburse.life import Transfer
from services.disburse.rails import (
    Beneficiary,
    Confirmed,
    InquiryRefused,
    Named,
    NotFound,
    Order,
    Rail,
    RailUnavailable,
    Refused,
    Returned,
    TokenExpired,
    TokenRefused,
    Unclear,
    names,
)
from services.disburse.store import Notes
from services.disburse.ways import beneficiary

NUMBER_PURPOSE: Final = "account_number"
RESENDS_MAX: Final = 2
_SIGNED_AT_MOST = 2
_PAUSE_MOST_S = 60.0
_UNKNOWN_RAIL_PAUSE_S = 15.0
_DETAIL_MAX = 500
# An attempt is made of at most this many pairs of calls, each within a third of its deadline.
_CALLS = 3

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """What ``words.job_of`` wrote: the life as far as its worker needs it."""

    life: str
    ask: int
    rail: str | None
    bank: str | None
    wallet: str | None
    number: str = field(repr=False)
    account_name: str | None = field(repr=False)
    amount: int
    name_check: str
    send_before: datetime

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            life=data["disbursement"],
            ask=data["ask"],
            rail=data["rail"],
            bank=data["bank"],
            wallet=data["wallet"],
            number=data["number"],
            account_name=data["account_name"],
            amount=data["amount"],
            name_check=data["name_check"],
            send_before=datetime.fromisoformat(data["send_before"]),
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One lease of one errand: the job, its rail, and the transfer as it was last read."""

    errand: Errand
    job: Job
    rail: Rail
    transfer: Transfer
    to: Beneficiary
    lease_ends: float

    def order(self, sent_at: datetime) -> Order:
        return Order(self.job.life, self.job.amount, self.to, sent_at)


class Courier:
    """Performs ``send`` and ``ask``, which differ only in the number of the question.

    Args:
        rails: by name.
        notes: what was sent before, and where the next sending is noted.
        errands: tells whether a lease still holds.
        sealer: opens account numbers.
        lane: the policy of a lane.
        clock: the time, as noted in ``sent_at``.
        ticks: a monotonic clock in seconds, for the lease.
    """

    def __init__(
        self,
        rails: Mapping[str, Rail],
        notes: Notes,
        errands: ErrandStore,
        sealer: Sealer,
        lane: Callable[[str], Lane],
        *,
        clock: Callable[[], datetime] = now_ms,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rails = rails
        self._notes = notes
        self._errands = errands
        self._sealer = sealer
        self._lane = lane
        self._clock = clock
        self._ticks = ticks

    async def pursue(self, errand: Errand) -> Outcome:
        """Send if nothing was ever sent, else ask."""
        lease_ends = self._ticks() + self._lane(errand.lane).lease_s
        job = Job.of(errand.data)
        transfer = await self._notes.transfer(job.life)
        if transfer is None or transfer.closed is not None:
            return Done()  # the life has ended meanwhile
        if transfer.sending == 0:
            if job.rail is None:
                return _refused(job, 0, "CHANNEL_NOT_SUPPORTED", "no rail serves the destination")
            if self._clock() >= job.send_before:
                return _refused(job, 0, "BANK_UNAVAILABLE", "not sent before its time ran out")
        rail = self._rails.get(job.rail or "")
        if rail is None:
            # Another process may know it, for example during a deploy.
            log.error("a rail is not in the settings", rail=job.rail, disbursement=job.life)
            return Again(_UNKNOWN_RAIL_PAUSE_S, "unknown rail")
        number = self._sealer.open(job.number, NUMBER_PURPOSE)
        try:
            to = beneficiary(job.bank or "", job.wallet, number, job.account_name)
        except (PhoneError, KeyError) as error:
            if transfer.sending == 0:
                return _refused(job, 0, "INVALID_DESTINATION", type(error).__name__)
            raise
        attempt = Attempt(errand, job, rail, transfer, to, lease_ends)
        return await (self._first(attempt) if transfer.sending == 0 else self._ask(attempt))

    async def _first(self, attempt: Attempt) -> Outcome:
        if attempt.job.name_check == "strict":
            stop = await self._check_name(attempt)
            if stop is not None:
                return stop
        return await self._send(attempt, resend=False)

    async def _check_name(self, attempt: Attempt) -> Outcome | None:
        """None: it is the name that the partner expects."""
        job = attempt.job
        answer = await attempt.rail.inquire(attempt.to, f"{job.life}-name")
        if isinstance(answer, Named):
            found = names.match(job.account_name or "", answer.account_name, wallet=job.wallet)
            if found == "exact":
                return None
            return _refused(job, 0, "ACCOUNT_NAME_MISMATCH", f"the names match: {found}")
        if isinstance(answer, InquiryRefused):
            return _refused(job, 0, answer.code, answer.reason_text)
        return Again(_pause_s(attempt.errand), answer.reason)

    async def _send(self, attempt: Attempt, *, resend: bool) -> Outcome:
        rail = attempt.rail
        never_sent = attempt.transfer.sending == 0
        for _ in range(_SIGNED_AT_MOST):
            sent_at = self._clock()
            try:
                signed = await rail.sign(attempt.order(sent_at))
            except RailUnavailable as error:
                return self._unsigned(attempt, error, never_sent=never_sent)
            if not await self._errands.still_mine(attempt.errand):
                # Never Done: it would delete a row that nobody else has leased yet.
                return Again(1.0, "the lease ran out before the call")
            seen = attempt.transfer
            noted = await self._notes.note_sending(seen, sent_at, resend=resend)
            if noted is None:
                return Again(1.0, "the life has ended, or another has noted a sending")
            attempt, resend = replace(attempt, transfer=noted), False
            if attempt.lease_ends - self._ticks() < rail.attempt_deadline_s / _CALLS:
                return _unclear(attempt, "stalled between noting and calling; not called")
            answer = await rail.call(signed)
            if not isinstance(answer, TokenExpired):
                return _concluded(attempt, answer)
        return _token_refused(attempt, never_sent=never_sent)

    def _unsigned(self, attempt: Attempt, error: RailUnavailable, *, never_sent: bool) -> Outcome:
        if isinstance(error, TokenRefused):
            log.error("a bank refuses our key", rail=attempt.rail.name, reason=str(error))
        if attempt.transfer.sending == 0:
            return Again(_pause_s(attempt.errand), str(error))
        return _token_refused(attempt, never_sent=never_sent)

    async def _ask(self, attempt: Attempt) -> Outcome:
        transfer, rail = attempt.transfer, attempt.rail
        assert transfer.sent_at is not None, "what was sent has a time"
        asked_at = self._clock()
        answer = await rail.ask(attempt.order(transfer.sent_at))
        if not isinstance(answer, NotFound):
            return _concluded(attempt, answer)
        if asked_at > transfer.sent_at + timedelta(seconds=rail.not_found_after_s):
            detail = f"the bank does not know it: {answer.response_code}"
            return _refused(attempt.job, transfer.sending, "BANK_UNAVAILABLE", detail)
        may_resend = rail.dedupes_reference and transfer.resends < RESENDS_MAX
        if may_resend and asked_at < attempt.job.send_before:
            return await self._send(attempt, resend=True)
        return _unclear(attempt, "not found, but it may still be under way")


def _concluded(attempt: Attempt, answer: Confirmed | Refused | Unclear | Returned) -> Outcome:
    job, sending = attempt.job, attempt.transfer.sending
    rail = attempt.rail.name
    if isinstance(answer, Refused):
        return _refused(job, sending, answer.code, f"{answer.response_code} {answer.reason_text}")
    if isinstance(answer, Unclear):
        return _unclear(attempt, f"{answer.response_code or ''} {answer.reason}".strip())
    if isinstance(answer, Returned):
        returned = TransferReturned(
            disbursement=job.life,
            rail=rail,
            notice=f"status-{answer.bank_reference or job.life}",
            bank_reference=answer.bank_reference,
            reason=answer.reason_text[:_DETAIL_MAX],
            returned_at=answer.returned_at,
        )
        return _says("TransferReturned", returned)
    confirmed = TransferConfirmed(
        disbursement=job.life,
        sending=sending,
        rail=rail,
        bank_reference=answer.bank_reference,
        trace_no=answer.trace_no,
        transferred_at=answer.transferred_at or attempt.transfer.sent_at,
    )
    return _says("TransferConfirmed", confirmed)


def _token_refused(attempt: Attempt, *, never_sent: bool) -> Outcome:
    """A refused token is a no to that sending alone; what was sent before may still be paid."""
    if never_sent:
        sending = attempt.transfer.sending
        return _refused(attempt.job, sending, "BANK_UNAVAILABLE", "the bank refuses its tokens")
    return _unclear(attempt, "the bank refuses its tokens")


def _refused(job: Job, sending: int, code: str, detail: str) -> Done:
    message = TransferRefused(
        disbursement=job.life,
        sending=sending,
        rail=job.rail,
        code=code,
        detail=detail[:_DETAIL_MAX],
    )
    return _says(f"TransferRefused/{sending}", message)


def _unclear(attempt: Attempt, reason: str) -> Done:
    job = attempt.job
    message = TransferUnclear(
        disbursement=job.life,
        sending=attempt.transfer.sending,
        ask=job.ask,
        rail=attempt.rail.name,
        reason=reason[:_DETAIL_MAX],
    )
    return _says(f"TransferUnclear/{job.ask}", message)


def _says(name: str, message: Message) -> Done:
    return Done([Conclusion(name, message)])


def _pause_s(errand: Errand) -> float:
    return min(2.0 ** min(errand.attempt, 10), _PAUSE_MOST_S)
