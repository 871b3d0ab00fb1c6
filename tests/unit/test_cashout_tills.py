"""The thirty seconds: a store that hears nothing reverses; money ends in one place."""

from datetime import timedelta

import pytest

from contracts.cashout import v1 as cashout
from contracts.ledger import v1 as ledger
from tests.support.cashout import (
    AMOUNT,
    CHAIN,
    DEPOSIT,
    FEE,
    OTHER_CHAIN,
    OTHER_PHONE,
    PHONES,
    Shop,
    wrong,
)

SPENT = (DEPOSIT - AMOUNT - FEE, 0)
UNTOUCHED = (DEPOSIT, 0)
HELD = (DEPOSIT - AMOUNT - FEE, AMOUNT + FEE)


@pytest.fixture
async def shop() -> Shop:
    made = Shop()
    await made.open()
    return made


async def test_a_code_is_paid_with_a_receipt_and_the_ledger_settles(shop: Shop) -> None:
    life, code = await shop.active()

    answer = await shop.redeem(code, store_ref="R1")

    assert (answer.result, answer.reason) == ("valid", None)
    assert answer.receipt is not None
    assert (answer.receipt.amount, answer.receipt.phone) == (AMOUNT, "0812****7890")
    assert answer.receipt.reference == life
    for text in ("Rp 100.000", "0812****7890", "R1", life, "02-03-2026 10:04:05 WIB"):
        assert text in answer.receipt.text
    assert shop.status(life) == "paid"
    assert shop.money() == SPENT
    [settled] = shop.said(ledger.HoldSettled)
    assert settled.rail == "till-indomaret.sandbox"
    assert shop.told(life) == ["CodeIssued", "CodeRedeemed"]
    assert shop.parked() == []


async def test_a_reversal_after_its_redemption_gives_amount_and_fee_back(shop: Shop) -> None:
    life, code = await shop.active()
    await shop.redeem(code, store_ref="R1")

    answer = await shop.reverse("R1")

    assert (answer.result, answer.effect) == ("accepted", "reversed")
    assert shop.status(life) == "reversed"
    assert shop.money() == UNTOUCHED
    [returned] = shop.said(ledger.FundsReturned)
    assert returned.fee_returned
    [told] = shop.said(cashout.CashoutReversed)
    assert told.failure == cashout.Failure(code="REVERSED_BY_STORE", message="timeout")
    assert told.redemption is not None
    assert told.redemption.store_ref == "R1"


async def test_a_payment_that_arrives_after_its_reversal_is_refused(shop: Shop) -> None:
    life, code = await shop.active()
    early = await shop.reverse("R1")

    answer = await shop.redeem(code, store_ref="R1")

    assert early.effect == "nothing_paid"
    assert (answer.result, answer.reason) == ("invalid", "REVERSED_BY_STORE")
    assert answer.receipt is None
    assert shop.status(life) == "active"
    assert shop.money() == HELD


async def test_a_code_reversed_before_it_was_paid_can_be_paid_under_a_new_reference(
    shop: Shop,
) -> None:
    life, code = await shop.active()
    await shop.reverse("R1")

    answer = await shop.redeem(code, store_ref="R2")

    assert answer.result == "valid"
    assert shop.status(life) == "paid"


async def test_a_reversal_instead_of_its_redemption_gets_a_yes_and_touches_nothing(
    shop: Shop,
) -> None:
    life, _ = await shop.active()

    answer = await shop.reverse("R1")

    assert (answer.result, answer.effect) == ("accepted", "nothing_paid")
    assert answer.standing.state == "reversed"
    assert shop.status(life) == "active"
    assert shop.money() == HELD


async def test_a_reversal_that_comes_twice_is_told_to_the_partner_once(shop: Shop) -> None:
    life, code = await shop.active()
    await shop.redeem(code, store_ref="R1")

    effects = [(await shop.reverse("R1")).effect for _ in range(3)]

    assert effects == ["reversed", "already_reversed", "already_reversed"]
    assert shop.told(life) == ["CodeIssued", "CodeRedeemed", "CashoutReversed"]
    assert len(shop.said(ledger.ReturnFunds)) == 1
    assert shop.money() == UNTOUCHED


async def test_an_unknown_reference_that_is_reversed_twice_was_never_paid(shop: Shop) -> None:
    effects = [(await shop.reverse("R9")).effect for _ in range(2)]

    assert effects == ["nothing_paid", "nothing_paid"]
    assert shop.money() == UNTOUCHED


async def test_a_reversal_may_spell_the_phone_in_any_way(shop: Shop) -> None:
    for ref, phone in (("R1", "081234567890"), ("R2", "6281234567890"), ("R3", "+6281234567890")):
        life, code = await shop.active(phone)
        await shop.redeem(code, store_ref=ref, phone="081234567890")

        answer = await shop.reverse(ref, phone=phone)

        assert answer.effect == "reversed"
        assert shop.status(life) == "reversed"


async def test_a_reversal_with_another_phone_still_reverses_what_its_reference_paid(
    shop: Shop,
) -> None:
    life, code = await shop.active()
    await shop.redeem(code, store_ref="R1")

    answer = await shop.reverse("R1", phone=OTHER_PHONE)

    assert answer.effect == "reversed"
    assert shop.status(life) == "reversed"
    assert shop.money() == UNTOUCHED


async def test_a_repeat_with_a_different_amount_is_refused_and_pays_nothing_more(
    shop: Shop,
) -> None:
    life, code = await shop.active()
    first = await shop.redeem(code, store_ref="R1")

    other = await shop.redeem(code, store_ref="R1", amount=150_000)
    again = await shop.redeem(code, store_ref="R1")

    assert (other.result, other.reason) == ("invalid", "DUPLICATE_REFERENCE")
    assert other.standing == first.standing
    assert again.receipt == first.receipt
    assert shop.life(life)["wrong_amounts"] == 0
    assert (await shop.reverse("R1")).effect == "reversed"


async def test_another_code_under_a_paid_reference_is_refused_as_a_duplicate(shop: Shop) -> None:
    _, code = await shop.active()
    second, second_code = await shop.active(reference="refund-2")
    await shop.redeem(code, store_ref="R1")

    answer = await shop.redeem(second_code, store_ref="R1")

    assert answer.reason == "DUPLICATE_REFERENCE"
    assert shop.status(second) == "active"


async def test_a_reference_that_another_chain_used_is_simply_unknown(shop: Shop) -> None:
    life, code = await shop.active()
    await shop.redeem(code, store_ref="R1")

    answer = await shop.reverse("R1", chain=OTHER_CHAIN)

    assert (answer.result, answer.effect) == ("accepted", "nothing_paid")
    assert shop.status(life) == "paid"
    assert shop.money() == SPENT


@pytest.mark.parametrize("end", ["expired", "cancelled", "blocked"])
async def test_a_reversal_after_the_code_is_over_gets_a_yes_and_moves_nothing(
    shop: Shop, end: str
) -> None:
    life, code = await shop.active()
    if end == "expired":
        await shop.expire(life)
    elif end == "cancelled":
        await shop.cancel(life)
    else:
        for amount in range(50_000, 50_005):
            await shop.redeem(code, amount=amount)
    await shop.pump()

    answer = await shop.reverse("R1")

    assert (answer.result, answer.effect) == ("accepted", "nothing_paid")
    assert shop.status(life) == end
    assert shop.money() == UNTOUCHED


async def test_a_code_that_was_refused_and_then_reversed_stays_refused(shop: Shop) -> None:
    life, code = await shop.active()
    await shop.redeem(code, store_ref="R1", amount=50_000)

    reversal = await shop.reverse("R1")
    corrected = await shop.redeem(code, store_ref="R1")

    assert reversal.effect == "nothing_paid"
    assert corrected.reason == "REVERSED_BY_STORE"
    assert shop.status(life) == "active"


async def test_a_yes_whose_answer_was_lost_is_still_a_yes_after_answer_by(shop: Shop) -> None:
    _, code = await shop.active()
    asked = shop.redemption(code, store_ref="R1")
    await shop.ask(asked)
    await shop.pump()
    shop.later(hours=2)

    await shop.ask(asked)
    await shop.pump()

    first, late = shop.envelopes(cashout.RedemptionAnswered)
    assert late.message.result == "valid"
    assert late.message.model_dump_json() == first.message.model_dump_json()
    assert (late.sequence, late.correlation) == (first.sequence, first.correlation)
    assert len(shop.said(cashout.CodeRedeemed)) == 1


async def test_an_undecided_redemption_that_comes_late_is_too_late(shop: Shop) -> None:
    life, code = await shop.active()
    asked = shop.redemption(code, store_ref="R1", answer_by=shop.now + timedelta(seconds=25))
    await shop.ask(asked)
    shop.later(seconds=25, milliseconds=1)

    await shop.pump()

    [answer] = shop.said(cashout.RedemptionAnswered)
    assert (answer.result, answer.reason) == ("invalid", "TOO_LATE")
    assert shop.status(life) == "active"
    assert shop.money() == HELD


async def test_a_redemption_that_is_decided_at_answer_by_is_in_time(shop: Shop) -> None:
    _, code = await shop.active()
    await shop.ask(shop.redemption(code, answer_by=shop.now + timedelta(seconds=25)))
    shop.later(seconds=25)

    await shop.pump()

    assert shop.said(cashout.RedemptionAnswered)[0].result == "valid"


async def test_a_late_wrong_try_is_too_late_and_does_not_count(shop: Shop) -> None:
    _, code = await shop.active()

    answer = await shop.redeem(wrong(code), answer_by=shop.now - timedelta(milliseconds=1))

    assert answer.reason == "TOO_LATE"
    assert "tries" not in shop.store.collections


async def test_the_same_till_that_retries_gets_the_same_receipt_to_the_byte(shop: Shop) -> None:
    _, code = await shop.active()
    first = await shop.redeem(code, store_ref="R1", phone="0812 3456 7890")
    shop.later(seconds=31)

    again = await shop.redeem(code, store_ref="R1", phone="+62 812-3456-7890")

    assert first.receipt is not None
    assert again.receipt is not None
    assert again.receipt.model_dump_json() == first.receipt.model_dump_json()
    assert len(shop.said(ledger.SettleHold)) == 1


async def test_a_corrected_try_under_the_same_reference_is_not_answered_with_the_old_no(
    shop: Shop,
) -> None:
    life, code = await shop.active()
    mistyped = await shop.redeem(wrong(code), store_ref="R1")
    wrong_amount = await shop.redeem(code, store_ref="R1", amount=50_000)

    corrected = await shop.redeem(code, store_ref="R1")

    assert [mistyped.reason, wrong_amount.reason] == ["INVALID_CODE", "AMOUNT_MISMATCH"]
    assert corrected.result == "valid"
    assert shop.status(life) == "paid"
    correlations = {one.correlation for one in shop.envelopes(cashout.RedemptionAnswered)}
    assert len(correlations) == 3


async def test_the_same_no_is_repeated_and_counts_once(shop: Shop) -> None:
    life, code = await shop.active()

    answers = [await shop.redeem(code, store_ref="R1", amount=50_000) for _ in range(7)]

    assert {one.reason for one in answers} == {"AMOUNT_MISMATCH"}
    assert shop.life(life)["wrong_amounts"] == 1


async def test_the_standing_of_a_reference_never_goes_backwards(shop: Shop) -> None:
    _, code = await shop.active()
    await shop.redeem(wrong(code), store_ref="R1")
    await shop.redeem(code, store_ref="R1")
    await shop.redeem(code, store_ref="R1", amount=50_000)
    await shop.reverse("R1")
    await shop.redeem(code, store_ref="R1")
    await shop.reverse("R1")

    said = shop.envelopes(cashout.RedemptionAnswered, cashout.ReversalAnswered)

    by_sequence: dict[int, set[str]] = {}
    for one in said:
        assert one.key == f"{CHAIN}/R1"
        by_sequence.setdefault(one.sequence or 0, set()).add(one.message.standing.model_dump_json())
    assert sorted(by_sequence) == [1, 2, 3]
    assert all(len(standings) == 1 for standings in by_sequence.values())
    states = [cashout.Standing.model_validate_json(*by_sequence[n]).state for n in (1, 2, 3)]
    assert states == ["refused", "paid", "reversed"]


async def test_the_code_of_a_reversed_redemption_is_dead(shop: Shop) -> None:
    _, code = await shop.active()
    await shop.redeem(code, store_ref="R1")
    await shop.reverse("R1")

    answer = await shop.redeem(code, store_ref="R2")

    assert (answer.result, answer.reason) == ("invalid", "REVERSED_BY_STORE")
    assert shop.money() == UNTOUCHED


async def test_an_answer_wakes_the_store_and_a_life_event_does_not(shop: Shop) -> None:
    life, code = await shop.active()
    fingerprint = PHONES.redemption(code, "6281234567890", AMOUNT)
    await shop.redeem(code, store_ref="R1")
    await shop.reverse("R1")

    answered = shop.envelopes(cashout.RedemptionAnswered)[0].correlation
    others = shop.envelopes(
        cashout.CodeRedeemed, cashout.CashoutReversed, ledger.SettleHold, ledger.ReturnFunds
    )

    assert answered == f"{CHAIN}/R1/redemption/{fingerprint}"
    assert {one.correlation for one in others} == {life}


async def test_an_inquiry_says_what_a_redemption_would_and_changes_nothing(shop: Shop) -> None:
    life, code = await shop.active()
    before = shop.life(life)

    right = await shop.inquire(code)
    short = await shop.inquire(wrong(code))

    assert (right.result, right.reason) == ("valid", None)
    assert (short.result, short.reason) == ("invalid", "INVALID_CODE")
    assert shop.life(life) == before
    assert "references" not in shop.store.collections
    inquiries = shop.envelopes(cashout.InquiryAnswered)
    assert {one.correlation for one in inquiries} == {right.inquiry, short.inquiry}
