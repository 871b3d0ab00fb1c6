"""The thirty seconds of a store: repeats, reversals, and what may never be said again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from contracts.cashout import v1 as cashout
from tests.integration.gateway_till import (
    KEY,
    answer_redemption,
    answer_reversal,
    nth,
    paid,
    redeem,
    requests,
    reverse,
    reversed_by,
    status,
    tills,
)
from tests.integration.gateway_world import World


@pytest.fixture(scope="module")
async def world(kafka_url: str, mongo_url: str) -> AsyncIterator[World]:
    async with tills(kafka_url, mongo_url) as made:
        yield made


async def test_a_corrected_try_is_never_answered_with_the_old_no(world: World) -> None:
    store = await world.chain("corrects")
    wrong = asyncio.create_task(redeem(store, code="1111111111"))
    first = await nth(world, store, cashout.RedeemCode, 0)
    await answer_redemption(world, first, 1, "INVALID_CODE")
    assert (await wrong).json()["result"] == "invalid"
    corrected = asyncio.create_task(redeem(store))
    second = await nth(world, store, cashout.RedeemCode, 1)

    # A slow process says the old no again, then the answer comes, then the old no once more.
    await answer_redemption(world, first, 1, "INVALID_CODE")
    await answer_redemption(world, second, 2)
    answer = await corrected
    await answer_redemption(world, first, 1, "INVALID_CODE")
    await asyncio.sleep(0.5)

    assert answer.json()["result"] == "valid"
    assert (await status(store))["result"] == "valid"


async def test_an_old_yes_said_again_after_a_reversal_pays_nobody(world: World) -> None:
    store = await world.chain("no-zombie")
    await paid(world, store)
    await reversed_by(world, store)
    first = await nth(world, store, cashout.RedeemCode, 0)
    again = asyncio.create_task(redeem(store))
    second = await nth(world, store, cashout.RedeemCode, 1)

    # The same fingerprint and so the same correlation; only the cause tells it apart.
    await answer_redemption(world, first)
    await asyncio.sleep(0.3)
    await answer_redemption(world, second, 2, "REVERSED_BY_STORE")

    assert (await again).json() == {"result": "invalid", "reason": "REVERSED_BY_STORE"}
    assert (await status(store))["result"] == "reversed"


async def test_a_repeated_redemption_gets_the_same_receipt_to_the_byte(world: World) -> None:
    store = await world.chain("repeats")
    first = await paid(world, store)
    again = asyncio.create_task(redeem(store))

    await answer_redemption(world, await nth(world, store, cashout.RedeemCode, 1))

    assert (await again).content == first.content


@pytest.mark.parametrize("effect", ["reversed", "already_reversed", "nothing_paid"])
async def test_a_reversal_is_always_accepted_and_its_repeat_without_asking(
    world: World, effect: str
) -> None:
    store = await world.chain(f"effect-{effect.replace('_', '-')}")

    first = await reversed_by(world, store, effect)
    again = await reverse(store)

    assert first.json() == {"result": "accepted", "effect": effect}
    second = "nothing_paid" if effect == "nothing_paid" else "already_reversed"
    assert again.json() == {"result": "accepted", "effect": second}
    assert len(await requests(world, store, cashout.ReverseRedemption)) == 1
    assert await status(store) == {"result": "reversed"}


async def test_the_status_is_what_the_store_was_told_whatever_is_said_again(world: World) -> None:
    store = await world.chain("forwards")
    await paid(world, store)
    seen = [(await status(store))["result"]]
    await reversed_by(world, store)
    seen.append((await status(store))["result"])

    await answer_redemption(world, await nth(world, store, cashout.RedeemCode, 0))
    await asyncio.sleep(0.5)
    seen.append((await status(store))["result"])

    assert seen == ["valid", "reversed", "reversed"]


async def test_a_reversal_that_nobody_answers_is_504_and_repeated_meanwhile(world: World) -> None:
    store = await world.chain("silence")

    answer = await reverse(store)
    said = await world.said("cashout.commands", cashout.ReverseRedemption)

    assert answer.json()["code"] == "REVERSAL_UNANSWERED"
    assert answer.json()["retry"] == "yes"
    assert len([one for one in said if one.message.chain == store.account]) >= 3


async def test_a_reversal_is_not_refused_for_how_its_code_is_written(world: World) -> None:
    store = await world.chain("garbled")
    waiting = asyncio.create_task(reverse(store, code="48x1"))

    command = await nth(world, store, cashout.ReverseRedemption, 0)
    await answer_reversal(world, command, "nothing_paid", 1)

    assert (await waiting).json()["effect"] == "nothing_paid"
    assert command.message.fingerprint == KEY.reversal("6281234567890", None)
