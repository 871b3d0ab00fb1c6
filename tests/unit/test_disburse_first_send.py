"""What comes before the first call to a bank: time, token, name. In memory."""

from typing import Any

import pytest

from contracts.disburse import v1 as disburse
from services.disburse.rails import (
    InquiryRefused,
    InquiryUnclear,
    Named,
    NotFound,
    TokenExpired,
    Unclear,
)
from tests.support.disburse_world import (
    NO_TOKEN,
    PAID,
    FakeRail,
    World,
)

SILENT = Unclear("no answer within 1 s")
NOT_FOUND = NotFound("4043601")


async def test_what_was_not_sent_before_its_time_fails_instead_of_being_paid_late() -> None:
    world = World()
    await world.requested()
    world.clock.pass_s(3600)

    await world.work()

    assert world.life.failure == disburse.Failure(code="BANK_UNAVAILABLE")
    assert world.said("disburse.commands")[-1].message.sending == 0
    assert world.rail.called == []


async def test_a_bank_without_a_token_is_waited_for_until_send_before() -> None:
    world = World(FakeRail(signs=[NO_TOKEN]))
    await world.requested()

    await world.live(3500, step_s=60)
    status = world.status
    await world.live(200, step_s=60)

    assert status == "sending"
    assert world.transfer.sending == 0
    assert world.life.failure == disburse.Failure(code="BANK_UNAVAILABLE")


async def test_a_bank_that_gets_its_tokens_back_is_sent_to() -> None:
    world = World(FakeRail(signs=[NO_TOKEN, NO_TOKEN, None]))
    await world.requested()

    await world.live(60)

    assert world.status == "succeeded"
    assert len(world.rail.called) == 1


async def test_an_expired_token_is_a_new_sending() -> None:
    world = World(FakeRail(sends=[TokenExpired("4011801"), PAID]))
    await world.requested()

    await world.work()

    assert world.status == "succeeded"
    assert world.transfer.sending == 2
    assert world.transfer.resends == 0


async def test_a_bank_that_refuses_every_token_has_definitely_not_paid() -> None:
    world = World(FakeRail(sends=[TokenExpired("4011801")]))
    await world.requested()

    await world.work()

    assert world.life.failure == disburse.Failure(code="BANK_UNAVAILABLE")
    assert len(world.rail.called) == 2


async def test_refused_tokens_say_nothing_about_an_earlier_silence() -> None:
    rail = FakeRail(sends=[SILENT, TokenExpired()], asks=[NOT_FOUND], dedupes_reference=True)
    world = World(rail)
    await world.requested()

    await world.live(10)

    assert world.status == "unclear"


@pytest.mark.parametrize(
    ("found", "status", "code"),
    [
        (Named("Ani"), "succeeded", None),
        (Named("BUDI"), "failed", "ACCOUNT_NAME_MISMATCH"),
        (Named("ANI WIDYASTUTI"), "failed", "ACCOUNT_NAME_MISMATCH"),
        (InquiryRefused("INVALID_DESTINATION", "", ""), "failed", "INVALID_DESTINATION"),
    ],
)
async def test_a_strict_name_check_comes_before_the_first_send(
    found: Any, status: str, code: str | None
) -> None:
    world = World(FakeRail(inquiries=[found]))
    await world.requested(name_check="strict")

    await world.work()

    assert world.status == status
    assert (world.life.failure.code if world.life.failure else None) == code
    assert len(world.rail.called) == (status == "succeeded")


async def test_a_name_that_nobody_tells_is_asked_for_again_before_anything_is_sent() -> None:
    world = World(FakeRail(inquiries=[InquiryUnclear("silence"), Named("ANI")]))
    await world.requested(name_check="strict")

    await world.work()
    called_after_silence = list(world.rail.called)
    await world.live(20)

    assert called_after_silence == []
    assert len(world.rail.inquired) == 2
    assert world.status == "succeeded"
