"""``make demo``: the story of six disbursements, told against a running platform.

Reads ``.local/sandbox.json``, speaks to the platform as a partner would, and looks into the journal
as an operator would. Every sentence with a mark was checked; it exits 0 only if all of them held.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient
from rich.console import Console

from deploy.local import environment as env
from deploy.local.errors import LocalServerError
from deploy.local.run import FOLDER

console = Console(highlight=False)

_WAIT_S = 60


class NotRunningError(LocalServerError):
    pass


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
    """Speaks to the platform, the demo merchant and the journal; counts what held."""

    def __init__(self, sandbox: dict[str, Any], variables: dict[str, str]) -> None:
        auth = (sandbox["key"], sandbox["secret"])
        self._partner = httpx.Client(base_url=sandbox["url"], auth=auth, timeout=30)
        self._merchant = httpx.Client(base_url=sandbox["sandbox_url"], timeout=10)
        mongo: MongoClient[dict[str, Any]] = MongoClient(variables["MONGO_URL"], tz_aware=True)
        prefix = variables.get("SALUR_DATABASE_PREFIX", "salur_")
        self._journal = mongo[prefix + "ledger"]["journal"]
        self._run = uuid.uuid4().hex[:6]
        self.wrong = 0

    def check(self, held: bool, sentence: str) -> bool:  # noqa: FBT001 - reads as a sentence
        console.print(f"  [green]✓[/] {sentence}" if held else f"  [red]✗[/] {sentence}")
        self.wrong += not held
        return held

    def tell(self) -> None:
        self._name()
        before = self._balance()
        lives = [self._send(number, chapter) for number, chapter in enumerate(CHAPTERS, start=1)]
        for number, (chapter, life) in enumerate(zip(CHAPTERS, lives, strict=True), start=1):
            console.print(f"\n[bold]{number}. {chapter.title}[/]")
            if life is not None:
                self._follow(chapter, life)
        self._end(before)

    def _name(self) -> None:
        console.print("[bold]0. Whose account is it?[/]")
        body = {"destination": _bank("0123456789") | {"account_name": "SOMEBODY ELSE"}}
        answer = self._partner.post("/v1/account-inquiries", json=body)
        found = answer.json()
        if self.check(answer.status_code == httpx.codes.OK, "the bank names the owner"):
            console.print(f"    {found['account_name']}; compared with ours: {found['match']}")
            self.check(found["match"] == "none", "another name than ours is told apart")

    def _balance(self) -> dict[str, Any]:
        balance: dict[str, Any] = self._partner.get("/v1/balance").json()
        return balance

    def _send(self, number: int, chapter: Chapter) -> dict[str, Any] | None:
        reference = f"demo-{self._run}-{number}"
        answer = self._partner.post(
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
            self.check(held=False, sentence=f"{reference} is accepted: {answer.text}")
            return None
        life: dict[str, Any] = answer.json()
        return life

    def _follow(self, chapter: Chapter, life: dict[str, Any]) -> None:
        console.print(f"    {life['id']}, Rp {life['amount']:,} and a fee of Rp {life['fee']:,}")
        with console.status("waiting for its end"):
            path = f"/v1/disbursements/{life['id']}"
            now = _until(
                lambda: self._partner.get(path).json(), lambda it: it["status"] == chapter.ends
            )
        self.check(now["status"] == chapter.ends, f"it {_became(now['status'])}")
        if chapter.failure is not None:
            code = (now["failure"] or {}).get("code")
            self.check(code == chapter.failure, f"the reason is {code}")
        if now["status"] in {"succeeded", "reversed"}:
            self.check(bool(now["bank_reference"]), f"the bank calls it {now['bank_reference']}")
        self._callbacks(chapter, life["id"])
        self._entries(chapter, life["id"])

    def _callbacks(self, chapter: Chapter, life: str) -> None:
        def arrived() -> list[dict[str, Any]]:
            page = self._merchant.get("/merchant/callbacks", params={"reference": life})
            rows: list[dict[str, Any]] = page.json()["data"]
            return rows

        with console.status("waiting for the callback"):
            rows = _until(arrived, lambda rows: len(rows) >= len(chapter.told))
        told = tuple(row["type"] for row in rows)
        genuine = all(row["verified"] for row in rows)
        self.check(set(told) == set(chapter.told), f"the merchant was told {', '.join(told)}")
        self.check(genuine and bool(rows), "each signature was verified by the merchant")

    def _entries(self, chapter: Chapter, life: str) -> None:
        wanted = {
            "succeeded": ("held", "settled"),
            "failed": ("held", "released"),
            "reversed": ("held", "settled", "returned"),
        }[chapter.ends]

        def entries() -> list[dict[str, Any]]:
            return list(self._journal.find({"subject": life}).sort("_id", 1))

        rows = _until(entries, lambda rows: len(rows) >= len(wanted))
        for row in rows:
            legs = ", ".join(f"{book} {change:+,}" for book, change in row["legs"])
            console.print(
                f"    entry {int(row['_id'].rpartition('/')[2]):>6}  {row['kind']}: {legs}"
            )
        balanced = all(sum(change for _, change in row["legs"]) == 0 for row in rows)
        self.check(len(rows) == len(wanted) and balanced, "its entries are there, and balance")

    def _end(self, before: dict[str, Any]) -> None:
        console.print("\n[bold]The deposit[/]")
        after = _until(self._balance, lambda it: it["held"] == 0)
        spent = before["available"] - after["available"]
        kept = [c for c in CHAPTERS if c.ends == "succeeded"]
        returned = [c for c in CHAPTERS if c.ends == "reversed"]
        fees = {"bank_account": 2_500, "e_wallet": 1_500}
        due = sum(c.amount + fees[c.destination["type"]] for c in kept)
        due += sum(fees[c.destination["type"]] for c in returned)
        console.print(f"    Rp {before['available']:,} → Rp {after['available']:,}")
        self.check(after["held"] == 0, "nothing is held any more")
        self.check(spent == due, f"Rp {spent:,} left: what was paid, and the fees")


def _until(look: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    """What ``look`` shows once it is ``enough``, or after a minute whatever it shows."""
    deadline = time.monotonic() + _WAIT_S
    while not enough(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


def _became(status: str) -> str:
    return {"reversed": "was reversed", "cancelled": "was cancelled"}.get(status, status)


def main(folder: Path = FOLDER) -> int:
    try:
        sandbox, variables = _running(folder)
    except NotRunningError as error:
        console.print(f"[red]✗[/] {error}")
        return 1
    begun = time.monotonic()
    story = Story(sandbox, variables)
    story.tell()
    took = f"{time.monotonic() - begun:.0f} s"
    if story.wrong:
        console.print(f"\n[red]✗ {story.wrong} of the story did not hold[/] ({took})")
        return 1
    console.print(f"\n[green]✓ all of it held[/] ({took})")
    return 0


def _running(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        sandbox = json.loads((folder / "sandbox.json").read_text(encoding="utf-8"))
        variables = env.read(folder / "env")
        httpx.get(f"{sandbox['url']}/livez", timeout=5).raise_for_status()
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        raise NotRunningError("nothing runs: start `make run` in another terminal first") from None
    return sandbox, {**variables, **{k: v for k, v in os.environ.items() if k in variables}}


if __name__ == "__main__":
    sys.exit(main())
