"""How lives look to an operator: plain text, and never a sealed value."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from contracts.envelope import decode
from contracts.public import moment
from contracts.upcast import models
from services._kit.life import Document
from services._kit.mongo import MongoStore, outages
from services._kit.ports import InboxRow
from services.disburse.life import Life, Transfer
from services.disburse.store import LIVES, WAITING

_EMPTY: Final = "-"


async def waiting(
    store: MongoStore, now: datetime, older_than_s: float, most: int
) -> list[Document]:
    """What should have gone on earlier than ``older_than_s`` ago, by status; oldest first."""
    before = now - timedelta(seconds=older_than_s)
    rows: list[Document] = []
    async with outages():
        for status in WAITING:
            cursor = store.db[LIVES].find({"waits": status, "waits_since": {"$lt": before}})
            rows += await cursor.sort("waits_since", 1).limit(most).to_list(None)
    return sorted(rows, key=lambda row: row["waits_since"])


def stuck_table(rows: Sequence[Document], now: datetime) -> str:
    if not rows:
        return "nothing is stuck"
    shown = [
        (
            age(now - row["waits_since"]),
            row["status"],
            row["_id"],
            row["account"],
            rupiah(row["amount"]),
            (row["way"] or {}).get("rail", _EMPTY),
            str(row["ask"]),
            row["detail"][:60],
        )
        for row in rows
    ]
    heads = ("age", "status", "id", "account", "amount", "rail", "asks", "last heard")
    return table(heads, shown)


def life_report(
    life: Life,
    transfer: Transfer | None,
    inbox: Mapping[str, InboxRow],
    entries: Iterable[Document],
    errands: Iterable[Document],
) -> str:
    parts = [
        f"{life.id}  {life.status}  (change {life.sequence})",
        _fields(life, transfer),
        "messages",
        table(("at", "arrived", "became", "said"), [_history(one, inbox) for one in life.history]),
        "ledger entries",
        _entries(entries),
        "work that is due",
        table(
            ("due at", "errand", "lane", "attempt"),
            [
                (moment(row["due_at"]) or "", row["kind"], row["lane"], str(row["attempt"]))
                for row in errands
            ],
        ),
    ]
    return "\n\n".join(parts)


def _fields(life: Life, transfer: Transfer | None) -> str:
    order, to = life.order, life.order.destination
    rows: list[tuple[str, Any]] = [
        ("account", order.account),
        ("reference", order.reference),
        ("amount + fee", f"{rupiah(order.amount)} + {rupiah(order.fee)}"),
        ("to", f"{to.bank or to.wallet} {to.masked}"),
        ("rail", life.rail),
        ("bank reference", life.bank_reference),
        ("trace number", life.trace_no),
        ("created", moment(life.created_at)),
        (f"{life.status} since", moment(life.since)),
        ("instruct at", moment(order.instruct_at)),
        ("transferred", moment(life.transferred_at)),
        ("failure", life.failure and f"{life.failure.code} {life.failure.message}".strip()),
        ("last heard", life.detail),
        ("asks", life.ask),
    ]
    if transfer is not None:
        rows += [
            ("sendings", f"{transfer.sending}, of them sent again: {transfer.resends}"),
            ("newest sent", moment(transfer.sent_at)),
            ("closed", moment(transfer.closed)),
        ]
    if life.resolution is not None:
        who = " and ".join(life.resolution["by"])
        rows.append(("resolved", f"{life.resolution['outcome']} by {who}"))
        rows.append(("evidence", life.resolution["evidence"]))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value or _EMPTY}" for name, value in rows)


def _history(change: Any, inbox: Mapping[str, InboxRow]) -> tuple[str, ...]:
    row = inbox.get(change.id)
    said = [type(decode(record.value).message).__name__ for record in row.said] if row else []
    arrived = models()[change.type].__name__
    return (moment(change.at) or "", arrived, change.status, ", ".join(said) or _EMPTY)


def _entries(entries: Iterable[Document]) -> str:
    rows = []
    for entry in entries:
        legs = ", ".join(f"{book} {rupiah(change)}" for book, change in entry["legs"])
        rows.append((str(entry["number"]), entry["kind"], moment(entry["at"]) or "", legs))
    return table(("number", "kind", "at", "legs"), rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest; a line of nothing if there are no rows."""
    if not rows:
        return "  (none)"
    widths = [max(len(line[i]) for line in (heads, *rows)) for i in range(len(heads))]
    lines = [
        "  " + "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True))
        for line in (heads, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def age(waited: timedelta) -> str:
    """The two biggest units: ``3 h 12 min``."""
    minutes, seconds = divmod(int(waited.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    for big, small, names in (
        (days, hours, ("d", "h")),
        (hours, minutes, ("h", "min")),
        (minutes, seconds, ("min", "s")),
    ):
        if big:
            return f"{big} {names[0]} {small} {names[1]}"
    return f"{seconds} s"


def rupiah(amount: int) -> str:
    return f"{amount:,}".replace(",", ".")
