"""Whose account is it? Moves nothing, is asked once, and not when nobody waits any more."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Literal

from contracts.disburse.v1 import ConcludeInquiry, FailInquiry
from contracts.envelope import now_ms
from contracts.phones import PhoneError
from contracts.sealed import Sealer
from services._kit.errands import Conclusion, Done, Outcome
from services._kit.ports import Errand
from services.disburse.errands import NUMBER_PURPOSE
from services.disburse.rails import InquiryRefused, Named, Rail, names
from services.disburse.ways import beneficiary

NAME_PURPOSE: Final = "account_name"
Match = Literal["exact", "close", "none", "not_asked"]


class Inquirer:
    """Performs ``inquire``."""

    def __init__(
        self,
        rails: Mapping[str, Rail],
        sealer: Sealer,
        *,
        clock: Callable[[], datetime] = now_ms,
    ) -> None:
        self._rails = rails
        self._sealer = sealer
        self._clock = clock

    async def inquire(self, errand: Errand) -> Outcome:
        data = errand.data
        if data["rail"] is None:
            return _failed(data["inquiry"], "CHANNEL_NOT_SUPPORTED", "no rail serves it")
        rail = self._rails.get(data["rail"])
        if rail is None or self._clock() >= datetime.fromisoformat(data["answer_by"]):
            return _failed(data["inquiry"], "BANK_UNAVAILABLE", "not asked in time")
        number = self._sealer.open(data["number"], NUMBER_PURPOSE)
        try:
            to = beneficiary(data["bank"], data["wallet"], number, data["account_name"])
        except (PhoneError, KeyError):
            return _failed(data["inquiry"], "INVALID_DESTINATION", "not a wallet's phone")
        answer = await rail.inquire(to, f"inq-{errand.id}")
        if isinstance(answer, InquiryRefused):
            return _failed(data["inquiry"], answer.code, answer.reason_text)
        if not isinstance(answer, Named):
            return _failed(data["inquiry"], "BANK_UNAVAILABLE", answer.reason)
        return self._named(data, answer.account_name)

    def _named(self, data: Mapping[str, str | None], found: str) -> Outcome:
        expected = data["account_name"]
        match: Match = "not_asked"
        if expected is not None:
            match = names.match(expected, found, wallet=data["wallet"])
        message = ConcludeInquiry(
            inquiry=data["inquiry"] or "",
            account_name=self._sealer.seal(found, NAME_PURPOSE),
            match=match,
        )
        return Done([Conclusion("ConcludeInquiry", message)])


def _failed(inquiry: str, code: str, detail: str) -> Done:
    message = FailInquiry(inquiry=inquiry, code=code, detail=detail[:500])
    return Done([Conclusion("FailInquiry", message)])
