"""What a till prints when it has paid: made once, kept, and repeated to the byte."""

from datetime import datetime, timedelta, timezone
from typing import Final

from contracts.cashout.v1 import Receipt, RedeemCode
from services.cashout.life import Life

_WIB: Final = timezone(timedelta(hours=7), "WIB")
_WIDTH: Final = 32


def receipt(life: Life, message: RedeemCode, paid_at: datetime) -> Receipt:
    chain = message.chain.rpartition(".")[0].upper()
    amount = f"Rp {life.order.amount:,}".replace(",", ".")
    lines = (
        "TARIK TUNAI".center(_WIDTH).rstrip(),
        chain.center(_WIDTH).rstrip(),
        "-" * _WIDTH,
        f"Toko     {message.store_id}",
        f"Kasir    {message.terminal_id}",
        f"Waktu    {paid_at.astimezone(_WIB):%d-%m-%Y %H:%M:%S} WIB",
        f"Ref toko {message.store_ref}",
        f"No       {life.id}",
        f"Telepon  {life.order.phone_masked}",
        "-" * _WIDTH,
        f"TUNAI DIBAYAR {amount:>{_WIDTH - 14}}",
        "-" * _WIDTH,
        "Hitung uang sebelum pergi.".center(_WIDTH).rstrip(),
        "Terima kasih".center(_WIDTH).rstrip(),
    )
    return Receipt(
        reference=life.id,
        amount=life.order.amount,
        phone=life.order.phone_masked,
        paid_at=paid_at,
        text="\n".join(lines) + "\n",
    )
