"""Thousands of random lives under crashes, zombies, repeats and moody banks and tills."""

from collections import Counter

from tests.simulation.dice import PRECIOUS
from tests.simulation.play import play
from tests.support.simulated import asked_seed

SEEDS = range(1, 41)
# A run of all seeds is worth little if one of these never happened.
# A bank's silence is an answer of its rail, and one of its moods.
ASKED_OF_BANKS = {"call", "ask", "inquire"}
STEPS = ("read", "decided", "committed", "published")
MUST_HAPPEN = {
    *(f"crash: {step}" for step in STEPS),
    *(f"crash before {step}" for step in PRECIOUS),
    *(f"crash after {step}" for step in PRECIOUS),
    *(f"lost question: {step}" for step in PRECIOUS - ASKED_OF_BANKS),
    *(f"lost answer: {step}" for step in PRECIOUS - ASKED_OF_BANKS),
    *(f"stall: {step}" for step in ("answered", "commit", "publish", "sign", "note_sending")),
    *("said again", "offset lost", "half published", "rebalance"),
}  # fmt: skip
MUST_END = {
    *(f"disbursement {end}" for end in ("succeeded", "failed", "cancelled", "reversed")),
    "disbursement unclear",
    *(f"cash-out {end}" for end in ("paid", "failed", "cancelled", "expired", "reversed")),
    "cash-out blocked",
}


def test_thousands_of_lives_end_with_every_rupiah_in_one_place() -> None:
    asked = asked_seed()
    lives: Counter[str] = Counter()
    met: Counter[str] = Counter()

    for seed in SEEDS if asked is None else (asked,):
        played = play(seed)
        lives += played.ends
        met += played.met

    if asked is None:
        assert lives.total() >= 2_000
        assert lives.keys() >= MUST_END
        assert met.keys() >= MUST_HAPPEN


def test_a_seed_decides_everything_that_is_ever_said() -> None:
    seed = asked_seed() or SEEDS[0]

    first, again, other = play(seed), play(seed), play(seed + 1)

    assert again == first
    assert other.trace != first.trace
