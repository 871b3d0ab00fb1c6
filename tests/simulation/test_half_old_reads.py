"""A case that the simulation found: what is read in two steps may be half old, half new."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

from contracts.cashout import v1 as cashout
from services._kit.life import Document
from services.cashout.store import LIVES
from tests.support.cashout import OTHER_PHONE, PHONE, Shop, handlers


class Between:
    """A store in which something happens between two reads of one batch, once."""

    def __init__(self, store: Any, before: str, then: Callable[[], Awaitable[Any]]) -> None:
        self._store, self._before, self._then = store, before, then
        self._happened = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, collection: str, ids: Collection[str]) -> dict[str, Document]:
        if collection == self._before and not self._happened:
            self._happened = True
            await self._then()
        found: dict[str, Document] = await self._store.get(collection, ids)
        return found


async def test_a_reversal_that_reads_while_another_reverses_is_answered_and_not_parked() -> None:
    shop = Shop()
    await shop.open()
    _, code = await shop.active()
    paid = await shop.redeem(code)
    first = await shop.say(shop.reversal(paid.store_ref, phone=PHONE))
    mistyped = await shop.say(shop.reversal(paid.store_ref, phone=OTHER_PHONE))
    store = Between(shop.store, LIVES, lambda: shop.cashout.handle([first]))

    await shop.shell(handlers(shop.terms), store).handle([mistyped])

    effects = {one.effect for one in shop.said(cashout.ReversalAnswered)}
    assert effects == {"reversed", "already_reversed"}
    assert not shop.parked()
