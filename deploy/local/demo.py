"""``make demo``: the story of six disbursements and two cash-outs, told to a running platform.

Reads ``.local/sandbox.json``, speaks to the platform as a partner would, and looks into the journal
as an operator would. Every sentence with a mark was checked; it exits 0 only if all of them held.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from deploy.local import demo_cashout
from deploy.local.run import FOLDER
from deploy.local.running import NotRunningError, running, tills
from deploy.local.story import Teller, console


@dataclass(frozen=True)
class Chapter:
    """One disbursement of the story: what is asked, how it must end, what the partner is told."""

    title: str
    destination: dict[str, Any]
    ends: str
    told: tuple[str, ...]
    failure: str | None = None
    amount: int = 250_000


def _bank(account: str, bank: str = "BCA") -> dict[str, Any]:
    return {"type": "bank_account", "bank": bank, "account_number": account}


CHAPTERS = (
    Chapter(
        "A salary goes to a bank account",
        _bank("0123456789"),
        "succeeded",
        ("disbursement.succeeded",),
    ),
    Chapter(
        "A commission goes to an e-wallet, through its virtual account",
        {"type": "e_wallet", "wallet": "GOPAY", "phone": "081234567890"},
        "succeeded",
        ("disbursement.succeeded",),
    ),
    Chapter(
        "One that the bank refuses: the hold is released",
        _bank("9999990001"),
        "failed",
        ("disbursement.failed",),
        failure="REJECTED_BY_BANK",
    ),
    Chapter(
        "One whose bank executes and falls silent: asked, never sent again",
        _bank("1414140001", "Mandiri"),
        "succeeded",
        ("disbursement.succeeded",),
    ),
    Chapter(
        "One that the bank gives back later: reversed by a compensating entry",
        _bank("6543210001"),
        "reversed",
        ("disbursement.succeeded", "disbursement.reversed"),
        failure="RETURNED_BY_BANK",
    ),
)


class Story:
    """The disbursements; the cash-outs are ``demo_cashout``'s."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller

    def tell(self) -> None:
        self._name()
        before = self._teller.balance()
        lives = [self._send(number, chapter) for number, chapter in enumerate(CHAPTERS, start=1)]
        for number, (chapter, life) in enumerate(zip(CHAPTERS, lives, strict=True), start=1):
            console.print(f"\n[bold]{number}. {chapter.title}[/]")
            if life is not None:
                self._follow(chapter, life)
        self._end(before)

    def _name(self) -> None:
        console.print("[bold]0. Whose account is it?[/]")
        body = {"destination": _bank("0123456789") | {"account_name": "SOMEBODY ELSE"}}
        answer = self._teller.partner.post("/v1/account-inquiries", json=body)
        found = answer.json()
        if self._teller.check(answer.status_code == httpx.codes.OK, "the bank names the owner"):
            console.print(f"    {found['account_name']}; compared with ours: {found['match']}")
            self._teller.check(found["match"] == "none", "another name than ours is told apart")

    def _send(self, number: int, chapter: Chapter) -> dict[str, Any] | None:
        reference = f"demo-{self._teller.run}-{number}"
        answer = self._teller.partner.post(
            "/v1/disbursements",
            headers={"Idempotency-Key": reference},
            json={
                "reference": reference,
                "amount": chapter.amount,
                "currency": "IDR",
                "destination": chapter.destination,
            },
        )
        if answer.status_code != httpx.codes.ACCEPTED:
            self._teller.check(held=False, sentence=f"{reference} is accepted: {answer.text}")
            return None
        life: dict[str, Any] = answer.json()
        return life

    def _follow(self, chapter: Chapter, life: dict[str, Any]) -> None:
        console.print(f"    {life['id']}, Rp {life['amount']:,} and a fee of Rp {life['fee']:,}")
        teller = self._teller
        now = teller.becomes(f"/v1/disbursements/{life['id']}", chapter.ends)
        if chapter.failure is not None:
            code = (now["failure"] or {}).get("code")
            teller.check(code == chapter.failure, f"the reason is {code}")
        if now["status"] in {"succeeded", "reversed"}:
            teller.check(bool(now["bank_reference"]), f"the bank calls it {now['bank_reference']}")
        teller.callbacks(life["id"], chapter.told)
        wanted = {
            "succeeded": ("held", "settled"),
            "failed": ("held", "released"),
            "reversed": ("held", "settled", "returned"),
        }[chapter.ends]
        teller.entries(life["id"], wanted)

    def _end(self, before: dict[str, Any]) -> None:
        console.print("\n[bold]The deposit[/]")
        kept = [c for c in CHAPTERS if c.ends == "succeeded"]
        returned = [c for c in CHAPTERS if c.ends == "reversed"]
        fees = {"bank_account": 2_500, "e_wallet": 1_500}
        due = sum(c.amount + fees[c.destination["type"]] for c in kept)
        due += sum(fees[c.destination["type"]] for c in returned)
        after = self._teller.settled(before["available"] - due)
        spent = before["available"] - after["available"]
        console.print(f"    Rp {before['available']:,} → Rp {after['available']:,}")
        self._teller.check(spent == due, f"Rp {spent:,} left: what was paid, and the fees")


def main(folder: Path = FOLDER) -> int:
    try:
        sandbox, variables = running(folder)
    except NotRunningError as error:
        console.print(f"[red]✗[/] {error}")
        return 1
    begun = time.monotonic()
    teller = Teller(sandbox, variables)
    Story(teller).tell()
    with tills(sandbox) as client:
        demo_cashout.tell(teller, client)
    took = f"{time.monotonic() - begun:.0f} s"
    if teller.wrong:
        console.print(f"\n[red]✗ {teller.wrong} of the story did not hold[/] ({took})")
        return 1
    console.print(f"\n[green]✓ all of it held[/] ({took})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
