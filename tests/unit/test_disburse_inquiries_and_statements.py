"""Account inquiries end in time, and a statement tells what no other answer told."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.disburse import v1 as disburse
from services.disburse.rails import InquiryRefused, InquiryUnclear, Named, RailUnavailable, Unclear
from services.disburse.statements import statement_errand
from tests.support.disburse_world import (
    LIFE,
    NOON,
    SEALER,
    FakeRail,
    World,
    destination,
    funds_held,
    line,
    order,
)

INQUIRY = "inq_1"
SILENT = Unclear("no answer within 1 s")


async def inquire(world: World, **changes: Any) -> Any:
    """Ask whose account it is, and return the event that answers."""
    to = destination(**changes)
    asked = disburse.InquireAccount(
        inquiry=INQUIRY, partner="acme", environment="sandbox", destination=to
    )
    await world.hear(asked)
    await world.work()
    (event,) = world.said("disburse.events")
    return event.message


@pytest.mark.parametrize(
    ("expected", "found", "match"),
    [("ANI", "Ani", "exact"), ("ANI", "BUDI", "none"), (None, "ANI", "not_asked")],
)
async def test_an_inquiry_tells_the_sealed_name_and_how_well_it_matches(
    expected: str | None, found: str, match: str
) -> None:
    world = World(FakeRail(inquiries=[Named(found)]))

    answer = await inquire(world, account_name=expected)

    assert isinstance(answer, disburse.AccountInquired)
    assert answer.match == match
    assert SEALER.open(answer.account_name, "account_name") == found
    assert world.store.collections == {}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (
            InquiryRefused("INVALID_DESTINATION", "no such account", "4041611"),
            "INVALID_DESTINATION",
        ),
        (InquiryUnclear("no answer within 1 s"), "BANK_UNAVAILABLE"),
    ],
)
async def test_an_inquiry_without_a_name_fails_with_its_reason(answer: Any, code: str) -> None:
    world = World(FakeRail(inquiries=[answer]))

    failed = await inquire(world)

    assert isinstance(failed, disburse.AccountInquiryFailed)
    assert failed.code == code


async def test_an_inquiry_about_a_bank_that_no_rail_serves_fails() -> None:
    world = World(choose=lambda _environment, _destination: None)

    failed = await inquire(world)

    assert failed.code == "CHANNEL_NOT_SUPPORTED"


async def test_an_inquiry_that_nobody_waits_for_any_more_is_not_asked() -> None:
    world = World()
    asked = disburse.InquireAccount(
        inquiry=INQUIRY, partner="acme", environment="sandbox", destination=destination()
    )
    await world.hear(asked)
    world.clock.pass_s(11)

    await world.work()

    assert world.rail.inquired == []
    assert world.names("disburse.events") == ["AccountInquiryFailed"]


async def test_a_return_that_only_the_statement_tells_reverses_the_life() -> None:
    world = World()
    await world.requested()
    await world.work()
    world.rail.lines = [line("DEBIT", NOON), line("CREDIT", NOON + timedelta(seconds=8))]
    world.plant_statement()
    world.clock.pass_s(10)

    await world.work()

    assert world.status == "reversed"
    assert world.names("ledger.commands") == ["HoldFunds", "SettleHold", "ReturnFunds"]


async def test_a_statement_is_read_for_ever_and_a_line_says_one_message() -> None:
    world = World()
    await world.requested()
    await world.work()
    world.rail.lines = [line("CREDIT", NOON)]
    world.plant_statement()

    await world.worker.once()
    world.clock.pass_s(301)
    await world.worker.once()
    await world.own_commands()

    returned = [
        one.id
        for one in world.said("disburse.commands")
        if isinstance(one.message, disburse.TransferReturned)
    ]
    assert len(returned) == 2
    assert len(set(returned)) == 1
    assert len(world.errands.rows) == 1
    assert world.status == "reversed"


async def test_two_returns_on_one_statement_are_two_messages() -> None:
    world = World()
    other = LIFE[:-1] + "A"
    await world.requested()
    await world.hear(disburse.RequestDisbursement(disbursement=other, order=order()), name="2")
    await world.hear(funds_held(other), name="2")
    await world.work()
    world.rail.lines = [line("CREDIT", NOON), replace(line("CREDIT", NOON), reference=other)]
    world.plant_statement()

    await world.work()

    lives = await world.notes.lives([LIFE, other])
    assert [life.status for life in lives.values()] == ["reversed", "reversed"]


async def test_a_line_about_another_rails_transfer_says_nothing() -> None:
    rail = FakeRail(name="bri", lines=[line("CREDIT", NOON)])
    world = World(rail)
    world.rails["bca"] = FakeRail()
    await world.requested()
    await world.work()
    world.errands.insert([statement_errand("bri", world.clock())])

    await world.work()

    assert world.status == "succeeded"
    assert "CommandRefused" not in world.names("disburse.events")


async def test_a_statement_goes_on_where_the_last_one_ended_with_an_overlap() -> None:
    world = World()
    world.plant_statement()

    await world.worker.once()
    world.clock.pass_s(2 * 86_400)
    await world.worker.once()

    (_, first_until), (second_since, second_until) = world.rail.statements_asked
    assert first_until - second_since == timedelta(hours=6)
    assert second_until == world.clock()


async def test_a_bank_without_a_statement_is_asked_again_from_the_same_point() -> None:
    class Silent(FakeRail):
        async def statement(self, since: Any, until: Any) -> Any:
            self.statements_asked.append((since, until))
            raise RailUnavailable("no statement")

    world = World(Silent())
    world.plant_statement()

    await world.worker.once()
    world.clock.pass_s(301)
    await world.worker.once()

    assert len(world.rail.statements_asked) == 2
    assert await world.notes.read_until("bca") is None


async def test_a_debit_on_the_statement_ends_what_is_unclear() -> None:
    world = World(FakeRail(sends=[SILENT], asks=[SILENT]))
    await world.requested()
    await world.work()
    world.rail.lines = [line("DEBIT", NOON)]
    world.plant_statement()

    await world.work()

    assert world.status == "succeeded"


async def test_a_debit_of_a_failed_life_pages_a_person() -> None:
    world = World(FakeRail(sends=[SILENT]))
    await world.requested()
    await world.work()
    refused = disburse.TransferRefused(disbursement=LIFE, sending=1, code="REJECTED_BY_BANK")
    await world.hear(refused)
    world.rail.lines = [line("DEBIT", NOON)]
    world.plant_statement()

    await world.work()

    assert world.status == "failed"
    assert world.names("disburse.events")[-1] == "TransferContradicted"


async def test_a_credit_of_another_amount_returns_nothing() -> None:
    world = World()
    await world.requested()
    await world.work()
    world.rail.lines = [line("CREDIT", NOON, amount=1)]
    world.plant_statement()

    await world.work()

    assert world.status == "succeeded"
