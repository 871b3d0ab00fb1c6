"""The ledger's journal as an operator sees it: read-only, and for ``admin show`` alone.

No handler and no worker reads here; another service's database is none of their business.
"""

from typing import Final

from services._kit.life import Document
from services._kit.mongo import MongoStore

SERVICE: Final = "ledger"
_HOLDS, _JOURNAL = "holds", "journal"


async def of_hold(store: MongoStore, account: str, hold: str) -> list[Document]:
    """The entries of a hold in their order, each with its ``number``; none if there is no hold."""
    found = await store.get(_HOLDS, [hold])
    if hold not in found:
        return []
    # A hold's steps name the numbers of its entries; the journal's ids are account and number.
    numbers = {step[0] for step in found[hold]["steps"]}
    ids = {f"{account}/{number:010d}": number for number in numbers}
    entries = await store.get(_JOURNAL, list(ids))
    mine = [
        entry | {"number": ids[entry["_id"]]}
        for entry in entries.values()
        if entry["subject"] == hold
    ]
    return sorted(mine, key=lambda entry: int(entry["number"]))
