"""Names: ids are derived from causes, so that the same cause says the same under the same id."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from contracts.envelope import decode
from contracts.ids import derived_id
from contracts.ledger import v1 as ledger
from services._kit.entries import REPLAY_HEADER
from services._kit.life import Answer, Received
from services._kit.ports import Record
from tests.kit.toy import (
    ACCOUNT,
    COUNTERS,
    CounterBook,
    Counters,
    Lives,
    credit,
    ring,
    sent,
    trouble,
)
from tests.kit.world import Hooked, World, shell_of


def held(hold: str = "life-1", holder: str = "disburse") -> ledger.FundsHeld:
    return ledger.FundsHeld(
        account=ACCOUNT, available=0, held=9, hold=hold, holder=holder, amount=9, fee=0
    )


def again(order: Record) -> Record:
    """As a person replays it."""
    return replace(order, headers=(*order.headers, (REPLAY_HEADER, "1")))


async def count(world: World) -> int:
    return sum(d["count"] for d in await world.documents(COUNTERS))


async def test_the_same_message_twice_in_one_batch_counts_once(world: World) -> None:
    order = credit(5)

    await shell_of(world, Counters()).handle([order, order])

    assert await count(world) == 1
    assert len({r.value for r in await world.records("ledger.events")}) == 1


async def test_the_same_id_with_other_content_changes_nothing_the_first_stands(
    world: World,
) -> None:
    first, second = credit(5, id_="one"), credit(6, id_="one")
    shell = shell_of(world, Counters())

    await shell.handle([first])
    await shell.handle([second])
    await shell.handle([credit(7, id_="two"), credit(8, id_="two")])

    said = {decode(r.value).message.available for r in await world.records("ledger.events")}
    assert said == {5, 12}


async def test_two_services_that_answer_one_event_say_it_under_different_ids(
    world: World,
) -> None:
    event = sent(held(), source="ledger")
    everyones = replace(event, headers=tuple(h for h in event.headers if h[0] == "ce_type"))

    for service in ("disburse", "cashout"):
        await shell_of(world, Lives(service)).handle([everyones])

    orders = await world.records("ledger.commands")
    assert len({decode(r.value).id for r in orders}) == 2


async def test_an_answer_that_names_another_holder_is_not_even_read(world: World) -> None:
    mine, theirs = Lives("disburse"), Lives("cashout")

    for lives in (mine, theirs):
        await shell_of(world, lives).handle([sent(held(holder="cashout"), source="ledger")])

    assert (len(mine.heard), len(theirs.heard)) == (0, 1)


async def test_an_answers_id_counts_within_its_cause_and_never_within_the_batch(
    world: World,
) -> None:
    alone, behind = credit(5), credit(6)
    cause = decode(behind.value)

    await shell_of(world, Counters()).handle([alone, behind])

    ids = {decode(r.value).id for r in await world.records("ledger.events")}
    assert derived_id(cause.id, cause.occurred_at, "ledger/0") in ids


async def test_an_answers_id_carries_its_causes_time_and_not_the_clock(world: World) -> None:
    order = credit(5)
    said_at = decode(order.value).occurred_at
    tomorrow = said_at + timedelta(days=1)

    await shell_of(world, Counters(), clock=lambda: tomorrow).handle([order])

    (event,) = [decode(r.value) for r in await world.records("ledger.events")]
    assert UUID(event.id).version == 8
    assert UUID(event.id).int >> 80 == round(said_at.timestamp() * 1000)
    assert event.occurred_at == tomorrow


async def test_an_errands_id_is_derived_from_the_message_that_asked_for_it(world: World) -> None:
    order = ring()
    cause = decode(order.value)

    await shell_of(world, Counters()).handle([order])

    (row,) = await world.documents("errands")
    assert row["_id"] == derived_id(cause.id, cause.occurred_at, "ledger/errand/0")


async def test_events_are_said_before_orders(world: World) -> None:
    waves: list[list[str]] = []

    class Listening:
        async def publish(self, records: list[object]) -> None:
            waves.append([r.topic for r in records])  # type: ignore[attr-defined]

    lives = Lives("disburse")

    await shell_of(world, lives, publisher=Listening()).handle(
        [sent(held("a"), source="ledger"), sent(held("b"), source="ledger")]
    )

    assert waves == [["disburse.events"] * 2, ["ledger.commands"] * 2]


async def test_a_parked_message_that_is_replayed_is_decided_once_even_if_replayed_twice(
    world: World,
) -> None:
    handlers = Lenient(broken=True)
    order = credit(5)
    replay = again(order)
    shell = shell_of(world, handlers)
    await shell.handle([order])
    handlers.broken = False

    await shell.handle([replay])
    await shell.handle([replay, replay])

    (counter,) = await world.documents(COUNTERS)
    assert counter["available"] == 5
    assert [row.get("parked") for row in await world.documents("inbox")] == [None]


async def test_a_parked_message_that_is_merely_delivered_again_stays_parked(world: World) -> None:
    handlers = Lenient(broken=True)
    order = credit(5)
    shell = shell_of(world, handlers)
    await shell.handle([order])
    handlers.broken = False

    await shell.handle([order])

    (counter,) = await world.documents(COUNTERS)
    assert counter["available"] == 0
    assert len({r.value for r in await world.records("ledger.commands.dead")}) == 1


async def test_a_replay_of_a_message_that_was_not_parked_changes_nothing(world: World) -> None:
    order = credit(5)
    replay = again(order)
    shell = shell_of(world, Counters())
    await shell.handle([order])

    await shell.handle([replay])

    (counter,) = await world.documents(COUNTERS)
    assert (counter["available"], counter["count"]) == (5, 1)


async def test_what_a_replay_says_has_other_ids_than_what_parking_said(world: World) -> None:
    handlers = Lenient(broken=True)
    order = credit(5)
    replay = again(order)
    shell = shell_of(world, handlers)
    await shell.handle([order])
    handlers.broken = False

    await shell.handle([replay])

    events = [decode(r.value) for r in await world.records("ledger.events")]
    assert {type(e.message) for e in events} == {ledger.AccountFrozen, ledger.DepositCredited}
    assert len({e.id for e in events}) == 2


async def test_a_replay_that_fails_again_is_parked_again(world: World) -> None:
    order = trouble("assertion")
    replay = again(order)
    shell = shell_of(world, Counters())
    await shell.handle([order])

    await shell.handle([replay])

    assert len(await world.records("ledger.commands.dead")) == 2
    assert all(r.header(REPLAY_HEADER) is None for r in await world.records("ledger.commands.dead"))
    (row,) = [r for r in await world.documents("inbox") if r.get("parked")]
    assert row["_id"] == decode(order.value).id


async def test_two_shells_on_the_same_account_meet_by_version_and_both_count(
    world: World,
) -> None:
    await shell_of(world, Counters()).handle([credit(1)])
    slow = Hooked(world.store())
    rival = shell_of(world, Counters())
    slow.on_load = lambda: rival.handle([credit(7)])

    await shell_of(world, Counters(), store=slow).handle([credit(5)])

    (counter,) = await world.documents(COUNTERS)
    assert (counter["available"], counter["version"]) == (13, 3)
    assert slow.commits == 2


async def test_a_zombie_with_the_same_message_loses_by_version_or_inbox_and_repeats_the_answer(
    world: World,
) -> None:
    order = credit(5)
    await shell_of(world, Counters()).handle([credit(1)])
    zombie = Hooked(world.store())
    heir = shell_of(world, Counters())
    zombie.on_load = lambda: heir.handle([order])

    await shell_of(world, Counters(), store=zombie).handle([order])

    (counter,) = await world.documents(COUNTERS)
    assert counter["available"] == 6
    assert len({r.value for r in await world.records("ledger.events")}) == 2


async def test_an_inbox_row_that_is_taken_meanwhile_means_read_again(world: World) -> None:
    event = sent(held(), source="ledger")
    zombie = Hooked(world.store("disburse"))
    heir = shell_of(world, Lives("disburse"))
    original = zombie.answered

    async def answered(ids: object) -> object:
        found = await original(ids)
        if zombie.commits == 0 and not done:
            done.append(True)
            await heir.handle([event])
        return found

    done: list[bool] = []
    zombie.answered = answered  # type: ignore[method-assign, assignment]

    await shell_of(world, Lives("disburse"), store=zombie).handle([event])

    assert zombie.commits == 1
    assert len({r.value for r in await world.records("ledger.commands")}) == 1


class Lenient(Counters):
    """Breaks on everything until it is mended."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken

    def decide(self, book: CounterBook, message: Received, now: datetime) -> Sequence[Answer]:
        assert not self.broken, "out of order"
        return super().decide(book, message, now)
