"""The cash-outs of ``make demo``: a code becomes cash at a till, and a till that hears nothing."""

from collections.abc import Sequence
from typing import Any

import httpx
from rich.panel import Panel
from rich.text import Text

from deploy.local.story import Teller, console, until

AMOUNT, FEE = 100_000, 5_000
# A store waits 30 s; the story shortens that silence, and nothing else of it.
SILENT_S = 3


def tell(teller: Teller, tills: httpx.Client) -> None:
    console.print("\n[bold]6. A code becomes cash at a till[/]")
    _cash(teller, tills)
    console.print("\n[bold]7. A till that hears nothing: taken back, and the partner is told[/]")
    _silence(teller, tills)


def _cash(teller: Teller, tills: httpx.Client) -> None:
    before = teller.balance()
    life = _request(teller, "cash")
    if life is None:
        return
    held = until(teller.held, lambda held: held == AMOUNT + FEE)
    teller.check(held == AMOUNT + FEE, f"Rp {held:,} of the deposit is held for it")
    wrong = _redeem(teller, tills, life, amount=AMOUNT + 50_000)
    teller.check(wrong["reason"] == "AMOUNT_MISMATCH", "another amount than the partner's is no")

    roll = _redeem(teller, tills, life)
    if teller.check(roll["outcome"] == "paid", f"the till {_said(roll)}"):
        # Cash lies on the counter; the paper says what the customer signs for.
        console.print(Panel(Text(roll["receipt"]["text"].rstrip()), title="receipt", expand=False))
    now = teller.becomes(f"/v1/cashouts/{life['id']}", "succeeded")
    teller.check(not now.get("code"), "its code is shown to nobody any more")
    teller.callbacks(life["id"], ("cashout.active", "cashout.succeeded"))
    teller.entries(life["id"], ("held", "settled"))
    again = _redeem(teller, tills, life)
    teller.check(again["reason"] == "CODE_ALREADY_USED", "the same code at another till is no")
    _cost(teller, before, AMOUNT + FEE, "what was paid, and the fee")


def _silence(teller: Teller, tills: httpx.Client) -> None:
    before = teller.balance()
    life = _request(teller, "silence")
    if life is None:
        return
    with console.status(f"the till hears nothing for {SILENT_S} s"):
        roll = _redeem(teller, tills, life, behaviour="silent", silent_s=SILENT_S)
    redemption, *reversals = roll["exchanges"]
    said = (redemption["answer"] or {}).get("result")
    teller.check(said == "valid", f"the platform said {said}; the till did not hear it")
    effect = reversals[-1]["answer"].get("effect") if reversals else None
    teller.check(effect == "reversed", f"after {SILENT_S} s it took that back by itself")
    now = teller.becomes(f"/v1/cashouts/{life['id']}", "reversed")
    code = (now["failure"] or {}).get("code")
    teller.check(code == "REVERSED_BY_STORE", f"the reason is {code}")
    teller.callbacks(life["id"], ("cashout.active", "cashout.succeeded", "cashout.reversed"))
    teller.entries(life["id"], ("held", "settled", "returned"))
    _cost(teller, before, 0, "all of it is back, the fee too")


def _request(teller: Teller, name: str) -> dict[str, Any] | None:
    reference = f"demo-{teller.run}-{name}"
    answer = teller.partner.post(
        "/v1/cashouts",
        headers={"Idempotency-Key": reference},
        json={
            "reference": reference,
            "amount": AMOUNT,
            "phone": _phone(teller),
            "recipient_name": "Ani",
        },
    )
    life: dict[str, Any] = answer.json()
    if not answer.is_success:
        teller.check(held=False, sentence=f"{reference} is accepted: {answer.text}")
        return None
    if not life.get("code"):
        life = teller.becomes(f"/v1/cashouts/{life['id']}", "active")
    console.print(f"    {life['id']}, Rp {life['amount']:,} and a fee of Rp {life['fee']:,}")
    shown = teller.check(bool(life.get("code")), f"Ani shows [bold]{life.get('code')}[/] and phone")
    return life if shown else None


def _redeem(
    teller: Teller, tills: httpx.Client, life: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    typed = {
        "code": life["code"],
        "phone": _phone(teller),
        "amount": AMOUNT,
        "terminal_id": f"demo-{teller.run}",
    }
    roll: dict[str, Any] = tills.post("/till/redemptions", json=typed | changes).json()
    return roll


def _phone(teller: Teller) -> str:
    """Another one in each run, because wrong tries of an hour are counted on a phone."""
    return f"0812{int(teller.run, 16) % 10**8:08d}"


def _said(roll: dict[str, Any]) -> str:
    exchanges: Sequence[dict[str, Any]] = roll["exchanges"]
    took = exchanges[0]["took_ms"]
    heard = {"paid": "heard valid and paid"}.get(roll["outcome"], f"did not pay: {roll['reason']}")
    return f"{heard}, after {took:.0f} ms"


def _cost(teller: Teller, before: dict[str, Any], due: int, why: str) -> None:
    after = teller.settled(before["available"] - due)
    spent = before["available"] - after["available"]
    console.print(f"    Rp {before['available']:,} → Rp {after['available']:,}")
    teller.check(spent == due, f"Rp {spent:,} left: {why}")
