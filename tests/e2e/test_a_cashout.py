"""From the partner's request to cash at a till and back, through every service as a process."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.market import AMOUNT, FEE, Market, new_phone, new_reference


async def test_a_code_becomes_cash_and_the_merchant_is_told_once(market: Market) -> None:
    life = await market.request()

    roll = await market.redeem(life)

    now = await market.until(life, "succeeded")
    assert roll["outcome"] == "paid"
    assert (roll["receipt"]["reference"], roll["receipt"]["amount"]) == (life["id"], AMOUNT)
    assert life["asked_phone"] not in roll["receipt"]["text"]
    assert now["store"]["store_ref"] == roll["store_ref"]
    rows = await market.told(life, "cashout.active", "cashout.succeeded")
    [paid] = [row for row in rows if row["type"] == "cashout.succeeded"]
    assert paid["body"]["data"] == now
    assert await market.cost(life, "held", "settled") == AMOUNT + FEE


async def test_a_code_is_shown_to_its_partner_while_it_can_be_redeemed_and_in_no_callback(
    market: Market,
) -> None:
    life = await market.request()
    shown = (await market.get(life))["code"]
    await market.redeem(life)

    paid = await market.until(life, "succeeded")

    rows = await market.told(life, "cashout.active", "cashout.succeeded")
    assert shown == life["code"]
    assert not paid.get("code")
    assert life["code"] not in str(rows)
    assert life["code"].replace(" ", "") not in str(rows)


async def test_a_till_that_hears_nothing_reverses_and_all_money_is_back(market: Market) -> None:
    life = await market.request()

    roll = await market.redeem(life, behaviour="silent", silent_s=1)

    now = await market.until(life, "reversed")
    redemption, reversal = roll["exchanges"]
    assert redemption["answer"]["result"] == "valid"
    assert reversal["answer"] == {"result": "accepted", "effect": "reversed"}
    assert now["failure"]["code"] == "REVERSED_BY_STORE"
    await market.told(life, "cashout.active", "cashout.succeeded", "cashout.reversed")
    assert await market.cost(life, "held", "settled", "returned") == 0
    assert (await market.redeem(life))["reason"] == "REVERSED_BY_STORE"


async def test_the_fifth_wrong_amount_blocks_a_code_and_costs_nothing(market: Market) -> None:
    life = await market.request()

    tries = [await market.ask(life, new_reference(), amount=50_000) for _ in range(5)]

    await market.until(life, "blocked")
    assert {one.json()["reason"] for one in tries} == {"AMOUNT_MISMATCH"}
    assert (await market.ask(life, new_reference())).json()["reason"] == "CODE_BLOCKED"
    await market.told(life, "cashout.active", "cashout.blocked")
    assert await market.cost(life, "held", "released") == 0


async def test_a_cancelled_code_pays_nothing_and_costs_nothing(market: Market) -> None:
    life = await market.request()

    answer = await market.cancel(life)

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert (await market.redeem(life))["outcome"] == "refused"
    await market.told(life, "cashout.active", "cashout.cancelled")
    assert await market.cost(life, "held", "released") == 0


async def test_a_paid_code_cannot_be_cancelled(market: Market) -> None:
    life = await market.request()
    await market.redeem(life)

    answer = await market.cancel(life)

    assert (answer.status_code, answer.json()["code"]) == (409, "NOT_CANCELLABLE")


async def test_a_code_that_nobody_redeems_expires_and_costs_nothing(market: Market) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()

    life = await market.request(expires_at=soon)

    await market.until(life, "expired")
    assert (await market.redeem(life))["reason"] == "CODE_EXPIRED"
    await market.told(life, "cashout.active", "cashout.expired")
    assert await market.cost(life, "held", "released") == 0


async def test_the_same_request_again_gives_the_same_code(market: Market) -> None:
    body: dict[str, Any] = {
        "reference": new_reference(),
        "amount": AMOUNT,
        "phone": new_phone(),
        "recipient_name": "Ani",
    }
    key = body["reference"]
    first = await market.partner.post("/v1/cashouts", body, idempotency_key=key, prefer="wait=15")

    again = await market.partner.post("/v1/cashouts", body, idempotency_key=key, prefer="wait=15")

    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    await market.cancel(first.json())
