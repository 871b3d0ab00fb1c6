"""Who guesses codes is refused, who scans is slowed, and no refusal tells what was wrong."""

import base64
import os
from collections.abc import Iterable

import pytest

from contracts.cashout import v1 as cashout
from contracts.ledger import v1 as ledger
from services.cashout.alarms import alarms
from services.cashout.life import Terms
from tests.support.cashout import CODE_KEY, DEPOSIT, OTHER_PHONE, Shop, handlers, hash_of, wrong


@pytest.fixture
async def shop() -> Shop:
    made = Shop()
    await made.open()
    return made


async def guess(shop: Shop, code: str, times: Iterable[int], **changes: str) -> list[str | None]:
    return [(await shop.redeem(wrong(code, by), **changes)).reason for by in times]


async def test_five_codes_in_an_hour_that_match_nothing_refuse_the_phone_for_an_hour(
    shop: Shop,
) -> None:
    life, code = await shop.active()
    before = shop.life(life)

    reasons = await guess(shop, code, range(1, 6))
    blocked = await shop.redeem(code)
    shop.later(minutes=59, seconds=59)
    still = await shop.redeem(code)
    shop.later(seconds=1)
    after = await shop.redeem(code)

    assert reasons == ["INVALID_CODE"] * 5
    assert blocked.reason == still.reason == "CODE_BLOCKED"
    assert after.result == "valid"
    assert before["status"] == "active"
    assert shop.told(life) == ["CodeIssued", "CodeRedeemed"]


async def test_a_refused_phone_changes_no_life(shop: Shop) -> None:
    life, code = await shop.active()
    before = shop.life(life)

    await guess(shop, code, range(1, 9))
    await shop.redeem(code)
    await shop.redeem(code, amount=50_000)

    assert shop.life(life) == before


async def test_wrong_codes_that_are_more_than_an_hour_apart_do_not_add_up(shop: Shop) -> None:
    _, code = await shop.active()
    await guess(shop, code, range(1, 5))
    shop.later(hours=1)

    await guess(shop, code, range(5, 9))

    assert (await shop.redeem(code)).result == "valid"


async def test_wrong_codes_of_one_phone_count_on_one_document(shop: Shop) -> None:
    _, code = await shop.active()
    await shop.active(reference="refund-2")

    await guess(shop, code, range(1, 4))
    await shop.inquire(wrong(code, 4))

    [tries] = shop.store.collections["tries"].values()
    assert tries["_id"] == f"sandbox/{hash_of('081234567890')}"
    assert len(tries["wrong_at"]) == 4


async def test_a_phone_that_is_refused_does_not_refuse_another(shop: Shop) -> None:
    _, code = await shop.active()
    _, other = await shop.active(OTHER_PHONE, reference="refund-2")

    await guess(shop, code, range(1, 6))

    assert (await shop.redeem(other, phone=OTHER_PHONE)).result == "valid"


async def test_the_fifth_wrong_amount_blocks_the_code_and_releases_its_money(shop: Shop) -> None:
    life, code = await shop.active()

    reasons = [(await shop.redeem(code, amount=n)).reason for n in range(50_000, 50_005)]
    right = await shop.redeem(code)

    assert reasons == ["AMOUNT_MISMATCH"] * 5
    assert right.reason == "CODE_BLOCKED"
    assert shop.status(life) == "blocked"
    assert shop.money() == (DEPOSIT, 0)
    assert shop.told(life) == ["CodeIssued", "CodeBlocked"]


async def test_four_wrong_amounts_change_nothing_that_anybody_is_told(shop: Shop) -> None:
    life, code = await shop.active()

    for amount in range(50_000, 50_004):
        await shop.redeem(code, amount=amount)

    assert shop.told(life) == ["CodeIssued"]
    assert (await shop.redeem(code)).result == "valid"


async def test_wrong_amounts_of_inquiries_count_and_block_too(shop: Shop) -> None:
    life, code = await shop.active()

    answers = [await shop.inquire(code, amount=n) for n in range(50_000, 50_005)]

    assert {one.reason for one in answers} == {"AMOUNT_MISMATCH"}
    assert shop.status(life) == "blocked"
    assert [one.reason for one in shop.said(ledger.HoldReleased)] == ["CODE_BLOCKED"]


async def test_the_limits_are_settings() -> None:
    shop = Shop(Terms(wrong_codes_max=2, wrong_amounts_max=2, phone_block_s=60))
    await shop.open()
    first, code = await shop.active()
    _, second = await shop.active(reference="refund-2")

    await shop.redeem(code, amount=50_000)
    await shop.redeem(code, amount=50_001)
    await guess(shop, second, (1, 2))
    refused = await shop.redeem(second)
    shop.later(seconds=60)

    assert shop.status(first) == "blocked"
    assert refused.reason == "CODE_BLOCKED"
    assert (await shop.redeem(second)).result == "valid"


async def test_a_refusal_never_says_whether_code_or_phone_was_wrong(shop: Shop) -> None:
    _, code = await shop.active()
    wrong_code = await shop.redeem(wrong(code))
    wrong_phone = await shop.redeem(code, phone=OTHER_PHONE)
    wrong_both = await shop.redeem(wrong(code), phone="081999888777")
    wrong_chain = await shop.redeem(code, chain="indomaret.production")

    refusals = (wrong_code, wrong_phone, wrong_both, wrong_chain)

    shown = {one.model_dump_json(include={"result", "reason", "receipt"}) for one in refusals}
    assert shown == {'{"result":"invalid","reason":"INVALID_CODE","receipt":null}'}


async def test_a_till_hears_why_a_right_code_is_over(shop: Shop) -> None:
    ways = {}
    for end in ("paid", "expired", "cancelled"):
        life, code = await shop.active(reference=end)
        if end == "paid":
            await shop.redeem(code)
        elif end == "expired":
            await shop.expire(life)
        else:
            await shop.cancel(life)
        await shop.pump()
        ways[end] = (await shop.redeem(code)).reason

    assert ways == {
        "paid": "CODE_ALREADY_USED",
        "expired": "CODE_EXPIRED",
        "cancelled": "INVALID_CODE",
    }


async def test_a_scan_over_many_phones_from_one_terminal_is_slowed_and_alarmed(shop: Shop) -> None:
    before = alarms.labels("scan")._value.get()
    _, code = await shop.active()

    phones = [f"0812000000{n:02d}" for n in range(14)]
    reasons = [(await shop.redeem("1234567890", phone=one)).reason for one in phones]
    here = await shop.redeem(code)
    there = await shop.redeem(code, terminal_id="2")

    assert reasons == ["INVALID_CODE"] * 10 + ["CODE_BLOCKED"] * 4
    assert here.reason == "CODE_BLOCKED"
    assert there.result == "valid"
    assert alarms.labels("scan")._value.get() == before + 1
    assert len(shop.store.collections["tries"]) == 10


async def test_a_scan_by_inquiries_that_name_no_terminal_is_slowed_too(shop: Shop) -> None:
    _, code = await shop.active()

    phones = [f"0812000000{n:02d}" for n in range(14)]
    asked = [await shop.inquire("1234567890", phone=one, terminal_id=None) for one in phones]
    right = await shop.inquire(code, terminal_id=None)
    at_a_till = await shop.redeem(code)

    assert [one.reason for one in asked] == ["INVALID_CODE"] * 10 + ["CODE_BLOCKED"] * 4
    assert right.reason == "CODE_BLOCKED"
    assert at_a_till.result == "valid"


async def test_a_slowed_terminal_gets_one_try_per_pause_and_each_pause_is_longer(
    shop: Shop,
) -> None:
    for n in range(10):
        await shop.redeem("1234567890", phone=f"0812000000{n:02d}")
    checked = []

    for second in range(120):
        shop.later(seconds=1)
        answer = await shop.redeem("1234567890", phone=f"08130000{second:04d}")
        if answer.reason == "INVALID_CODE":
            checked.append(second + 1)

    assert checked == [5, 15, 35, 75]


async def test_customers_who_mistype_do_not_slow_the_terminal(shop: Shop) -> None:
    """Ten wrong codes, but of two phones."""
    _, code = await shop.active()
    _, other = await shop.active(OTHER_PHONE, reference="refund-2")
    third, right = await shop.active("081999888777", reference="refund-3")

    await guess(shop, code, range(1, 6))
    await guess(shop, other, range(1, 6), phone=OTHER_PHONE)

    assert (await shop.redeem(right, phone="081999888777")).result == "valid"
    assert shop.status(third) == "paid"


async def test_a_terminal_is_fast_again_when_its_scan_is_over(shop: Shop) -> None:
    for n in range(10):
        await shop.redeem("1234567890", phone=f"0812000000{n:02d}")
    shop.later(minutes=10)

    answers = [await shop.redeem("1234567890", phone=f"0813000000{n:02d}") for n in range(9)]

    assert {one.reason for one in answers} == {"INVALID_CODE"}


async def test_codes_issued_before_a_rotation_are_redeemed_after_it(shop: Shop) -> None:
    life, code = await shop.active()
    new = f"c2:{base64.b64encode(os.urandom(32)).decode()}"

    shop.cashout = shop.shell(handlers(keys=f"{new},{CODE_KEY}"))
    rotated, fresh = await shop.active(reference="refund-2")

    assert shop.life(life)["digest"].startswith("c1.")
    assert shop.life(rotated)["digest"].startswith("c2.")
    assert (await shop.redeem(code)).result == "valid"
    assert (await shop.redeem(fresh)).result == "valid"


async def test_a_code_that_a_live_one_of_the_phone_has_is_drawn_again(shop: Shop) -> None:
    drawn = iter([bytes(16)] * 4 + [bytes(15) + b"\x01"] * 10)
    shop.cashout = shop.shell(handlers(entropy=lambda _n: next(drawn)))

    _, first = await shop.active()
    _, second = await shop.active(reference="refund-2")

    assert first == "0000000000"
    assert second[:9] == "000000001"


async def test_two_lives_of_one_batch_get_different_codes(shop: Shop) -> None:
    drawn = iter(bytes(15) + bytes([n]) for n in (1, 2, 3, 1, 2, 3))
    shop.cashout = shop.shell(handlers(entropy=lambda _n: next(drawn)))
    lives = [await shop.requested(reference=f"refund-{n}") for n in range(2)]

    await shop.pump()

    assert len({shop.code(life) for life in lives}) == 2


async def test_the_code_of_a_life_that_is_over_may_be_drawn_again(shop: Shop) -> None:
    shop.cashout = shop.shell(handlers(entropy=bytes))
    first, code = await shop.active()
    await shop.cancel(first)
    shop.later(seconds=1)

    second, again = await shop.active(reference="refund-2")

    assert again == code
    assert (await shop.redeem(code)).result == "valid"
    assert (shop.status(first), shop.status(second)) == ("cancelled", "paid")


async def test_a_code_that_cannot_be_opened_is_parked_and_hurts_nobody_else(shop: Shop) -> None:
    _, code = await shop.active()
    await shop.ask(shop.redemption(code, store_ref="R1").altered(code="k9.AAAA"))

    answer = await shop.redeem(code, store_ref="R2")

    assert answer.result == "valid"
    assert len(shop.parked()) == 1
    assert [one.store_ref for one in shop.said(cashout.RedemptionAnswered)] == ["R2"]
