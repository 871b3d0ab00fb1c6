"""When something is read, decided and written: the kit's protocol around the domain."""

from collections.abc import Collection, Sequence
from datetime import datetime

from contracts import catalog
from contracts.ledger import v1 as ledger
from contracts.message import Message
from services._kit.life import Answer, Changes, Received
from services._kit.ports import Reader
from services.ledger import domain, invariants, store
from services.ledger.state import Book


class LedgerHandlers:
    service = "ledger"

    def hears(self) -> Collection[type[Message]]:
        return catalog.commands_to("ledger")

    async def load(self, reader: Reader, messages: Sequence[Received]) -> Book:
        accounts: set[str] = set()
        holds: set[str] = set()
        credits_: set[tuple[str, str]] = set()
        for one in messages:
            command = one.message
            accounts.add(command.account)
            if isinstance(command, domain.HoldCommand):
                holds.add(command.hold)
            elif isinstance(command, ledger.CreditDeposit):
                credits_.add((command.account, command.external_reference))
        return await store.load(reader, accounts, holds, credits_)

    def decide(self, book: Book, message: Received, now: datetime) -> Sequence[Answer]:
        return domain.decide(book, message, now)

    def park(self, book: Book, message: Received, reason: str, now: datetime) -> Sequence[Answer]:
        return domain.park(book, message, reason, now)

    def check(self, book: Book) -> None:
        invariants.check(book)

    def changes(self, book: Book) -> Changes:
        return store.changes(book)
