"""What a cashier sees: valid and a receipt, or the reason in plain words."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from deploy.local.till import REASONS, Screen, main, rupiah

TYPED = {"phone": "081234567890", "code": "4821 0937 56", "amount": 100_000}
AT = "2026-07-01T10:00:00.000000+00:00"


def exchange(asked: str, answer: Any, **more: Any) -> dict[str, Any]:
    return {"asked": asked, "sent_at": AT, "heard": True, "error": "", "answer": answer} | more


def roll(outcome: str, *exchanges: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "behaviour": "redeem",
        "store_ref": "ref-1",
        "outcome": outcome,
        "exchanges": list(exchanges),
        "receipt": None,
        "reason": None,
    } | more


PAID = roll(
    "paid",
    exchange("redemption", {"result": "valid"}),
    receipt={"text": "          TARIK TUNAI\nTUNAI DIBAYAR Rp 100.000\n"},
)


class Tills:
    """Answers the screen from a list, and keeps what was sent."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, Any]] = []
        self.client = httpx.Client(
            base_url="http://sandbox.test", transport=httpx.MockTransport(self._answer)
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.sent.append((request.url.path, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, json=answer)


def shown(tills: Tills, act: Callable[[Screen], Any], typed: str = "") -> str:
    paper = io.StringIO()
    with tills.client:
        act(Screen(tills.client, Console(file=paper, width=100), io.StringIO(typed)))
    return paper.getvalue()


def test_a_valid_code_prints_its_receipt_in_a_box() -> None:
    text = shown(Tills(PAID), lambda screen: screen.redeem(**TYPED))

    assert "valid: pay the customer" in text
    assert "│             TARIK TUNAI" in text
    assert "ref-1" in text


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_refusal_says_its_reason_in_plain_words(reason: str) -> None:
    refused = roll("refused", exchange("redemption", {"result": "invalid"}), reason=reason)

    text = shown(Tills(refused), lambda screen: screen.redeem(**TYPED))

    assert "Do not pay" in text
    assert REASONS[reason] in text


def test_a_refusal_without_known_words_shows_the_platforms_own() -> None:
    problem = {"code": "NEW_CODE", "detail": "Something new."}
    failed = roll("failed", exchange("redemption", problem), reason="NEW_CODE")

    text = shown(Tills(failed), lambda screen: screen.redeem(**TYPED))

    assert "Do not pay. Something new." in text


def test_a_silent_till_shows_its_whole_conversation() -> None:
    silent = roll(
        "reversed",
        exchange("redemption", {"result": "valid"}, heard=False),
        exchange("reversal", {"result": "accepted", "effect": "reversed"}),
        behaviour="silent",
    )

    text = shown(Tills(silent), lambda screen: screen.redeem(**TYPED, behaviour="silent"))

    assert "17:00:00  redemption → valid (the till did not hear it)" in text
    assert "reversal → accepted reversed" in text
    assert "taken back. Pay nothing." in text


def test_a_cashier_is_asked_for_phone_code_and_amount() -> None:
    tills = Tills(PAID)
    keys = "1\n081234567890\n4821 0937 56\nmany\n100.000\nq\n"

    text = shown(tills, Screen.open, keys)

    assert tills.sent == [("/till/redemptions", TYPED)]
    assert "whole rupiah" in text


def test_the_menu_reverses_asks_the_status_and_inquires() -> None:
    accepted = exchange("reversal", {"result": "accepted", "effect": "nothing_paid"})
    tills = Tills(
        roll("reversed", accepted),
        exchange("status", {"result": "undecided", "advice": "reverse it"}),
        exchange("inquiry", {"result": "invalid", "reason": "CODE_EXPIRED"}),
    )
    keys = "3\nref-1\n081234567890\n4\nref-1\n7\n2\n081234567890\n4821093756\n100000\nq\n"

    text = shown(tills, Screen.open, keys)

    assert [path for path, _ in tills.sent] == [
        "/till/reversals",
        "/till/redemptions/ref-1",
        "/till/inquiries",
    ]
    assert "Nothing was paid under this reference" in text
    assert "It is undecided: reverse it." in text
    assert "press 1, 2, 3, 4 or q" in text
    assert REASONS["CODE_EXPIRED"] in text


def test_a_sandbox_that_went_away_is_said_and_the_till_stays_open() -> None:
    gone = Tills(
        httpx.ConnectError("refused"),
        httpx.Response(500, text="Internal Server Error"),
        httpx.Response(409, json={"error": "no key yet"}),
    )

    text = shown(gone, lambda screen: [screen.redeem(**TYPED) for _ in range(3)])

    assert text.count("The sandbox does not answer") == 2
    assert "no key yet" in text


@pytest.mark.parametrize(
    ("typed", "amount"),
    [("100000", 100_000), ("100.000", 100_000), ("Rp 1,250,000", 1_250_000), ("rp50000", 50_000)],
)
def test_an_amount_is_read_as_people_write_it(typed: str, amount: int) -> None:
    assert rupiah(typed) == amount


@pytest.mark.parametrize("typed", ["", "many", "10.5", "1.00", "-5", "1e5"])
def test_what_is_no_amount_is_not_guessed(typed: str) -> None:
    assert rupiah(typed) is None


def test_without_a_platform_the_till_says_how_to_start_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([], tmp_path)

    assert code == 1
    assert "make run" in capsys.readouterr().out


def test_half_a_redemption_on_the_command_line_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--phone", "081234567890"])

    assert "belong together" in capsys.readouterr().err
