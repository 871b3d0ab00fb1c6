"""The worker that does what falls due: it has a client and no transaction, and ends by publishing.

A performer is called with a leased errand and returns what to say, or when to try again. What it
says is named after its conclusion, so a second attempt that concludes the same says the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from contracts import catalog
from contracts.envelope import Envelope, now_ms
from contracts.ids import derived_id
from contracts.message import Message
from services._kit.ports import Errand, Record
from services._kit.records import record_of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A message that an errand ends in; ``name`` makes its id, unique within the errand."""

    name: str
    message: Message


@dataclass(frozen=True, slots=True)
class Done:
    """The errand is over and says these."""

    says: Sequence[Conclusion] = ()


@dataclass(frozen=True, slots=True)
class Again:
    """Not over: try again after ``delay_s``."""

    delay_s: float
    why: str = ""


Outcome = Done | Again
Performer = Callable[[Errand], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Lane:
    """How a lane is worked: at most ``limit`` rows at once over all processes, each leased for
    ``lease_s``, which outlives the sum of all deadlines of one attempt.
    """

    limit: int
    lease_s: float


def errand_record(service: str, errand: Errand, conclusion: Conclusion) -> Record:
    """The record of what an errand concludes; its id is derived from the errand and the name."""
    message = conclusion.message
    row = catalog.row(message.type)
    assert service in row.said_by, f"{service} does not say {message.type}"
    return record_of(
        Envelope.model_construct(
            id=derived_id(errand.id, errand.inserted_due_at, conclusion.name),
            type=message.type,
            source=f"/salur/{service}",
            key=getattr(message, row.key),
            occurred_at=now_ms(),
            correlation=errand.correlation,
            cause=errand.id,
            sequence=None,
            message=message,
        ),
        errand.trace,
    )
