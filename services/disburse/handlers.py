"""When a message arrives: lives and transfers are loaded, decided and handed back as changes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from contracts.disburse import v1 as disburse
from contracts.ledger.v1 import FundsHeld, HoldRefused
from contracts.message import Message
from services._kit.life import Answer, Changes, Due, Received, Say
from services._kit.ports import Reader
from services.disburse import domain
from services.disburse.alarms import page
from services.disburse.life import Life, Terms, Transfer
from services.disburse.store import (
    LIVES,
    TRANSFERS,
    life_document,
    life_of,
    transfer_document,
    transfer_of,
)
from services.disburse.words import INQUIRE, SERVICE, bank_lane

_OF_A_HOLD = (FundsHeld, HoldRefused)
_OF_AN_INQUIRY = (disburse.InquireAccount, disburse.ConcludeInquiry, disburse.FailInquiry)
_OF_A_LIFE = (
    disburse.RequestDisbursement,
    disburse.InstructDisbursement,
    disburse.CancelDisbursement,
    disburse.TransferConfirmed,
    disburse.TransferRefused,
    disburse.TransferUnclear,
    disburse.TransferReturned,
    disburse.ResolveTransfer,
)


@dataclass(slots=True)
class Book:
    """The lives and transfers of one batch, as they were read and as they became."""

    lives: dict[str, Life] = field(default_factory=dict)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    changed_lives: set[str] = field(default_factory=set)
    changed_transfers: set[str] = field(default_factory=set)


class DisburseHandlers:
    """See ``services._kit.shell.Handlers``."""

    service = SERVICE

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def hears(self) -> Collection[type[Message]]:
        return (*_OF_A_LIFE, *_OF_A_HOLD, *_OF_AN_INQUIRY)

    async def load(self, reader: Reader, messages: Sequence[Received]) -> Book:
        """Two queries, whatever the batch."""
        ids = {one for one in map(life_id, messages) if one is not None}
        lives = await reader.get(LIVES, ids)
        transfers = await reader.get(TRANSFERS, ids)
        return Book(
            {one: life_of(document) for one, document in lives.items()},
            {one: transfer_of(document) for one, document in transfers.items()},
        )

    def decide(self, book: Book, message: Received, now: datetime) -> Sequence[Answer]:
        one = life_id(message)
        if one is None:
            return self._decide_inquiry(message.message, now)
        life, transfer = book.lives.get(one), book.transfers.get(one)
        decision = domain.decide(life, transfer, message, now, self._terms)
        if decision.life is not life and decision.life is not None:
            book.lives[one] = decision.life
            book.changed_lives.add(one)
        if decision.transfer is not transfer and decision.transfer is not None:
            book.transfers[one] = decision.transfer
            book.changed_transfers.add(one)
        page("life", one, decision.pages)
        return decision.answers

    def park(self, book: Book, message: Received, reason: str, now: datetime) -> Sequence[Answer]:
        """The life waits as it is; its age and the dead letter call a person."""
        del book, message, reason, now
        return ()

    def check(self, book: Book) -> None:
        for one in book.changed_lives:
            life, transfer = book.lives[one], book.transfers.get(one)
            told = life.status in ("failed", "reversed")
            assert told == (life.failure is not None), f"{one}: {life.status} and its reason"
            if life.status in ("sending", "unclear"):
                assert transfer is not None, f"{one}: {life.status} without a transfer"
                assert transfer.closed is None, f"{one}: {life.status}, but no more is sent"
            if life.status in domain.ENDS and transfer is not None:
                assert transfer.closed is not None, f"{one}: {life.status}, but more may be sent"

    def changes(self, book: Book) -> Changes:
        changes = Changes()
        changes.put(LIVES, [life_document(book.lives[one]) for one in sorted(book.changed_lives)])
        changes.put(
            TRANSFERS,
            [transfer_document(book.transfers[one]) for one in sorted(book.changed_transfers)],
        )
        return changes

    def _decide_inquiry(self, message: Message, now: datetime) -> Sequence[Answer]:
        """An inquiry has no life: an errand, then its conclusion repeated for all to hear."""
        if isinstance(message, disburse.InquireAccount):
            return (self._inquire(message, now),)
        if isinstance(message, disburse.ConcludeInquiry):
            return (Say(disburse.AccountInquired(**dict(message))),)
        assert isinstance(message, disburse.FailInquiry), f"{message.type} is about no life"
        return (Say(disburse.AccountInquiryFailed(**dict(message))),)

    def _inquire(self, message: disburse.InquireAccount, now: datetime) -> Due:
        to = message.destination
        way = self._terms.choose(message.environment, to)
        data = {
            "inquiry": message.inquiry,
            "rail": way.rail if way else None,
            "bank": way.bank if way else None,
            "wallet": to.wallet,
            "number": to.number,
            "account_name": to.account_name,
            "answer_by": (now + timedelta(seconds=self._terms.inquire_within_s)).isoformat(),
        }
        return Due(INQUIRE, bank_lane(way.rail if way else None), now, data)


def life_id(received: Received) -> str | None:
    """The life that a message is about; None: an inquiry."""
    message = received.message
    if isinstance(message, _OF_A_HOLD):
        return message.hold
    if isinstance(message, _OF_AN_INQUIRY):
        return None
    one: str = message.disbursement
    return one
