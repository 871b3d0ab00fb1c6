"""The ledger at a desk: commands in, events out, over the real shell and the world in memory."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from contracts import catalog
from contracts.envelope import Envelope, decode
from contracts.ledger.v1 import CreditDeposit, HoldFunds, OpenAccount
from contracts.message import Message
from services._kit.memory import MemoryLog, MemoryStore
from services._kit.ports import Record
from services._kit.records import record_of
from services._kit.shell import Shell
from services.ledger.handlers import LedgerHandlers
from services.ledger.state import Account, Entry, Hold
from services.ledger.store import ACCOUNTS, HOLDS, JOURNAL, account_of, entry_of, hold_of

ACCOUNT = "warung.sandbox"
START = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)


class Desk:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.log = MemoryLog(partitions=1)
        self.now = START
        self._numbers = count(1)
        self._read = 0
        self._shell = Shell(
            LedgerHandlers(), self.store, self.log, patience_s=1, clock=lambda: self.now
        )

    async def tell(self, *messages: Message, message_id: str | None = None) -> list[Envelope[Any]]:
        """Hand the messages over as one batch; what is said in answer."""
        records = [self.record(message, message_id) for message in messages]
        return await self.hand(records)

    async def hand(self, records: Sequence[Record]) -> list[Envelope[Any]]:
        self.now += timedelta(milliseconds=7)
        await self._shell.handle(records)
        said = self.log.all("ledger.events")[self._read :]
        self._read += len(said)
        return [decode(record.value) for record in said]

    def record(self, message: Message, message_id: str | None = None) -> Record:
        number = next(self._numbers)
        row = catalog.row(message.type)
        return record_of(
            Envelope.model_construct(
                id=message_id or f"message-{number}",
                type=message.type,
                source="/salur/tests",
                key=getattr(message, row.key),
                occurred_at=START + timedelta(seconds=number),
                correlation=f"correlation-{number}",
                cause=None,
                sequence=None,
                message=message,
            )
        )

    async def open(
        self, deposit: int = 0, account: str = ACCOUNT, *, credit_limit: int | None = None
    ) -> None:
        """An account of the deposit scheme, or of the invoice scheme if it has a limit."""
        scheme = "deposit" if credit_limit is None else "invoice"
        await self.tell(
            OpenAccount.model_validate(
                {"account": account, "scheme": scheme, "credit_limit": credit_limit or 0}
            )
        )
        if deposit:
            await self.tell(
                CreditDeposit(account=account, amount=deposit, external_reference="first")
            )

    def account(self, account: str = ACCOUNT) -> Account:
        return account_of(self.store.collections[ACCOUNTS][account])

    def balances(self, account: str = ACCOUNT) -> tuple[int, int]:
        one = self.account(account)
        return one.available, one.held

    def hold(self, hold: str = "h1") -> Hold | None:
        document = self.store.collections.get(HOLDS, {}).get(hold)
        return None if document is None else hold_of(document)

    def journal(self, account: str = ACCOUNT) -> list[Entry]:
        entries = [entry_of(one) for one in self.store.collections.get(JOURNAL, {}).values()]
        return sorted((e for e in entries if e.account == account), key=lambda e: e.number)

    def dead(self) -> list[Record]:
        return self.log.all("ledger.commands.dead")


def hold_funds(
    hold: str = "h1", amount: int = 10_000, fee: int = 2_500, account: str = ACCOUNT
) -> HoldFunds:
    return HoldFunds(account=account, hold=hold, holder="disburse", amount=amount, fee=fee)


def words(said: Sequence[Envelope[Any]]) -> list[str]:
    return [type(one.message).__name__ for one in said]
