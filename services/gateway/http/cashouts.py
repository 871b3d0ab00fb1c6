"""``POST /v1/cashouts``; ``creating`` has the walk. It waits for the code if nobody says Prefer."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from contracts import phones
from contracts.cashout.keys import PhoneKey
from contracts.cashout.v1 import PHONE, Cashout, Order
from contracts.ids import new_public_id
from contracts.sealed import Sealer
from services.gateway.http.cashout_models import CashoutRequest
from services.gateway.http.creating import Create
from services.gateway.http.edge import Call
from services.gateway.http.problems import FieldError
from services.gateway.outlet import Outlet
from services.gateway.partners import Caller
from services.gateway.requests import Requests
from services.gateway.tail import Tail
from services.gateway.tariff import Refused, Tariff

CHANNEL = "CASHOUT"
_US_IN_MS = 1000


class CashoutOrders:
    """Turns requests into lives that begin.

    Args:
        tariff: fees and limits.
        sealer: seals phones.
        phone_key: in which line a phone's commands stand.
        life_s: how long a code lives if nobody says.
        lives_s: the same of a partner, or of ``<partner>.<environment>``.
        ahead_days: how far away ``expires_at`` may be.
        closed: ``CASHOUT`` among them: nothing is taken now.
    """

    def __init__(
        self,
        tariff: Tariff,
        sealer: Sealer,
        phone_key: PhoneKey,
        *,
        life_s: int = 86_400,
        lives_s: Mapping[str, int] | None = None,
        ahead_days: int = 30,
        closed: tuple[str, ...] = (),
    ) -> None:
        self._tariff = tariff
        self._sealer = sealer
        self._phone_key = phone_key
        self._life_s = life_s
        self._lives_s = dict(lives_s or {})
        self._ahead = timedelta(days=ahead_days)
        self._closed = CHANNEL in closed

    def life(
        self, caller: Caller, asked: CashoutRequest, now: datetime
    ) -> Cashout | list[FieldError]:
        """The life, or all that is wrong with the request."""
        errors, phone = [], ""
        try:
            phone = phones.normalised(asked.phone)
        except phones.PhoneError as error:
            errors.append(FieldError("phone", str(error)))
        if self._closed:
            errors.append(FieldError("amount", "takes no requests now", "CHANNEL_NOT_SUPPORTED"))
        fee = self._tariff.terms(caller.partner, caller.environment, "cashout").fee(asked.amount)
        if isinstance(fee, Refused):
            errors.append(FieldError("amount", fee.message, fee.code))
        if asked.expires_at is not None and not now < asked.expires_at <= now + self._ahead:
            days = self._ahead.days
            errors.append(FieldError("expires_at", f"must lie in the next {days} days"))
        if errors or isinstance(fee, Refused):
            return errors
        return Cashout(
            cashout=new_public_id("cash"),
            phone_hash=self._phone_key.phone_hash(phone),
            order=self._order(caller, asked, phone, fee, now),
            status="requested",
            created_at=now,
            updated_at=now,
        )

    def _order(
        self, caller: Caller, asked: CashoutRequest, phone: str, fee: int, now: datetime
    ) -> Order:
        return Order(
            partner=caller.partner,
            environment=caller.environment,
            account=caller.account,
            reference=asked.reference,
            amount=asked.amount,
            currency=asked.currency,
            fee=fee,
            phone=self._sealer.seal(phone, PHONE),
            phone_masked=phones.masked_phone(phone),
            recipient_name=asked.recipient_name,
            expires_at=_milliseconds(asked.expires_at or now + self._code_life(caller)),
            description=asked.description,
            metadata=asked.metadata,
        )

    def _code_life(self, caller: Caller) -> timedelta:
        for name in (caller.account, caller.partner):
            if name in self._lives_s:
                return timedelta(seconds=self._lives_s[name])
        return timedelta(seconds=self._life_s)


class CreateCashout(Create[Cashout]):
    model = CashoutRequest

    def __init__(
        self,
        requests: Requests[Cashout],
        orders: CashoutOrders,
        outlet: Outlet,
        tail: Tail,
        wait_s: float,
    ) -> None:
        super().__init__(requests, outlet, tail, wait_s)
        self._orders = orders

    def begin(self, call: Call[CashoutRequest], now: datetime) -> Cashout | list[FieldError]:
        return self._orders.life(call.caller, call.asked(), now)


def _milliseconds(moment: datetime) -> datetime:
    """What the database keeps of a time."""
    return moment.replace(microsecond=moment.microsecond // _US_IN_MS * _US_IN_MS)
