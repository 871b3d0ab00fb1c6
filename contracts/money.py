"""Money is whole rupiah in an int; there are no floats anywhere."""

from typing import Annotated, Literal

from pydantic import Field

# Far above any balance here, far below 2**63: a typing error is refused before MongoDB overflows.
RUPIAH_MAX = 10**15

Currency = Literal["IDR"]
Rupiah = Annotated[int, Field(strict=True, ge=0, le=RUPIAH_MAX, description="whole rupiah")]
Amount = Annotated[int, Field(strict=True, ge=1, le=RUPIAH_MAX, description="whole rupiah, not 0")]
# A deposit account never goes below zero, an invoice account may, down to its credit limit.
Balance = Annotated[int, Field(strict=True, ge=-RUPIAH_MAX, le=RUPIAH_MAX)]


def snap_value(amount: int) -> str:
    """``10000`` as SNAP BI writes it: ``"10000.00"``."""
    return f"{amount}.00"


def from_snap_value(text: str) -> int:
    """``"10000.00"`` as whole rupiah.

    Raises:
        ValueError: not a decimal with two zeros behind the point; rupiah have no cents.
    """
    whole, point, cents = text.partition(".")
    if not whole.isascii() or not whole.isdigit() or (point and cents.strip("0")):
        raise ValueError("an amount is whole rupiah, written like 10000.00")
    return int(whole)
