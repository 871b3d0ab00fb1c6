"""``/v1/retail/…``: what a store's till asks, and how it is answered within its thirty seconds.

A yes is only ever taken from the answer to this very request, because a reversal may stand in the
line before it. What is kept in the view answers the status, and reversals that were done before.
"""

import time
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from contracts import phones
from contracts.cashout.keys import CodeError, PhoneKey, plain_code, store_correlation
from contracts.cashout.v1 import (
    CODE,
    InquireCode,
    InquiryAnswered,
    Receipt,
    RedeemCode,
    RedemptionAnswered,
    ReversalAnswered,
    ReverseRedemption,
)
from contracts.envelope import Envelope, now_ms
from contracts.ids import new_public_id, uuid7
from contracts.message import Message
from contracts.public import moment
from contracts.sealed import Sealer
from services._kit.failures import OutageError
from services.gateway.commands import Asked, Commands, command_record
from services.gateway.http.edge import Answer, Call, Operation
from services.gateway.http.models import Reference as ReferenceText
from services.gateway.http.problems import FieldError, Problem, from_errors
from services.gateway.http.retail_models import CodeInquiry, RedemptionRequest, ReversalRequest
from services.gateway.outlet import Outlet
from services.gateway.partners import Role
from services.gateway.references import References

ADVICE = "reverse it"
_STORE_REF: TypeAdapter[str] = TypeAdapter(ReferenceText)


class Till:
    """What all requests of stores need.

    Args:
        commands: asks the cash-out service.
        outlet: whether it can be asked at all.
        references: what was answered before.
        phone_key: hashes phones and tries.
        sealer: seals codes.
        redemption_s, reversal_s: how long a store waits for its answer.
        again_s: what was not answered meanwhile is said again.
    """

    def __init__(
        self,
        commands: Commands,
        outlet: Outlet,
        references: References,
        phone_key: PhoneKey,
        sealer: Sealer,
        *,
        redemption_s: float,
        reversal_s: float,
        again_s: float,
    ) -> None:
        self._commands = commands
        self._outlet = outlet
        self.references = references
        self.phone_key = phone_key
        self._sealer = sealer
        self.redemption_s = redemption_s
        self.reversal_s = reversal_s
        self._again_s = again_s

    def must_be_open(self) -> None:
        if not self._outlet.open:
            raise Problem("UNAVAILABLE", "Nothing was asked: do not pay.")

    def sealed(self, code: str) -> str:
        return self._sealer.seal(code, CODE)

    async def ask(
        self, message: Message, correlation: str, ends: type[Message], until_s: float
    ) -> Envelope[Any] | None:
        command = str(uuid7())
        record = command_record(message, command, now_ms(), correlation)
        asked = Asked(command, correlation, record)
        return await self._commands.insist(asked, (ends,), until_s, self._again_s)


class _ForStores(Operation):
    role: ClassVar[Role] = "store"

    def __init__(self, till: Till) -> None:
        self._till = till


class Redeem(_ForStores):
    """``POST /v1/retail/redemptions``."""

    name = "redeem_code"
    model = RedemptionRequest
    late = "REDEMPTION_UNDECIDED"

    async def __call__(self, call: Call[RedemptionRequest]) -> Answer:
        asked, till = call.asked(), self._till
        till.must_be_open()
        phone, code, chain = _phone(asked.phone), plain_code(asked.code), call.caller.account
        until_s = call.started_s + till.redemption_s
        fingerprint = till.phone_key.redemption(code, phone, asked.amount)
        message = RedeemCode(
            phone_hash=till.phone_key.phone_hash(phone),
            chain=chain,
            store_ref=asked.store_ref,
            fingerprint=fingerprint,
            code=till.sealed(code),
            amount=asked.amount,
            store_id=asked.store_id,
            terminal_id=asked.terminal_id,
            cashier_at=asked.cashier_at,
            answer_by=_moment_of(until_s),
        )
        correlation = store_correlation(chain, asked.store_ref, "redemption", fingerprint)
        event = await till.ask(message, correlation, RedemptionAnswered, until_s)
        if event is None:
            raise Problem("REDEMPTION_UNDECIDED")
        await till.references.note(event)
        said: RedemptionAnswered = event.message
        return Answer(200, _result(said.result, said.reason, said.receipt))


class Reverse(_ForStores):
    """``POST /v1/retail/reversals``: always a yes, as soon as anybody can say so."""

    name = "reverse_redemption"
    model = ReversalRequest
    late = "REVERSAL_UNANSWERED"

    async def __call__(self, call: Call[ReversalRequest]) -> Answer:
        asked, till = call.asked(), self._till
        phone, chain = _phone(asked.phone), call.caller.account
        # Nothing follows a reversal, so what is reversed here is reversed.
        effect = await self._done_before(chain, asked.store_ref)
        if effect is None:
            event = await self._asked(asked, phone, chain, call.started_s + till.reversal_s)
            if event is not None:
                await till.references.note(event)
                effect = event.message.effect
        if effect is None:
            effect = await self._done_before(chain, asked.store_ref)
        if effect is None:
            raise Problem("REVERSAL_UNANSWERED")
        return Answer(200, {"result": "accepted", "effect": effect})

    async def _asked(
        self, asked: ReversalRequest, phone: str, chain: str, until_s: float
    ) -> Envelope[Any] | None:
        key = self._till.phone_key
        fingerprint = key.reversal(phone, _readable(asked.code))
        message = ReverseRedemption(
            phone_hash=key.phone_hash(phone),
            chain=chain,
            store_ref=asked.store_ref,
            fingerprint=fingerprint,
            reason=asked.reason,
        )
        correlation = store_correlation(chain, asked.store_ref, "reversal", fingerprint)
        return await self._till.ask(message, correlation, ReversalAnswered, until_s)

    async def _done_before(self, chain: str, store_ref: str) -> str | None:
        try:
            found = await self._till.references.find(chain, store_ref)
        except OutageError:
            return None
        if found is None or found.standing.state != "reversed" or found.effect is None:
            return None
        return "nothing_paid" if found.effect == "nothing_paid" else "already_reversed"


class Inquire(_ForStores):
    """``POST /v1/retail/inquiries``: changes nothing but the count of wrong tries."""

    name = "inquire_code"
    model = CodeInquiry
    late = "NO_ANSWER"

    async def __call__(self, call: Call[CodeInquiry]) -> Answer:
        asked, till = call.asked(), self._till
        till.must_be_open()
        inquiry = new_public_id("inq")
        message = InquireCode(
            phone_hash=till.phone_key.phone_hash(_phone(asked.phone)),
            inquiry=inquiry,
            chain=call.caller.account,
            code=till.sealed(plain_code(asked.code)),
            amount=asked.amount,
            store_id=asked.store_id,
            terminal_id=asked.terminal_id,
        )
        until_s = call.started_s + till.redemption_s
        event = await till.ask(message, inquiry, InquiryAnswered, until_s)
        if event is None:
            raise Problem("NO_ANSWER")
        said: InquiryAnswered = event.message
        return Answer(200, _result(said.result, said.reason, None))


class GetRedemption(_ForStores):
    """``GET /v1/retail/redemptions/{store_ref}``: never 404."""

    name = "get_redemption"

    async def __call__(self, call: Call[Any]) -> Answer:
        call.refuse()
        try:
            store_ref = _STORE_REF.validate_python(call.path["store_ref"])
        except ValidationError:
            raise from_errors([FieldError("store_ref", "is not written like one")]) from None
        found = await self._till.references.find(call.caller.account, store_ref)
        if found is None:
            return Answer(200, {"result": "undecided", "advice": ADVICE})
        standing = found.standing
        if standing.state == "reversed":
            return Answer(200, {"result": "reversed"})
        result = "valid" if standing.state == "paid" else "invalid"
        return Answer(200, _result(result, standing.reason, standing.receipt))


def _result(result: str, reason: str | None, receipt: Receipt | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"result": result}
    if reason is not None:
        shown["reason"] = reason
    if receipt is not None:
        shown["receipt"] = receipt.model_dump() | {"paid_at": moment(receipt.paid_at)}
    return shown


def _phone(text: str) -> str:
    try:
        return phones.normalised(text)
    except phones.PhoneError as error:
        raise from_errors([FieldError("phone", str(error))]) from None


def _readable(code: str | None) -> str | None:
    """A reversal is not refused for how its code is written."""
    try:
        return None if code is None else plain_code(code)
    except CodeError:
        return None


def _moment_of(monotonic_s: float) -> datetime:
    return now_ms() + timedelta(seconds=monotonic_s - time.monotonic())
