"""What a callback says: the public picture of what happened, rendered once from the event."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from contracts import public
from contracts.cashout import v1 as cashout
from contracts.disburse import v1 as disburse
from contracts.ledger import v1 as ledger
from contracts.message import Message
from services._kit.life import Received

DEPOSIT_CREDITED = "deposit.credited"

Life = disburse.Disbursement | cashout.Cashout


@dataclass(frozen=True, slots=True)
class News:
    """An event as its partner may know it. ``about`` is what support asks for: the life's id, or
    the account of a deposit.
    """

    id: str
    type: str
    account: str
    about: str
    occurred_at: datetime
    sequence: int
    event: Life | ledger.DepositCredited


def news(received: Received) -> News:
    """What ``received`` tells, and whom. An event that tells nobody anything is a fault."""
    message, sequence = received.message, received.sequence
    assert sequence is not None, f"{received.type} has no sequence"
    if isinstance(message, ledger.DepositCredited):
        kind, about = DEPOSIT_CREDITED, message.account
    else:
        assert isinstance(message, Life), f"{received.type} is nobody's news"
        found, about = _of_life(message)
        assert found is not None, f"{received.type} of a life that is {message.status}"
        kind = found
    return News(
        id=public.event_id(received.id),
        type=kind,
        account=account_of(message),
        about=about,
        occurred_at=received.occurred_at,
        sequence=sequence,
        event=message,
    )


def _of_life(life: Life) -> tuple[str | None, str]:
    """The callback's type, and the id."""
    if isinstance(life, cashout.Cashout):
        return public.CASHOUT_STATUSES[life.status][1], life.cashout
    return public.DISBURSEMENT_STATUSES[life.status][1], life.disbursement


def account_of(event: Message) -> str:
    """Whose news an event is."""
    if isinstance(event, ledger.DepositCredited):
        return event.account
    assert isinstance(event, Life), f"{event.type} is nobody's news"
    return account_id(event.order.partner, event.order.environment)


def account_id(partner: str, environment: str) -> str:
    return f"{partner}.{environment}"


def render(told: News) -> str:
    """The body, byte for byte as it is signed and sent, at every attempt and to every endpoint."""
    if isinstance(told.event, ledger.DepositCredited):
        data = _deposit(told.event, told.sequence)
    elif isinstance(told.event, cashout.Cashout):
        # Never with the code: the public picture has none.
        data = public.public_cashout(told.event, told.sequence)
    else:
        data = public.public_disbursement(told.event, told.sequence)
    document = {
        "id": told.id,
        "type": told.type,
        "occurred_at": public.moment(told.occurred_at),
        "sequence": told.sequence,
        "data": data,
    }
    return orjson.dumps(document).decode()


def _deposit(event: ledger.DepositCredited, sequence: int) -> dict[str, Any]:
    return {
        "environment": event.account.rpartition(".")[2],
        "sequence": sequence,
        "external_reference": event.external_reference,
        "amount": event.amount,
        "currency": "IDR",
        "available": event.available,
        "held": event.held,
    }
