"""Three ways to go wrong, and how long to wait.

Refusals are values and never come here. Errors of the kit::

    ConflictError        somebody else wrote what this batch wanted to write: read again
    OutageError          a server is away or slow: wait and try again, within a limit
    UnstorableError      the database cannot hold what was decided: a fault, like an assert
    LeavingError         the limit is reached, or going on could lose something: the process ends

An AssertionError, or any bug raised by a pure decision, is a fault: the message is parked.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator

EXIT_LEAVING = 75  # EX_TEMPFAIL of sysexits.h: start me again


class ConflictError(Exception):
    """A guard matched nothing, or an id was taken meanwhile: nothing was written."""


class OutageError(Exception):
    """A server did not do what was asked, perhaps: what was asked may also have happened."""


class UnstorableError(Exception):
    """A document that no database can hold, for example a number of more than 64 bits."""


class LeavingError(Exception):
    """The process must end and be started again."""


async def patience(
    limit_s: float, first_s: float = 0.05, most_s: float = 5.0
) -> AsyncIterator[int]:
    """Yields attempt numbers with a growing, jittered pause between them, until ``limit_s``.

    Raises:
        LeavingError: the limit is over.
    """
    started = time.monotonic()
    attempt, pause = 0, first_s
    while True:
        attempt += 1
        yield attempt
        if time.monotonic() - started + pause > limit_s:
            raise LeavingError(f"gave up after {attempt} attempts in {limit_s:g} s")
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
        pause = min(pause * 2, most_s)
