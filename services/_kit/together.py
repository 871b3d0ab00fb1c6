"""What comes at the same time shares its costs.

Calls share one trip to the database: while one is under way, further calls wait for the next.
Nobody waits for a timer, and a busy process makes bigger trips instead of more of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Messages in a batch, or rows in a lease, from which on it is followed by the whole pause.
_WORTH_A_PAUSE = 8


def pause_s(taken: int, most_s: float) -> float:
    """Seconds from the begin of a batch of ``taken`` to the next one.

    A batch costs the same transaction and commits whether it holds 1 or 50, so what comes in quick
    succession is gathered. But one at a time nothing is won by waiting: the pause grows with what
    the last one brought, and the first after a rest never waits.
    """
    return most_s * min(1.0, taken / _WORTH_A_PAUSE)


class Together(Generic[Item, Result]):
    """Calls ``run`` with all items of a moment; each caller gets the result of its own.

    Args:
        run: gives one result per item, in their order. What it raises, every caller of that trip
            gets.
        most: items in one trip.
    """

    def __init__(
        self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], most: int = 500
    ) -> None:
        self._run = run
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._trip: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._trip is None or self._trip.done():
            self._trip = asyncio.create_task(self._trips())
        return await done

    async def _trips(self) -> None:
        while self._waiting:
            calls, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                results = await self._run([item for item, _ in calls])
            except BaseException as error:
                for _, done in calls:
                    if not done.done():
                        done.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, done), result in zip(calls, results, strict=True):
                # A caller that was cancelled meanwhile asks for nothing any more.
                if not done.done():
                    done.set_result(result)
