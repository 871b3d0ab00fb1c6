"""Two that exclude each other: one wins, whoever is first, and the ledger agrees."""

from typing import Any

import pytest

from contracts import catalog
from contracts.cashout import v1 as cashout
from contracts.ledger import v1 as ledger
from services._kit.ports import Record
from tests.support.cashout import (
    AMOUNT,
    DEPOSIT,
    FEE,
    OTHER_PHONE,
    Meanwhile,
    Shop,
    handlers,
    record,
    wrong,
)

SPENT, UNTOUCHED = (DEPOSIT - AMOUNT - FEE, 0), (DEPOSIT, 0)


@pytest.fixture
async def shop() -> Shop:
    made = Shop()
    await made.open()
    return made


def second(shop: Shop, then: Any) -> Any:
    """Another process of the service, in whose commit ``then`` happens first."""
    return shop.shell(handlers(shop.terms), Meanwhile(shop.store, then))


async def both(shop: Shop, slow: Record, quick: Record) -> None:
    """Two processes at once: the quick one commits while the slow one has already decided."""
    await second(shop, lambda: shop.cashout.handle([quick])).handle([slow])
    await shop.pump()


async def test_two_tills_redeem_the_same_code_at_the_same_moment_and_one_wins(
    shop: Shop,
) -> None:
    life, code = await shop.active()
    slow, quick = (record(shop.redemption(code, terminal_id=t), shop.now) for t in "12")

    await both(shop, slow, quick)

    answers = sorted((a.result, a.reason) for a in shop.said(cashout.RedemptionAnswered))
    assert answers == [("invalid", "CODE_ALREADY_USED"), ("valid", None)]
    assert len(shop.said(cashout.CodeRedeemed)) == 1
    assert shop.status(life) == "paid"
    assert shop.money() == SPENT


async def test_two_tills_in_one_batch_and_one_wins(shop: Shop) -> None:
    _, code = await shop.active()
    batch = [record(shop.redemption(code, terminal_id=t), shop.now) for t in "12"]

    await shop.cashout.handle(batch)
    await shop.pump()

    assert len(shop.said(cashout.CodeRedeemed)) == 1
    assert shop.money() == SPENT


@pytest.mark.parametrize("first", ["redemption", "reversal"])
async def test_a_reversal_concurrent_with_its_redemption_leaves_the_money_in_one_place(
    shop: Shop, first: str
) -> None:
    life, code = await shop.active()
    redemption = record(shop.redemption(code, store_ref="R1"), shop.now)
    reversal = record(shop.reversal("R1"), shop.now)

    if first == "redemption":
        await both(shop, slow=reversal, quick=redemption)
    else:
        await both(shop, slow=redemption, quick=reversal)

    [yes] = shop.said(cashout.ReversalAnswered)
    [answer] = shop.said(cashout.RedemptionAnswered)
    if first == "redemption":
        assert (answer.result, yes.effect, shop.status(life)) == ("valid", "reversed", "reversed")
        assert shop.money() == UNTOUCHED
    else:
        assert (answer.reason, yes.effect) == ("REVERSED_BY_STORE", "nothing_paid")
        assert shop.status(life) == "active"
    assert shop.parked() == []


@pytest.mark.parametrize("first", ["redemption", "reversal"])
async def test_a_reversal_with_another_phone_meets_its_redemption_in_the_common_document(
    shop: Shop, first: str
) -> None:
    """The two stand in different lines: only the reference's guard sees both."""
    life, code = await shop.active()
    redemption = record(shop.redemption(code, store_ref="R1"), shop.now)
    reversal = record(shop.reversal("R1", phone=OTHER_PHONE), shop.now)
    assert redemption.key != reversal.key

    pair = (reversal, redemption) if first == "redemption" else (redemption, reversal)
    await both(shop, *pair)

    assert shop.status(life) == ("reversed" if first == "redemption" else "active")
    held = shop.money()[1]
    assert held == (0 if first == "redemption" else AMOUNT + FEE)


async def test_two_phones_under_one_reference_at_once_and_one_is_paid(shop: Shop) -> None:
    mine, code = await shop.active()
    other, other_code = await shop.active(OTHER_PHONE, reference="refund-2")
    quick = record(shop.redemption(code, store_ref="R1"), shop.now)
    slow = record(shop.redemption(other_code, store_ref="R1", phone=OTHER_PHONE), shop.now)

    await both(shop, slow, quick)

    answers = {(a.result, a.reason) for a in shop.said(cashout.RedemptionAnswered)}
    assert answers == {("valid", None), ("invalid", "DUPLICATE_REFERENCE")}
    assert (shop.status(mine), shop.status(other)) == ("paid", "active")


async def test_a_repeated_yes_loses_against_a_reversal_meanwhile(shop: Shop) -> None:
    life, code = await shop.active()
    asked = shop.redemption(code, store_ref="R1")
    await shop.ask(asked)
    await shop.pump()

    await both(shop, record(asked, shop.now), record(shop.reversal("R1"), shop.now))

    last = shop.said(cashout.RedemptionAnswered)[-1]
    assert (last.result, last.reason) == ("invalid", "REVERSED_BY_STORE")
    assert shop.status(life) == "reversed"


async def test_wrong_codes_of_one_phone_in_two_processes_both_count(shop: Shop) -> None:
    _, code = await shop.active()
    slow, quick = (record(shop.redemption(wrong(code, n)), shop.now) for n in (1, 2))

    await both(shop, slow, quick)

    [tries] = shop.store.collections["tries"].values()
    assert len(tries["wrong_at"]) == 2


async def test_wrong_codes_of_two_phones_at_one_terminal_both_count(shop: Shop) -> None:
    slow = record(shop.redemption("1234567890"), shop.now)
    quick = record(shop.redemption("1234567890", phone=OTHER_PHONE), shop.now)

    await both(shop, slow, quick)

    [terminal] = shop.store.collections["terminals"].values()
    assert len(terminal["wrong"]) == 2


@pytest.mark.parametrize("ms", [-1, 0, 1])
@pytest.mark.parametrize("rival", ["expire", "cancel"])
@pytest.mark.parametrize("order", ["redeem first", "rival first", "redeem overtaken", "overtaking"])
async def test_redeem_against_expire_and_cancel_has_one_winner(
    shop: Shop, ms: int, rival: str, order: str
) -> None:
    life, code = await shop.active()
    expires_at = shop.now.replace(hour=shop.now.hour) + (shop.order().expires_at - shop.now)
    shop.now = expires_at
    shop.later(milliseconds=ms)
    redemption = record(shop.redemption(code), shop.now)
    model = cashout.ExpireCode if rival == "expire" else cashout.CancelCashout
    other = record(model(cashout=life, phone_hash=str(shop.life(life)["phone_hash"])), shop.now)

    if order in ("redeem first", "rival first"):
        batch = [redemption, other] if order == "redeem first" else [other, redemption]
        await shop.cashout.handle(batch)
        await shop.pump()
    elif order == "redeem overtaken":
        await both(shop, slow=redemption, quick=other)
    else:
        await both(shop, slow=other, quick=redemption)

    # From ``expires_at`` on a code is not paid, whether or not its clock has rung.
    paid = ms < 0 and order in ("redeem first", "overtaking")
    [answer] = shop.said(cashout.RedemptionAnswered)
    assert (answer.result == "valid") == paid
    ended = {"expire": "expired", "cancel": "cancelled"}[rival]
    assert shop.status(life) == ("paid" if paid else ended)
    assert shop.money() == (SPENT if paid else UNTOUCHED)
    asked = [one.type for one in shop.envelopes(ledger.SettleHold, ledger.ReleaseHold)]
    assert asked == [ledger.SettleHold.type if paid else ledger.ReleaseHold.type]
    assert len(shop.told(life)) == 2
    assert shop.parked() == []


async def test_a_slow_process_that_repeats_an_old_answer_is_dropped_by_its_sequence(
    shop: Shop,
) -> None:
    """A view that keeps what is newest never shows a paid or reversed reference as refused."""
    _, code = await shop.active()
    refused = record(shop.redemption(wrong(code), store_ref="R1"), shop.now)
    await shop.cashout.handle([refused])
    await shop.redeem(code, store_ref="R1")
    await shop.reverse("R1")

    await shop.cashout.handle([refused])

    answers = shop.envelopes(cashout.RedemptionAnswered, cashout.ReversalAnswered)
    last = shop.log.topics["cashout.events"]
    again = [one for line in last for one in line if one.key.endswith("/R1")][-1]
    assert (
        again.value
        == next(a for a in shop.log.all("cashout.events") if a.key.endswith("/R1")).value
    )
    shown, newest = [], 0
    for one in answers:
        if (one.sequence or 0) > newest:
            newest = one.sequence or 0
            shown.append(one.message.standing.state)
    assert shown == ["refused", "paid", "reversed"]


async def test_a_crash_after_the_commit_gives_the_store_the_same_answer(shop: Shop) -> None:
    _, code = await shop.active()
    asked = record(shop.redemption(code, store_ref="R1"), shop.now)

    class Gone(BaseException):
        pass

    def die(step: str) -> None:
        if step == "committed":
            raise Gone

    dying = shop.shell(handlers(shop.terms))
    dying._probe = die
    with pytest.raises(Gone):
        await dying.handle([asked])
    assert shop.said(cashout.RedemptionAnswered) == []

    await shop.cashout.handle([asked])
    await shop.cashout.handle([asked])
    await shop.pump()

    first, again = shop.envelopes(cashout.RedemptionAnswered)
    assert first == again
    assert shop.money() == SPENT


async def test_the_answers_of_a_reference_stand_in_one_line(shop: Shop) -> None:
    row = catalog.row(cashout.RedemptionAnswered.type)

    assert row.key == catalog.row(cashout.ReversalAnswered.type).key == "key"
