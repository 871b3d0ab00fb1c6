"""What stores were answered under their references: a view that never goes back.

Beside the events that fill it, ``noting`` tells it what a store is about to be told.
"""

from dataclasses import dataclass
from typing import Any, Final

from pymongo import UpdateOne

from contracts.cashout.keys import reference_key
from contracts.cashout.v1 import RedemptionAnswered, ReversalAnswered, Standing
from contracts.envelope import Envelope
from services._kit.life import Document
from services._kit.mongo import Database, outages
from services.gateway import store
from services.gateway.noting import newer, note

StoreAnswer = RedemptionAnswered | ReversalAnswered

_READ_MAX_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Reference:
    """How a store's reference stands. ``effect``: of the reversal, once it was answered."""

    standing: Standing
    effect: str | None


def reference_update(envelope: Envelope[Any]) -> UpdateOne:
    """What an answer tells of its reference."""
    return newer(*_row(envelope))


def _row(envelope: Envelope[Any]) -> tuple[str, int, Document]:
    answer: StoreAnswer = envelope.message
    sequence = envelope.sequence or 0
    fields: Document = {
        "chain": answer.chain,
        "sequence": sequence,
        "standing": answer.standing.model_dump_json(),
        "updated_at": envelope.occurred_at,
    }
    if isinstance(answer, ReversalAnswered):
        fields["effect"] = answer.effect
    return answer.key, sequence, fields


class References:
    """Reads and notes."""

    def __init__(self, db: Database) -> None:
        self._rows = db[store.STORE_REFERENCES]

    async def find(self, chain: str, store_ref: str) -> Reference | None:
        """None: nothing was decided, as far as is known here.

        Raises:
            OutageError: MongoDB does not answer.
        """
        query = {"_id": reference_key(chain, store_ref)}
        async with outages():
            row = await self._rows.find_one(query, max_time_ms=_READ_MAX_MS)
        if row is None:
            return None
        return Reference(Standing.model_validate_json(row["standing"]), row.get("effect"))

    async def note(self, envelope: Envelope[Any]) -> None:
        """Before a store is told: the view knows it, unless MongoDB is away."""
        await note(self._rows, *_row(envelope))
