"""The life's table, walked as a graph: every life ends with the money where its end says."""

from collections.abc import Iterator
from typing import get_args

import pytest

from contracts import catalog, public
from contracts.cashout import v1 as cashout
from contracts.failures import FAILURES
from contracts.ledger import v1 as ledger
from contracts.message import Message
from services._kit.life import Row
from services.cashout.domain import ENDS, STATUSES, TABLE
from services.cashout.tills import OVER_LIMIT, PAYS, SAME_REFERENCE
from services.cashout.words import ASKS, SAYS
from tests.support.cashout import DEPOSIT, NOW, Shop, record

# What the ledger has been asked when a life is there, and what the partner has been told.
ASKED = {
    "requested": ["HoldFunds"],
    "failed": ["HoldFunds"],
    "active": ["HoldFunds"],
    "paid": ["HoldFunds", "SettleHold"],
    "cancelled": ["HoldFunds", "ReleaseHold"],
    "expired": ["HoldFunds", "ReleaseHold"],
    "blocked": ["HoldFunds", "ReleaseHold"],
    "reversed": ["HoldFunds", "SettleHold", "ReturnFunds"],
}
TOLD = {
    "requested": "CashoutAccepted",
    "failed": "CashoutFailed",
    "active": "CodeIssued",
    "paid": "CodeRedeemed",
    "cancelled": "CashoutCancelled",
    "expired": "CodeExpired",
    "blocked": "CodeBlocked",
    "reversed": "CashoutReversed",
}
ANSWERS: dict[type[Message], str] = {
    cashout.RedeemCode: "RedemptionAnswered",
    cashout.ReverseRedemption: "ReversalAnswered",
    cashout.InquireCode: "InquiryAnswered",
}
# Which moves there are at all: from, on what, to, when.
MOVES = {
    (None, "RequestCashout", "requested", None),
    ("requested", "HoldRefused", "failed", None),
    ("requested", "FundsHeld", "active", None),
    ("active", "RedeemCode", "paid", PAYS),
    ("active", "RedeemCode", "blocked", OVER_LIMIT),
    ("active", "InquireCode", "blocked", OVER_LIMIT),
    ("active", "CancelCashout", "cancelled", None),
    ("active", "ExpireCode", "expired", None),
    ("paid", "ReverseRedemption", "reversed", SAME_REFERENCE),
}


def moves() -> list[Row]:
    return [row for row in TABLE.rows if row.becomes is not None]


def lives(status: str | None = None, path: tuple[Row, ...] = ()) -> Iterator[tuple[Row, ...]]:
    """Every way from nothing to anywhere."""
    for row in moves():
        if row.while_ == status:
            yield (*path, row)
            yield from lives(row.becomes, (*path, row))


def test_the_moves_are_those_of_the_architecture() -> None:
    assert {(r.while_, r.arrives.__name__, r.becomes, r.when) for r in moves()} == MOVES
    assert len(moves()) == len(MOVES)


def test_every_life_ends_with_the_money_where_its_end_says() -> None:
    for path in lives():
        end = path[-1].becomes or ""
        asked = [name for row in path for name in row.ask if not name.startswith("errand")]
        assert asked == ASKED[end], [row.becomes for row in path]


def test_every_change_of_a_life_is_told_once_under_its_name_and_a_store_is_answered() -> None:
    for row in TABLE.rows:
        answer = ANSWERS.get(row.arrives)
        told = [name for name in row.say if name not in ANSWERS.values()]
        assert told == ([TOLD[row.becomes]] if row.becomes else [])
        assert [name for name in row.say if name in ANSWERS.values()] == (
            [answer] if answer else []
        )


def test_nothing_waits_for_ever() -> None:
    """From each status an end can be reached, and an active code has an alarm clock."""
    reached: dict[str | None, set[str]] = {}
    for path in lives():
        for row in path:
            reached.setdefault(row.while_, set()).add(path[-1].becomes or "")
    for status in set(STATUSES) - ENDS:
        assert reached[status] & ENDS
    assert TABLE.terminal() == ENDS
    clocked = {row.becomes for row in TABLE.rows if "errand: expire" in row.ask}
    assert clocked == {"active"}
    assert TABLE.find("active", cashout.ExpireCode, lambda _when: False) is not None


def test_a_store_is_answered_whatever_the_life_is() -> None:
    for arrives in ANSWERS:
        for status in (None, *STATUSES):
            row = TABLE.find(status, arrives, lambda _when: False)
            assert row is not None
            assert (row.becomes, row.ask) == (None, ())


def test_all_that_the_table_says_and_asks_has_a_maker() -> None:
    assert {name for row in TABLE.rows for name in row.say} == set(SAYS)
    assert {name for row in TABLE.rows for name in row.ask} == set(ASKS)


def test_partners_see_every_status_and_callbacks_hear_what_has_a_callback() -> None:
    assert set(public.CASHOUT_STATUSES) == set(get_args(cashout.Status)) == set(TOLD)
    for status, event in TOLD.items():
        _, callback = public.CASHOUT_STATUSES[status]
        heard = catalog.row(getattr(cashout, event).type).heard_by
        assert ("callbacks" in heard) == (callback is not None)
    for answer in ANSWERS.values():
        assert catalog.row(getattr(cashout, answer).type).heard_by == ("gateway",)
    assert "REVERSED_BY_STORE" in FAILURES


@pytest.fixture
async def shop() -> Shop:
    made = Shop()
    await made.open()
    return made


async def test_a_request_that_the_deposit_does_not_cover_fails(shop: Shop) -> None:
    life = await shop.requested(amount=DEPOSIT)

    await shop.pump()

    [failed] = shop.said(cashout.CashoutFailed)
    assert failed.failure == cashout.Failure(code="INSUFFICIENT_BALANCE")
    assert shop.status(life) == "failed"
    assert shop.told(life) == ["CashoutFailed"]
    assert shop.money() == (DEPOSIT, 0)


async def test_only_an_active_code_can_be_cancelled(shop: Shop) -> None:
    life, code = await shop.active()
    await shop.redeem(code)

    late = await shop.cancel(life)
    unknown = await shop.cancel("cash_unknown")
    await shop.pump()

    refused = {one.correlation: one.message for one in shop.envelopes(cashout.CommandRefused)}
    assert {one.reason for one in refused.values()} == {"NOT_CANCELLABLE", "UNKNOWN_CASHOUT"}
    assert len(refused) == 2
    assert all(one.command == correlation for correlation, one in refused.items())
    assert late.value != unknown.value
    assert shop.status(life) == "paid"


async def test_a_cancelled_code_gives_its_money_back_and_wakes_whoever_cancelled(
    shop: Shop,
) -> None:
    life, code = await shop.active()

    await shop.cancel(life)
    await shop.pump()

    [event] = shop.envelopes(cashout.CashoutCancelled)
    assert event.correlation == event.cause
    assert shop.money() == (DEPOSIT, 0)
    assert (await shop.redeem(code)).reason == "INVALID_CODE"


async def test_a_code_expires_by_its_alarm_clock(shop: Shop) -> None:
    life, code = await shop.active(expires_at=NOW.replace(hour=4))
    assert await shop.ring() == 0

    shop.now = NOW.replace(hour=4)
    taken = await shop.ring()
    await shop.pump()

    assert taken == 1
    assert shop.status(life) == "expired"
    assert shop.money() == (DEPOSIT, 0)
    assert shop.told(life) == ["CodeIssued", "CodeExpired"]
    assert (await shop.redeem(code)).reason == "CODE_EXPIRED"


async def test_the_same_order_and_the_same_alarm_clock_change_nothing(shop: Shop) -> None:
    life, code = await shop.active()
    await shop.redeem(code)
    before = shop.life(life)

    order = cashout.RequestCashout(
        cashout=life, phone_hash=before["phone_hash"], order=shop.order()
    )
    await shop.say(order)
    await shop.expire(life)
    await shop.expire("cash_unknown")
    await shop.pump()

    assert shop.life(life) == before
    assert shop.said(cashout.CommandRefused) == []
    assert shop.parked() == []


async def test_a_sequence_numbers_each_change_of_a_life(shop: Shop) -> None:
    _, code = await shop.active()
    await shop.redeem(code, store_ref="R1", amount=50_000)
    await shop.redeem(code, store_ref="R1")
    await shop.reverse("R1")
    models: list[type[Message]] = [getattr(cashout, name) for name in TOLD.values()]

    said = shop.envelopes(*models)

    assert sorted(one.sequence or 0 for one in said) == [1, 2, 3, 4]


async def test_a_hold_of_another_amount_than_was_ordered_is_parked(shop: Shop) -> None:
    life = await shop.requested()
    await shop._step(shop.cashout)
    held = ledger.FundsHeld(
        account="toko.sandbox",
        available=0,
        held=1,
        hold=life,
        holder="cashout",
        amount=1,
        fee=0,
    )

    await shop.cashout.handle([record(held, shop.now, life)])

    assert len(shop.parked()) == 1
    assert shop.status(life) == "requested"
