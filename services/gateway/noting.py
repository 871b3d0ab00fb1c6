"""Rows of views that never go back: what is not newer by its sequence is dropped.

The events fill the views. Beside them, a process notes what it is about to tell a caller, so that
whoever asks afterwards, of whichever process, is told nothing older.
"""

import asyncio
from typing import Any, Final

import structlog
from pymongo import UpdateOne

from services._kit.failures import ConflictError, OutageError
from services._kit.life import Document
from services._kit.mongo import outages

log = structlog.get_logger()

# A caller waits meanwhile, and the events will tell the view all the same.
_NOTE_S: Final = 1.0


def newer(row: str, sequence: int, fields: Document) -> UpdateOne:
    """Replaces what is older, and meets its own id when there is something newer."""
    return UpdateOne(_older(row, sequence), {"$set": fields}, upsert=True)


async def note(rows: Any, row: str, sequence: int, fields: Document) -> None:
    """The same, at once; without MongoDB the caller is answered nevertheless."""
    try:
        async with asyncio.timeout(_NOTE_S), outages():
            await rows.update_one(_older(row, sequence), {"$set": fields}, upsert=True)
    except ConflictError:
        log.debug("the view knew it before", row=row)
    except (OutageError, TimeoutError) as outage:
        log.warning("a view is not told before its caller", row=row, reason=str(outage))


def _older(row: str, sequence: int) -> Document:
    return {"_id": row, "sequence": {"$lt": sequence}}
