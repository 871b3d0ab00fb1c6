"""A person lists what is parked and replays it, over a real Kafka."""

import asyncio
from typing import Any

import pytest

from contracts.envelope import decode
from services._kit import dead_letters
from services._kit.ports import Record
from tests.kit.test_names import Lenient
from tests.kit.toy import ACCOUNT, COUNTERS, Counters, credit, trouble
from tests.kit.world import RealWorld

pytestmark = pytest.mark.servers


async def command(world: RealWorld, *words: str, prefix: str | None = None) -> int:
    environ = {
        "KAFKA_URL": world.space.kafka_url,
        "SALUR_TOPIC_PREFIX": world.space.topic_prefix if prefix is None else prefix,
    }
    return await asyncio.to_thread(dead_letters.main, words, environ)


async def run(world: RealWorld, handlers: Any) -> None:
    async with world.process(handlers) as process:
        await process.settle()


async def counter(world: RealWorld) -> Any:
    (row,) = await world.documents(COUNTERS)
    return row


async def test_a_parked_message_that_is_replayed_twice_is_decided_exactly_once(
    real: RealWorld,
) -> None:
    order = credit(5)
    await real.send(order)
    await run(real, Lenient(broken=True))

    for _ in range(2):
        words = ("replay", "--topic", "ledger.commands", "--id", decode(order.value).id)
        assert await command(real, *words) == 0
        await run(real, Counters())

    assert (await counter(real))["available"] == 5
    replayed = [r for r in await real.records("ledger.commands") if r.header("replay") == "1"]
    assert [r.value for r in replayed] == [order.value] * 2
    assert [r.headers[:-1] for r in replayed] == [order.headers] * 2


async def test_a_replay_of_a_message_that_was_decided_meanwhile_changes_nothing(
    real: RealWorld,
) -> None:
    await real.send(credit(5))
    await run(real, Lenient(broken=True))
    assert await command(real, "replay", "--topic", "ledger.commands", "--all") == 0
    await run(real, Counters())
    before = await counter(real)

    assert await command(real, "replay", "--topic", "ledger.commands", "--all") == 0
    await run(real, Counters())

    assert await counter(real) == before


async def test_a_list_tells_what_is_parked_and_never_its_content(
    real: RealWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = trouble("assertion")
    await real.send(bad, Record("ledger.commands", ACCOUNT, b"\x00{"))
    await run(real, Counters())
    capsys.readouterr()

    assert await command(real, "list") == 0

    told = capsys.readouterr().out
    assert decode(bad.value).id in told
    assert "the entry does not balance" in told
    assert ACCOUNT in told
    assert "sha256-" in told
    assert "2 dead letters" in told
    assert "Siti" not in told


async def test_content_is_shown_only_on_request(
    real: RealWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    await real.send(trouble("assertion"))
    await run(real, Counters())

    assert await command(real, "list", "--topic", "ledger.commands", "--show") == 0

    assert "Siti" in capsys.readouterr().out


async def test_what_is_not_there_is_said_with_another_exit_code(
    real: RealWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command(real, "replay", "--topic", "ledger.commands", "--id", "nobody") == 1
    assert await command(real, "replay", "--topic", "ledger.commands", "--all") == 1
    assert await command(real, "list", "--topic", "no.topic") == 1

    assert "nobody" in capsys.readouterr().err


def test_without_an_address_the_command_says_which_variable_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert dead_letters.main(["list"], {}) == 78

    assert "KAFKA_URL" in capsys.readouterr().err
