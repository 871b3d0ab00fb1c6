"""What a store hears and what it costs, through every service as a process."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import stack
from tests.support.everywhere import everything
from tests.support.market import AMOUNT, FEE, Market, new_phone, new_reference, typed
from tests.support.whole import ANSWER_BY_S

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("spelling", ["0{}", "62{}", "+62{}"])
async def test_a_phone_is_the_same_however_the_cashier_spells_it(
    market: Market, spelling: str
) -> None:
    life = await market.request()

    roll = await market.redeem(life, phone=spelling.format(life["asked_phone"][1:]))

    assert roll["outcome"] == "paid"


async def test_a_redemption_that_comes_after_its_reversal_is_refused(market: Market) -> None:
    life = await market.request()

    roll = await market.redeem(life, behaviour="reverse_first")

    assert (roll["outcome"], roll["reason"]) == ("refused", "REVERSED_BY_STORE")
    assert roll["exchanges"][0]["answer"] == {"result": "accepted", "effect": "nothing_paid"}
    assert (await market.get(life))["status"] == "active"
    assert (await market.redeem(life))["outcome"] == "paid"


async def test_a_second_reversal_gets_its_yes_and_the_partner_is_told_once(
    market: Market,
) -> None:
    life = await market.request()

    roll = await market.redeem(life, behaviour="reverse_twice")

    effects = [one["answer"].get("effect") for one in roll["exchanges"]]
    assert effects == [None, "reversed", "already_reversed"]
    await market.told(life, "cashout.active", "cashout.succeeded", "cashout.reversed")
    assert (await market.standing(roll["store_ref"]))["result"] == "reversed"


async def test_a_till_that_asks_again_too_late_gets_the_same_receipt_and_pays_once(
    market: Market,
) -> None:
    life = await market.request()

    roll = await market.redeem(life, behaviour="late", late_s=ANSWER_BY_S + 0.5)

    first, again = (one["answer"]["receipt"] for one in roll["exchanges"])
    assert (roll["outcome"], first) == ("paid", again)
    assert await market.cost(life, "held", "settled") == AMOUNT + FEE


async def test_what_is_decided_when_the_store_has_given_up_is_not_paid(
    market: Market, platform: stack.LocalPlatform
) -> None:
    life, reference = await market.request(), new_reference()
    pid = platform.of("cashout").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        silent = await market.ask(life, reference)
        before = await market.standing(reference)
    finally:
        os.kill(pid, signal.SIGCONT)

    late = await market.ask(life, reference)

    assert (silent.status_code, silent.json()["code"]) == (504, "REDEMPTION_UNDECIDED")
    assert before == {"result": "undecided", "advice": "reverse it"}
    assert late.json() == {"result": "invalid", "reason": "TOO_LATE"}
    assert (await market.reverse(life, reference))["effect"] == "nothing_paid"
    assert (await market.redeem(life))["outcome"] == "paid"


async def test_of_two_tills_with_one_code_at_the_same_moment_one_pays(market: Market) -> None:
    life = await market.request()

    answers = await asyncio.gather(*(market.ask(life, new_reference()) for _ in range(2)))

    said = [one.json() for one in answers]
    assert sorted(one["result"] for one in said) == ["invalid", "valid"]
    assert {one.get("reason") for one in said} == {None, "CODE_ALREADY_USED"}


async def test_a_redemption_and_its_reversal_at_the_same_moment_leave_the_money_in_one_place(
    market: Market,
) -> None:
    life, reference = await market.request(), new_reference()

    _, reversal = await asyncio.gather(market.ask(life, reference), market.reverse(life, reference))

    assert reversal["result"] == "accepted"
    if reversal["effect"] == "reversed":
        await market.until(life, "reversed")
        assert await market.cost(life, "held", "settled", "returned") == 0
    else:
        assert (await market.get(life))["status"] == "active"
        assert await market.cost(life, "held") == 0
    assert (await market.standing(reference))["result"] == "reversed"


async def test_a_corrected_try_under_the_same_reference_is_not_answered_with_the_old_no(
    market: Market,
) -> None:
    life, reference = await market.request(), new_reference()
    wrong = (await market.ask(life, reference, amount=AMOUNT + 50_000)).json()

    right = (await market.ask(life, reference)).json()

    assert wrong == {"result": "invalid", "reason": "AMOUNT_MISMATCH"}
    assert right["result"] == "valid"


async def test_neither_a_wrong_code_nor_a_wrong_phone_is_told_apart(market: Market) -> None:
    life = await market.request()
    other = f"{(int(life['code'].replace(' ', '')) + 10**9) % 10**10:010d}"

    answers = [
        (await market.ask(life, new_reference(), code=other)).json(),
        (await market.ask(life, new_reference(), phone=new_phone())).json(),
    ]

    assert answers == [{"result": "invalid", "reason": "INVALID_CODE"}] * 2


async def test_the_status_of_a_reference_that_was_never_asked_is_undecided(
    market: Market,
) -> None:
    assert await market.standing(new_reference()) == {
        "result": "undecided",
        "advice": "reverse it",
    }


async def test_a_reversal_of_an_unknown_reference_gets_a_yes(market: Market) -> None:
    life = await market.request()

    reversal = await market.reverse(life, new_reference())

    assert reversal == {"result": "accepted", "effect": "nothing_paid"}
    assert (await market.get(life))["status"] == "active"


async def test_an_inquiry_pays_nothing(market: Market) -> None:
    life = await market.request()

    answer = await market.store.post("/v1/retail/inquiries", typed(life))

    assert answer.json()["result"] == "valid"
    assert (await market.get(life))["status"] == "active"


async def test_a_store_is_no_partner_and_a_partner_is_no_store(market: Market) -> None:
    life = await market.request()

    asked = [
        await market.store.get(f"/v1/cashouts/{life['id']}"),
        await market.partner.post(
            "/v1/retail/redemptions",
            typed(life) | {"store_ref": new_reference(), "store_id": "T", "terminal_id": "1"},
        ),
    ]

    assert all(one.status_code in {401, 403, 404} for one in asked), [one.text for one in asked]
    assert (await market.get(life))["status"] == "active"


async def test_a_cashier_at_the_terminal_sees_the_receipt(
    market: Market, platform: stack.LocalPlatform
) -> None:
    life = await market.request()
    words = ["--phone", life["asked_phone"], "--code", life["code"], "--amount", "Rp 100.000"]

    done = await run("deploy.local.till", words, {"SALUR_LOCAL_DIR": str(platform.folder)})

    assert done.returncode == 0, done.stdout + done.stderr
    assert "TARIK TUNAI" in done.stdout
    assert life["id"] in done.stdout


async def test_no_code_of_all_these_was_written_anywhere(
    market: Market, platform: stack.LocalPlatform
) -> None:
    life = await market.request()

    found = await everything(platform)

    kinds = {place.split()[0] for place, text in found.items() if life["id"] in text}
    assert kinds == {"file", "topic", "collection"}, "or it was looked for where nothing is"
    codes = market.codes | {f"{code[:4]} {code[4:8]} {code[8:]}" for code in market.codes}
    assert [(place, code) for place, text in found.items() for code in codes if code in text] == []


async def test_after_all_of_this_the_books_are_clean(
    market: Market, platform: stack.LocalPlatform
) -> None:
    done = await run("deploy.verify", [], platform.variables)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "verify: clean" in done.stdout


async def run(
    module: str, words: list[str], variables: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
