"""What a payment may be and costs, per partner, channel and amount band. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.money import Amount, Rupiah

Channel = Literal["bank_account", "e_wallet", "cashout"]


class Band(BaseModel):
    """Amounts from ``amount_from`` to ``amount_to``, both included. ``*`` is everyone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partner: str = "*"
    environment: Literal["*", "sandbox", "production"] = "*"
    channel: Channel
    amount_from: Amount
    amount_to: Amount
    fee: Rupiah
    step: int = Field(default=1, ge=1, description="amounts are multiples of it")


DEFAULTS = (
    Band(channel="bank_account", amount_from=10_000, amount_to=50_000_000, fee=2_500),
    Band(channel="e_wallet", amount_from=10_000, amount_to=10_000_000, fee=1_500),
    Band(channel="cashout", amount_from=50_000, amount_to=2_500_000, fee=5_000, step=50_000),
)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an amount is outside: a failure code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True)
class Terms:
    """The bands of one partner's channel, in order and without gaps."""

    bands: Sequence[Band]

    @property
    def amount_min(self) -> int:
        return self.bands[0].amount_from

    @property
    def amount_max(self) -> int:
        return self.bands[-1].amount_to

    def fee(self, amount: int) -> int | Refused:
        """The fee for ``amount``, or why it cannot be paid."""
        if amount < self.amount_min:
            return Refused("AMOUNT_BELOW_MINIMUM", f"the least is {self.amount_min}")
        if amount > self.amount_max:
            return Refused("AMOUNT_ABOVE_MAXIMUM", f"the most is {self.amount_max}")
        band = next(band for band in self.bands if amount <= band.amount_to)
        if amount % band.step:
            return Refused("AMOUNT_NOT_A_MULTIPLE", f"it must be a multiple of {band.step}")
        return band.fee


class Tariff:
    """The most specific bands win as a whole: partner and environment, partner, all, default."""

    def __init__(self, overrides: Iterable[Band] = ()) -> None:
        self._terms: dict[tuple[str, str, str], Terms] = {}
        grouped: dict[tuple[str, str, str], list[Band]] = {}
        for band in overrides:
            grouped.setdefault((band.partner, band.environment, band.channel), []).append(band)
        for band in DEFAULTS:
            grouped.setdefault(("*", "*", band.channel), [band])
        for place, bands in grouped.items():
            self._terms[place] = _in_order(place, bands)

    def terms(self, partner: str, environment: str, channel: Channel) -> Terms:
        for who, where in ((partner, environment), (partner, "*"), ("*", environment)):
            found = self._terms.get((who, where, channel))
            if found is not None:
                return found
        return self._terms["*", "*", channel]


def _in_order(place: tuple[str, str, str], bands: Sequence[Band]) -> Terms:
    ordered = sorted(bands, key=lambda band: band.amount_from)
    end = ordered[0].amount_from - 1
    for band in ordered:
        if band.amount_from != end + 1 or band.amount_to < band.amount_from:
            raise ValueError(f"bands of {'/'.join(place)} have a gap or overlap at {end + 1}")
        end = band.amount_to
    return Terms(ordered)
