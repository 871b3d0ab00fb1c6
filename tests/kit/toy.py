"""Toy services in the words of the real ones: counters behind accounts, and lives that hold funds.

``python -m tests.kit.toy`` runs the counters as a process of its own.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from contracts import catalog
from contracts.disburse import v1 as disburse
from contracts.envelope import Envelope, now_ms
from contracts.ids import uuid7
from contracts.ledger import v1 as ledger
from contracts.message import Message
from services._kit.errands import Done, Lane, Outcome
from services._kit.life import Answer, Changes, Document, Due, Received, Say, due_message
from services._kit.ports import Errand, Reader, Record
from services._kit.process import main
from services._kit.records import record_of
from services._kit.service import Service
from services._kit.settings import PlatformSettings

COUNTERS = "counters"
ACCOUNT = "ani.sandbox"
RING, RING_LANE = "ring", "doorbell"


@dataclass
class CounterBook:
    found: dict[str, Document] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)

    def touch(self, account: str) -> Document:
        if account not in self.found:
            self.found[account] = {"_id": account, "version": 0, "available": 0, "count": 0}
        document = self.found[account]
        if account not in self.touched:
            self.touched.add(account)
            document["version"] += 1
        return document


class Counters:
    """A ledger that only counts. What ``ThawAccount`` gives as its reason goes wrong."""

    service = "ledger"

    def hears(self) -> Collection[type[Message]]:
        return catalog.commands_to(self.service)

    async def load(self, reader: Reader, messages: Sequence[Received]) -> CounterBook:
        return CounterBook(await reader.get(COUNTERS, {message.key for message in messages}))

    def decide(self, book: CounterBook, message: Received, now: datetime) -> Sequence[Answer]:
        document = book.touch(message.key)
        document["count"] += 1
        order = message.message
        if isinstance(order, ledger.ThawAccount):
            return _go_wrong(document, order)
        if isinstance(order, ledger.CreditDeposit):
            document["available"] += order.amount
            credited = ledger.DepositCredited(
                account=order.account,
                available=document["available"],
                held=0,
                amount=order.amount,
                external_reference=order.external_reference,
            )
            return [Say(credited, sequence=document["count"])]
        if isinstance(order, ledger.ReleaseHold):
            return [Due(RING, order.reason, now, {"hold": order.hold})]
        if isinstance(order, ledger.ReturnFunds):
            later = ledger.SettleHold(account=order.account, hold=order.hold, rail=order.rail)
            return [due_message(later, now, order.reason, order.hold)]
        if isinstance(order, ledger.HoldFunds):
            return [Say(_held(document, order), sequence=document["count"])]
        return ()

    def park(
        self, book: CounterBook, message: Received, reason: str, now: datetime
    ) -> Sequence[Answer]:
        document = book.touch(message.key)
        document["frozen"] = True
        return [
            Say(
                ledger.AccountFrozen(
                    account=message.key,
                    available=document["available"],
                    held=0,
                    reason=reason[:500],
                )
            )
        ]

    def check(self, book: CounterBook) -> None:
        for document in book.found.values():
            assert document["available"] >= 0, f"{document['_id']} owes money"

    def changes(self, book: CounterBook) -> Changes:
        changes = Changes()
        changes.put(COUNTERS, [book.found[one] for one in sorted(book.touched)])
        return changes


def _held(document: Document, order: ledger.HoldFunds) -> Message:
    if document["available"] < order.amount:
        return ledger.HoldRefused(
            account=order.account,
            available=document["available"],
            held=0,
            hold=order.hold,
            holder=order.holder,
            reason="INSUFFICIENT_BALANCE",
        )
    document["available"] -= order.amount
    return ledger.FundsHeld(
        account=order.account,
        available=document["available"],
        held=order.amount,
        hold=order.hold,
        holder=order.holder,
        amount=order.amount,
        fee=order.fee,
    )


def _go_wrong(document: Document, order: ledger.ThawAccount) -> Sequence[Answer]:
    if order.reason == "assertion":
        raise AssertionError("the entry does not balance")
    if order.reason == "bug":
        raise KeyError("rail")
    if order.reason == "owes":
        document["available"] = -1000
    if order.reason == "unstorable":
        document["available"] = 2**70
    if order.reason == "unsayable":
        loud = disburse.TransferContradicted(disbursement="d", status="failed", said="X")
        return [Say(loud)]
    if order.reason == "enormous":
        thawed = ledger.AccountThawed(
            account=order.account, available=0, held=0, by=order.by, reason="long"
        )
        return [Say(thawed.altered(reason="x" * 1_000_000))]
    return ()


@dataclass
class Lives:
    """Whoever asked for a hold: says an order first and an event second, on purpose."""

    service: str = "disburse"
    heard: list[Received] = field(default_factory=list)

    def hears(self) -> Collection[type[Message]]:
        return [row.model for row in catalog.CATALOG if self.service in row.heard_by]

    async def load(self, reader: Reader, messages: Sequence[Received]) -> list[Received]:
        return []

    def decide(self, book: list[Received], message: Received, now: datetime) -> Sequence[Answer]:
        self.heard.append(message)
        if not isinstance(message.message, ledger.FundsHeld):
            return ()
        hold = message.message.hold
        answers: list[Answer] = [Say(ledger.SettleHold(account=message.key, hold=hold, rail="bca"))]
        if self.service == "disburse":
            event = disburse.TransferContradicted(disbursement=hold, status="sending", said="X")
            answers.append(Say(event))
        return answers

    def park(
        self, book: list[Received], message: Received, reason: str, now: datetime
    ) -> Sequence[Answer]:
        return ()

    def check(self, book: list[Received]) -> None:
        pass

    def changes(self, book: list[Received]) -> Changes:
        return Changes()


# --- messages as others would send them -------------------------------------------------------


def sent(message: Message, *, id_: str | None = None, source: str = "gateway") -> Record:
    """A first message, with an id of its own."""
    row = catalog.row(message.type)
    return record_of(
        Envelope.model_construct(
            id=id_ or str(uuid7()),
            type=message.type,
            source=f"/salur/{source}",
            key=getattr(message, row.key),
            occurred_at=now_ms(),
            correlation=id_ or "talk",
            cause=None,
            sequence=None,
            message=message,
        )
    )


def credit(amount: int = 1, account: str = ACCOUNT, id_: str | None = None) -> Record:
    return sent(
        ledger.CreditDeposit(account=account, amount=amount, external_reference="top-up"), id_=id_
    )


def trouble(kind: str, account: str = ACCOUNT, id_: str | None = None) -> Record:
    return sent(ledger.ThawAccount(account=account, by="Siti", reason=kind), id_=id_)


def ring(lane: str = RING_LANE, account: str = ACCOUNT, hold: str = "h") -> Record:
    return sent(ledger.ReleaseHold(account=account, hold=hold, reason=lane), source="disburse")


# --- as a process -----------------------------------------------------------------------------


class ToySettings(PlatformSettings):
    service: ClassVar[str] = "ledger"


async def _answer_the_door(_errand: Errand) -> Outcome:
    return Done()


def load(environ: Mapping[str, str]) -> Service[Any]:
    return Service(
        settings=ToySettings.load(environ),
        handlers=Counters(),
        indices={COUNTERS: ()},
        lane=lambda _name: Lane(limit=4, lease_s=5),
    )


if __name__ == "__main__":
    raise SystemExit(main(load))
