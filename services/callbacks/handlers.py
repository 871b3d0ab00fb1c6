"""When something is read, decided and written: the kit's protocol around the domain."""

from collections.abc import Collection, Sequence
from datetime import datetime

from contracts.callbacks import v1 as callbacks
from contracts.message import Message
from services._kit.life import Answer, Changes, Received
from services._kit.ports import Reader
from services.callbacks import body, domain, store
from services.callbacks.state import Book, Policy


class CallbackHandlers:
    """``policy``: when a failed delivery is tried again."""

    service = "callbacks"

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def hears(self) -> Collection[type[Message]]:
        told = {row.arrives for row in domain.TABLE.rows}
        return [callbacks.SetEndpoint, *sorted(told, key=lambda model: model.type)]

    async def load(self, reader: Reader, messages: Sequence[Received]) -> Book:
        accounts: set[str] = set()
        deliveries: set[str] = set()
        endpoints: set[str] = set()
        for one in messages:
            match one.message:
                case callbacks.SetEndpoint(endpoint=endpoint):
                    endpoints.add(endpoint)
                case callbacks.RecordAttempt() | callbacks.RedeliverCallback():
                    deliveries.add(one.message.delivery)
                case _:
                    accounts.add(body.account_of(one.message))
        return await store.load(reader, accounts, deliveries, endpoints)

    def decide(self, book: Book, message: Received, now: datetime) -> Sequence[Answer]:
        return domain.decide(book, message, now, self._policy)

    def park(self, book: Book, message: Received, reason: str, now: datetime) -> Sequence[Answer]:
        """A parked event leaves nothing here: its replay makes the deliveries."""
        del book, message, reason, now
        return ()

    def check(self, book: Book) -> None:
        for one in book.deliveries.values():
            if one.id in book.changed:
                domain.check(one, self._policy)

    def changes(self, book: Book) -> Changes:
        return store.changes(book)
