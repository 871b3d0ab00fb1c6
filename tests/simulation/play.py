"""One run: a seed, some lives of both kinds, an hour of trouble, and the calm after it."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from contracts.disburse.v1 import ResolveTransfer
from services.disburse.store import LIVES, TRANSFERS
from tests.simulation.bank import NOT_FOUND_AFTER_S
from tests.simulation.checks import check
from tests.simulation.partners import disburse_something, open_accounts, tell_of_returns
from tests.simulation.tills import Tail, Tills
from tests.simulation.world import PERSON_AFTER_S, World
from tests.support.simulated import Clock, run, turned

DISBURSEMENTS, CASHOUTS = 36, 30
QUIET_S, TROUBLE_S, CALM_S = 4.0, 7200.0, 7200.0
# Logged as errors, but no bugs: pages, and what a zombie decided from a state that was half old;
# its commit loses, and what was parked in earnest is found in the inbox.
MEANT = ("a person is needed", "a person should look", "a decision failed")
COMMAND = "SALUR_SIMULATION_SEED={} .venv/bin/python -m pytest tests/simulation -k {}"


@dataclass(frozen=True)
class Played:
    """``met`` counts troubles and stories, ``ends`` how lives ended; ``trace`` is all that was
    said, as a hash.
    """

    ends: Counter[str]
    met: Counter[str]
    trace: str


def play(seed: int) -> Played:
    """Run the seed and check its end; a failure says how to play it again."""
    try:
        return run(lambda clock: _play(seed, clock))
    except Exception as failure:
        failure.add_note(f"play it again: {COMMAND.format(seed, 'lives')}")
        raise


async def _play(seed: int, clock: Clock) -> Played:
    world = World(seed, clock)
    with turned(clock, world.rng) as errors:
        tail = Tail(world)
        tills = Tills(world, tail)
        world.heard.append(tail.hear)
        tell_of_returns(world)
        world.open()
        await open_accounts(world)
        await asyncio.sleep(QUIET_S)
        world.dice.throw()
        for _ in range(DISBURSEMENTS):
            world.act(disburse_something(world))
        for _ in range(CASHOUTS):
            world.act(tills.customer())
        await asyncio.sleep(TROUBLE_S)
        world.dice.calm()
        await asyncio.sleep(CALM_S)
        await _persons(world)
        await asyncio.sleep(PERSON_AFTER_S)
        ends = check(world, tills, DISBURSEMENTS + CASHOUTS)
        unmeant = [one for one in errors if not one.startswith(MEANT)]
        assert not unmeant, unmeant[0]
        met = world.dice.met + Counter(f"till: {story}" for story in tills.stories)
        return Played(ends, met, world.trace())


async def _persons(world: World) -> None:
    """Two persons end some of what no bank will ever answer; others stay with them."""
    documents: dict[str, Any] = world.stores["disburse"].collections.get(LIVES, {})
    for name, life in sorted(documents.items()):
        if life["status"] != "unclear" or world.rng.random() < 0.5:
            continue
        bank = world.banks[life["way"]["rail"]]
        sent_at = world.stores["disburse"].collections[TRANSFERS][name]["sent_at"]
        assert world.clock() > sent_at + timedelta(seconds=NOT_FOUND_AFTER_S)
        await world.say(
            ResolveTransfer(
                disbursement=name,
                outcome="confirmed" if bank.paid[name] else "refused",
                evidence="statement, page 3",
                by=("ANI", "BUDI"),
            ),
            name,
            source="disburse",
        )
