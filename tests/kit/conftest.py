"""``world`` is memory once, and Kafka with MongoDB once; ``real`` is the second alone."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.world import MemoryWorld, RealWorld, World
from tests.support.space import Space

MAKES = [pytest.param("memory"), pytest.param("real", marks=pytest.mark.servers)]


@pytest.fixture(params=MAKES)
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return MemoryWorld()
    made: World = request.getfixturevalue("real")
    return made


@pytest.fixture
async def real(space: Space) -> AsyncIterator[RealWorld]:
    made = RealWorld(space)
    await made.start()
    yield made
    await made.stop()
