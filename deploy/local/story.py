"""What the chapters of ``make demo`` share: a partner, its merchant, the journal, and what held."""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from pymongo import MongoClient
from rich.console import Console

console = Console(highlight=False)

_WAIT_S = 60


class Teller:
    """Speaks to the platform as a partner, and looks into the journal as an operator would."""

    def __init__(self, sandbox: dict[str, Any], variables: dict[str, str]) -> None:
        auth = (sandbox["key"], sandbox["secret"])
        self.partner = httpx.Client(base_url=sandbox["url"], auth=auth, timeout=30)
        self._merchant = httpx.Client(base_url=sandbox["sandbox_url"], timeout=10)
        mongo: MongoClient[dict[str, Any]] = MongoClient(variables["MONGO_URL"], tz_aware=True)
        prefix = variables.get("SALUR_DATABASE_PREFIX", "salur_")
        self._journal = mongo[prefix + "ledger"]["journal"]
        self.run = uuid.uuid4().hex[:6]
        self.wrong = 0
        # Of codes that somebody else has not redeemed yet.
        self._held_before = self.balance()["held"]

    def check(self, held: bool, sentence: str) -> bool:  # noqa: FBT001 - reads as a sentence
        console.print(f"  [green]✓[/] {sentence}" if held else f"  [red]✗[/] {sentence}")
        self.wrong += not held
        return held

    def held(self) -> int:
        """What this story holds of the deposit."""
        return int(self.balance()["held"] - self._held_before)

    def balance(self) -> dict[str, Any]:
        balance: dict[str, Any] = self.partner.get("/v1/balance").json()
        return balance

    def settled(self, available: int) -> dict[str, Any]:
        """Once this story holds nothing of it; the balance may trail a status by a moment."""
        base = self._held_before
        found: dict[str, Any] = until(
            self.balance, lambda it: it["held"] <= base and it["available"] == available
        )
        self.check(found["held"] <= base, "nothing is held for it any more")
        return found

    def becomes(self, path: str, status: str) -> dict[str, Any]:
        """The life at ``path``, once it is ``status``; says whether it became that."""
        with console.status(f"waiting until it is {status}"):
            now: dict[str, Any] = until(
                lambda: self.partner.get(path).json(), lambda it: it["status"] == status
            )
        self.check(now["status"] == status, f"it {_became(now['status'])}")
        return now

    def callbacks(self, life: str, told: Sequence[str]) -> None:
        """Says whether the merchant was told just this about a life, genuinely."""

        def arrived() -> list[dict[str, Any]]:
            page = self._merchant.get("/merchant/callbacks", params={"reference": life})
            rows: list[dict[str, Any]] = page.json()["data"]
            return rows

        with console.status("waiting for the callback"):
            rows = until(arrived, lambda rows: len(rows) >= len(told))
        found = tuple(row["type"] for row in rows)
        genuine = all(row["verified"] for row in rows)
        self.check(sorted(found) == sorted(told), f"the merchant was told {', '.join(found)}")
        self.check(genuine and bool(rows), "each signature was verified by the merchant")

    def entries(self, life: str, wanted: Sequence[str]) -> None:
        """Shows the journal's entries about a life."""

        def found() -> list[dict[str, Any]]:
            return list(self._journal.find({"subject": life}).sort("_id", 1))

        rows = until(found, lambda rows: len(rows) >= len(wanted))
        for row in rows:
            legs = ", ".join(f"{book} {change:+,}" for book, change in row["legs"])
            console.print(
                f"    entry {int(row['_id'].rpartition('/')[2]):>6}  {row['kind']}: {legs}"
            )
        balanced = all(sum(change for _, change in row["legs"]) == 0 for row in rows)
        right = [row["kind"] for row in rows] == list(wanted)
        self.check(right and balanced, "its entries are there, and balance")


def until(look: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    """What ``look`` shows once it is ``enough``, or after a minute whatever it shows."""
    deadline = time.monotonic() + _WAIT_S
    while not enough(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


def _became(status: str) -> str:
    return {"reversed": "was reversed", "cancelled": "was cancelled"}.get(status, status)
