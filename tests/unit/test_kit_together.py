"""What comes at the same time shares its costs; what comes alone does not wait."""

import asyncio
from collections.abc import Sequence

import pytest

from services._kit.together import Together, pause_s


@pytest.mark.parametrize(
    ("taken", "pause"), [(0, 0.0), (1, 0.01), (4, 0.04), (8, 0.08), (500, 0.08)]
)
def test_the_pause_grows_with_what_the_last_batch_brought(taken: int, pause: float) -> None:
    assert pause_s(taken, 0.08) == pytest.approx(pause)


async def test_calls_of_one_moment_share_a_trip_and_each_gets_its_own_result() -> None:
    trips: list[list[int]] = []

    async def double(items: Sequence[int]) -> list[int]:
        trips.append(list(items))
        await asyncio.sleep(0)
        return [2 * item for item in items]

    call = Together(double, most=3)
    results = await asyncio.gather(*(call(number) for number in range(7)))
    assert results == [0, 2, 4, 6, 8, 10, 12]
    assert [len(trip) for trip in trips] == [3, 3, 1]


async def test_what_a_trip_raises_every_caller_of_it_gets_and_the_next_trip_goes_on() -> None:
    async def refuse_the_first(items: Sequence[int]) -> list[int]:
        if 0 in items:
            raise ValueError("no")
        return list(items)

    call = Together(refuse_the_first, most=2)
    found = await asyncio.gather(*(call(number) for number in range(4)), return_exceptions=True)
    assert [type(one) for one in found[:2]] == [ValueError, ValueError]
    assert found[2:] == [2, 3]
