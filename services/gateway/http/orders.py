"""What a partner's request means: bank, wallet, phone, fee and limits, decided without asking."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts import banks, phones
from contracts.disburse.v1 import Destination, Order
from contracts.sealed import Sealer
from services.gateway.http.models import BankAccount, DisbursementRequest, EWallet
from services.gateway.http.problems import FieldError
from services.gateway.partners import Caller
from services.gateway.tariff import Refused, Tariff

NUMBER_PURPOSE = "account_number"
WALLETS = ("DANA", "GOPAY", "LINKAJA", "OVO", "SHOPEEPAY")


@dataclass(frozen=True, slots=True)
class Found:
    """A destination whose number is still open; it never leaves the request."""

    type: str
    bank: str | None
    wallet: str | None
    number: str
    masked: str
    account_name: str | None

    def __repr__(self) -> str:
        return f"Found({self.type}, {self.bank or self.wallet}, {self.masked})"


class Orders:
    """Turns requests into orders.

    Args:
        tariff: fees and limits.
        sealer: seals account numbers and phones.
        closed: BICs and wallets that take nothing now.
        ahead_days: how far away ``instruct_at`` may be.
    """

    def __init__(
        self, tariff: Tariff, sealer: Sealer, closed: tuple[str, ...], ahead_days: int
    ) -> None:
        self.tariff = tariff
        self.closed = frozenset(closed)
        self._sealer = sealer
        self._ahead = timedelta(days=ahead_days)

    def order(
        self, caller: Caller, asked: DisbursementRequest, now: datetime
    ) -> Order | list[FieldError]:
        """The order, or all that is wrong with the request."""
        found = self.find(asked.destination)
        errors = list(found) if isinstance(found, list) else []
        terms = self.tariff.terms(caller.partner, caller.environment, asked.destination.type)
        fee = terms.fee(asked.amount)
        if isinstance(fee, Refused):
            errors.append(FieldError("amount", fee.message, fee.code))
        errors += self._times(asked, now)
        if asked.name_check == "strict" and asked.destination.account_name is None:
            errors.append(
                FieldError("destination.account_name", "a strict name check needs the name")
            )
        if errors or isinstance(found, list) or isinstance(fee, Refused):
            return errors
        return Order(
            partner=caller.partner,
            environment=caller.environment,
            account=caller.account,
            reference=asked.reference,
            amount=asked.amount,
            currency=asked.currency,
            fee=fee,
            destination=self.sealed(found),
            description=asked.description,
            name_check=asked.name_check,
            instruct_at=asked.instruct_at,
            send_before=asked.send_before,
            metadata=asked.metadata,
        )

    def find(self, asked: BankAccount | EWallet) -> Found | list[FieldError]:
        """Bank or wallet behind what was written."""
        found = _bank(asked) if isinstance(asked, BankAccount) else _wallet(asked)
        if isinstance(found, Found) and (found.bank or found.wallet) in self.closed:
            field = "destination.bank" if found.bank else "destination.wallet"
            return [FieldError(field, "takes no payments now", "CHANNEL_NOT_SUPPORTED")]
        return found

    def sealed(self, found: Found) -> Destination:
        return Destination.model_validate(
            {
                "type": found.type,
                "bank": found.bank,
                "wallet": found.wallet,
                "number": self._sealer.seal(found.number, NUMBER_PURPOSE),
                "masked": found.masked,
                "account_name": found.account_name,
            }
        )

    def _times(self, asked: DisbursementRequest, now: datetime) -> list[FieldError]:
        errors = []
        if asked.instruct_at is not None and not now < asked.instruct_at <= now + self._ahead:
            errors.append(
                FieldError("instruct_at", f"must lie in the next {self._ahead.days} days")
            )
        earliest = max(now, asked.instruct_at or now)
        latest = now + 2 * self._ahead
        if asked.send_before is not None and not earliest < asked.send_before <= latest:
            errors.append(FieldError("send_before", "must lie after instruct_at and after now"))
        return errors


def _bank(asked: BankAccount) -> Found | list[FieldError]:
    try:
        bank = banks.find(asked.bank)
    except banks.UnknownBank as unknown:
        return [FieldError("destination.bank", str(unknown), "UNKNOWN_BANK")]
    number = asked.account_number
    return Found(
        asked.type, bank.bic, None, number, phones.masked_account(number), asked.account_name
    )


def _wallet(asked: EWallet) -> Found | list[FieldError]:
    errors = []
    wallet = asked.wallet.strip().upper()
    if wallet not in WALLETS:
        known = ", ".join(WALLETS)
        errors.append(FieldError("destination.wallet", f"is none of {known}", "UNKNOWN_WALLET"))
    try:
        phone = phones.normalised(asked.phone)
    except phones.PhoneError as error:
        errors.append(FieldError("destination.phone", str(error)))
    if errors:
        return errors
    return Found(asked.type, None, wallet, phone, phones.masked_phone(phone), asked.account_name)
