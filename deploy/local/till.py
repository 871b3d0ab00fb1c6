"""``make till``: a store's till in a terminal, played by the sandbox against a running platform.

With no arguments it asks like a till: phone, code, amount. With ``--phone --code --amount`` it
redeems once and ends with 0 if the cashier paid or took it back, else 1.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.prompt import Prompt
from rich.text import Text

from contracts.public import JAKARTA
from deploy.local.run import FOLDER
from deploy.local.running import NotRunningError, running, tills

BEHAVIOURS = ("redeem", "silent", "reverse_first", "reverse_twice", "late")
MENU = "1 pay out · 2 inquiry · 3 reverse · 4 status · q close the till"

# fmt: off
REASONS = {
    "INVALID_CODE":        "No cash-out has this code and phone. Check both with the customer.",
    "AMOUNT_MISMATCH":     "The amount is not the one that was requested. Ask the customer for it.",
    "CODE_EXPIRED":        "The code has expired. The customer needs a new one.",
    "CODE_ALREADY_USED":   "The code was paid out already.",
    "CODE_BLOCKED":        "Too many wrong tries. The customer must wait, or ask for a new code.",
    "REVERSED_BY_STORE":   "The store took this one back. The customer needs a new code.",
    "DUPLICATE_REFERENCE": "This reference paid something else before. Start a new transaction.",
    "TOO_LATE":            "The answer came too late to pay. Start a new transaction.",
    "SIGNATURE_INVALID":   "The platform does not know this store's key.",
    "VALIDATION_FAILED":   "Something typed has the wrong form.",
}
EFFECTS = {
    "reversed":         "The payment was taken back; the partner has the money again.",
    "already_reversed": "It had been taken back before.",
    "nothing_paid":     "Nothing was paid under this reference, and nothing will be.",
}
STANDINGS = {
    "valid":     "It was paid.",
    "invalid":   "It was refused.",
    "reversed":  "It was taken back.",
    "undecided": "It is undecided: reverse it.",
}
# fmt: on


class Screen:
    """What a cashier sees. ``tills`` is the sandbox; ``typed`` stands in for a keyboard."""

    def __init__(self, tills: httpx.Client, console: Console, typed: TextIO | None = None) -> None:
        self._tills = tills
        self._console = console
        self._typed = typed

    def open(self) -> None:
        """Until the cashier closes it, or Ctrl-C or Ctrl-D does."""
        acts = {"1": self._pay_out, "2": self._inquire, "3": self._reverse, "4": self._status}
        self._console.rule("[bold]TARIK TUNAI[/] · till 01")
        while (choice := self._ask(f"\n{MENU}\n[bold]?[/]", default="1")) != "q":
            act = acts.get(choice)
            if act is None:
                self._console.print("press 1, 2, 3, 4 or q")
            else:
                act()

    def redeem(self, **asked: Any) -> bool:
        """Whether it ended as the cashier wanted: paid, or taken back by a till that must."""
        with self._console.status("asking the platform"):
            roll = self._post("/till/redemptions", asked)
        if roll is None:
            return False
        if roll["behaviour"] != "redeem":
            self._conversation(roll["exchanges"])
        if roll["outcome"] == "paid":
            self._receipt(roll["receipt"])
        elif roll["outcome"] == "reversed":
            self._say("yellow", "No answer in time: taken back. Pay nothing.")
        else:
            self._refused(roll["reason"], roll["exchanges"])
        self._console.print(f"store reference {roll['store_ref']}", style="dim")
        return roll["outcome"] in {"paid", "reversed"}

    # --- the menu ----------------------------------------------------------------------------

    def _pay_out(self) -> None:
        self.redeem(**self._customer())

    def _inquire(self) -> None:
        found = self._post("/till/inquiries", self._customer())
        if found is None:
            return
        answer = found["answer"] if isinstance(found["answer"], dict) else {}
        if answer.get("result") == "valid":
            self._say("green", "It would be paid. Nothing has changed.")
        else:
            self._refused(answer.get("reason") or answer.get("code"), [found])

    def _reverse(self) -> None:
        reference = self._ask("store reference")
        asked = {"store_ref": reference, "phone": self._ask("phone")}
        roll = self._post("/till/reversals", asked)
        if roll is None:
            return
        last = roll["exchanges"][-1]
        if roll["outcome"] == "reversed":
            effect = last["answer"].get("effect")
            self._say("green", EFFECTS.get(effect, "Accepted."))
        else:
            self._refused(None, [last], "Not taken back.")

    def _status(self) -> None:
        reference = quote(self._ask("store reference"), safe="")
        found = self._send("GET", f"/till/redemptions/{reference}")
        if found is None:
            return
        answer = found["answer"] if isinstance(found["answer"], dict) else {}
        result = answer.get("result")
        if result in STANDINGS:
            reason = REASONS.get(answer.get("reason") or "", "")
            self._say("cyan", f"{STANDINGS[result]} {reason}".strip())
        else:
            self._refused(answer.get("code"), [found], "No status.")
        if answer.get("receipt"):
            self._receipt(answer["receipt"])

    # --- what it is made of ------------------------------------------------------------------

    def _customer(self) -> dict[str, Any]:
        phone = self._ask("phone")
        code = self._ask("code")
        while (amount := rupiah(self._ask("amount"))) is None:
            self._console.print("an amount is in whole rupiah, like 100000 or 100.000")
        return {"phone": phone, "code": code, "amount": amount}

    def _ask(self, question: str, default: str | None = None) -> str:
        while True:
            said = Prompt.ask(
                question,
                console=self._console,
                default=default,
                show_default=False,
                stream=self._typed,
            )
            if said and said.strip():
                return said.strip()

    def _post(self, path: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        return self._send("POST", path, asked)

    def _send(
        self, method: str, path: str, asked: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        try:
            answer = self._tills.request(method, path, json=asked)
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError):
            self._say("red", "The sandbox does not answer: is `make run` still up?")
            return None
        if not answer.is_success:
            wrong = "; ".join(
                f"{one['field']}: {one['message']}" for one in found.get("errors", [])
            )
            self._say("red", wrong or found["error"])
            return None
        return found

    def _receipt(self, receipt: dict[str, Any]) -> None:
        self._console.print("[green]✓ valid: pay the customer[/]")
        text = Text(str(receipt.get("text", receipt)).rstrip())
        self._console.print(Panel(text, title="receipt", expand=False, padding=(1, 3)))

    def _refused(
        self, reason: str | None, exchanges: Sequence[dict[str, Any]], so: str = "Do not pay."
    ) -> None:
        last = exchanges[-1]
        answer = last["answer"] if isinstance(last["answer"], dict) else {}
        words = REASONS.get(reason or "") or answer.get("detail") or last["error"]
        self._say("red", f"✗ {so} {words or 'The platform gave no reason.'}")
        if reason:
            self._console.print(f"reason {reason}", style="dim")

    def _conversation(self, exchanges: Sequence[dict[str, Any]]) -> None:
        for one in exchanges:
            answer = one["answer"] if isinstance(one["answer"], dict) else {}
            known = ("result", "effect", "reason", "code")
            said = " ".join(str(answer[name]) for name in known if answer.get(name))
            heard = "" if one["heard"] else " [dim](the till did not hear it)[/]"
            at = datetime.fromisoformat(one["sent_at"]).astimezone(JAKARTA)
            self._console.print(f"  {at:%H:%M:%S}  {one['asked']} → {said or one['error']}{heard}")

    def _say(self, colour: str, text: str) -> None:
        self._console.print(Text(text, style=colour))


def rupiah(text: str) -> int | None:
    """``100000``, ``100.000``, ``Rp 100,000``; None if it is nothing of the kind."""
    found = re.fullmatch(
        r"(?:Rp\.?)?\s*(\d{1,3}(?:[.,]\d{3})+|\d{1,12})", text.strip(), re.IGNORECASE
    )
    return int(re.sub(r"\D", "", found[1])) if found else None


def main(words: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    asked = _arguments(words)
    console = Console(highlight=False)
    try:
        sandbox, _ = running(folder)
        with tills(sandbox) as client:
            screen = Screen(client, console)
            if asked:
                return 0 if screen.redeem(**asked) else 1
            screen.open()
    except NotRunningError as error:
        console.print(f"[red]✗[/] {error}")
        return 1
    except (KeyboardInterrupt, EOFError):
        console.print("\nthe till is closed; what it had begun, it still ends by itself")
    return 0


def _arguments(words: Sequence[str] | None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="make till", description=__doc__)
    parser.add_argument("--phone")
    parser.add_argument("--code")
    parser.add_argument("--amount", type=_amount)
    parser.add_argument("--behaviour", choices=BEHAVIOURS)
    parser.add_argument("--store-ref")
    parser.add_argument("--silent-s", type=float, help="how long a silent till waits (30)")
    parser.add_argument("--late-s", type=float, help="when a late till asks again (30)")
    found = {
        name: value for name, value in vars(parser.parse_args(words)).items() if value is not None
    }
    if found and not {"phone", "code", "amount"} <= found.keys():
        parser.error("--phone, --code and --amount belong together")
    return found


def _amount(text: str) -> int:
    found = rupiah(text)
    if found is None:
        raise argparse.ArgumentTypeError("whole rupiah, like 100000")
    return found


if __name__ == "__main__":
    sys.exit(main())
