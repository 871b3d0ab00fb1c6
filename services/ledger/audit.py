"""The books again, from the journal alone: what ``make verify`` finds out about the ledger.

Everything is read as streams, in one snapshot if the caller's session has one; what stays in
memory is one line per account and one per book. Documents are read as they lie there, without the
code that wrote them: only the hash of the chain is shared.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

from services.ledger.audit_base import (
    Counts,
    Database,
    Difference,
    Document,
    Line,
    Progress,
    Reader,
    moved,
)
from services.ledger.audit_holds import Orphans, compare_holds
from services.ledger.state import AVAILABLE, HELD, chained
from services.ledger.store import ACCOUNTS, CREDITS, JOURNAL, entry_id


def audit(
    database: Database,
    session: Any = None,
    *,
    counts: Counts | None = None,
    orphans: Orphans | None = None,
    progress: Progress = lambda _what, _n: None,
) -> Iterator[Difference]:
    """Each difference between the journal and what is kept beside it.

    Args:
        database: the ledger's, of a synchronous client that reads aware datetimes.
        session: one with ``snapshot=True``, if others write meanwhile.
        counts: is filled on the way.
        orphans: tells of open holds whose life is over; without it nobody is asked.
        progress: is told what is read and how many so far.
    """
    found = counts or Counts()
    read = Reader(database, session, progress)
    lines: dict[str, Line] = {}
    yield from _journal(read, lines, found)
    yield from _sums(lines, found)
    yield from compare_holds(read, lines, found, orphans)
    yield from _credits(read, lines, found)
    yield from _accounts(read, lines, found)


def _journal(read: Reader, lines: dict[str, Line], counts: Counts) -> Iterator[Difference]:
    """Entries in order: they balance, are numbered without gaps, chained, and lead on."""
    for entry in read.all(JOURNAL):
        counts.entries += 1
        account, _, number = entry["_id"].partition("/")
        line = lines.setdefault(account, Line())
        for what in _follow(line, account, int(number), entry):
            yield Difference("journal", account, f"entry {int(number)} {what}")
        for book, amount in entry["legs"]:
            counts.books[book] = counts.books.get(book, 0) + amount


def _follow(line: Line, account: str, number: int, entry: Document) -> Iterator[str]:
    kind, legs = entry["kind"], [tuple(leg) for leg in entry["legs"]]
    if number != line.entries + 1:
        yield f"follows entry {line.entries}: a gap"
    if sum(amount for _, amount in legs) != 0:
        yield f"does not balance: {legs}"
    line.available += sum(amount for book, amount in legs if book == AVAILABLE)
    line.held += sum(amount for book, amount in legs if book == HELD)
    if (entry["available"], entry["held"]) != (line.available, line.held):
        yield (
            f"says available {entry['available']} and held {entry['held']}, "
            f"its legs lead to {line.available} and {line.held}"
        )
    if line.held < 0:
        yield f"leaves held at {line.held}"
    notes = tuple(entry.get("notes", ()))
    said = (
        account, number, kind, entry["subject"], legs, entry["available"], entry["held"],
        entry["at"].astimezone(UTC), notes,
    )  # fmt: skip
    if bytes(entry["hash"]) != chained(line.head, said):
        yield "breaks the chain: it or the entry before it was altered"
    # Go on from what it says, so that one damage is not told of every entry behind it.
    line.available, line.held = entry["available"], entry["held"]
    line.entries, line.head = number, bytes(entry["hash"])
    line.of_holds += kind in ("held", "settled", "released", "returned")
    line.of_credits += kind == "credited"
    if kind in ("opened", "terms"):
        line.scheme, line.credit_limit = notes[0], int(notes[1])
    elif kind in ("frozen", "thawed"):
        line.frozen = kind == "frozen"


def _sums(lines: Mapping[str, Line], counts: Counts) -> Iterator[Difference]:
    total = sum(counts.books.values())
    if total != 0:
        yield Difference("sums", "all books", f"sum to {total} instead of 0")
    for book, where in ((AVAILABLE, "available"), (HELD, "held")):
        balances = sum(getattr(line, where) for line in lines.values())
        if balances != counts.books.get(book, 0):
            posted = counts.books.get(book, 0)
            yield Difference("sums", book, f"balances sum to {balances}, its legs to {posted}")


def _accounts(read: Reader, lines: dict[str, Line], counts: Counts) -> Iterator[Difference]:
    """Accounts are where the journal leads, and ``held`` is what the open holds have."""
    unseen = set(lines)
    for account in read.all(ACCOUNTS):
        counts.accounts += 1
        name = account["_id"]
        unseen.discard(name)
        line = lines.get(name, Line())
        for fact in ("available", "held", "entries", "head", "frozen", "scheme", "credit_limit"):
            kept, told = account[fact], getattr(line, fact)
            if kept != told:
                yield Difference(
                    "accounts", name, f"{fact} is {_shown(kept)}, the journal says {_shown(told)}"
                )
        if account["held"] != line.open_sum:
            held = account["held"]
            yield Difference(
                "accounts", name, f"held is {held}, its open holds have {line.open_sum}"
            )
    for name in sorted(unseen):
        yield Difference("accounts", name, "has entries and is no account")


def _credits(read: Reader, lines: dict[str, Line], counts: Counts) -> Iterator[Difference]:
    matched: dict[str, int] = {}
    for chunk in read.chunks(CREDITS):
        counts.credits += len(chunk)
        places = {one["_id"]: _credit_entry(one) for one in chunk}
        entries = read.some(JOURNAL, places.values())
        for credit in chunk:
            account, _, reference = credit["_id"].partition("/")
            matched[account] = matched.get(account, 0) + 1
            entry = entries.get(places[credit["_id"]])
            if (
                entry is None
                or (entry["kind"], entry["subject"]) != ("credited", reference)
                or moved(entry) != (credit["amount"], 0)
            ):
                number = credit["step"][0]
                yield Difference(
                    "credits", account, f"credit {reference} is not what entry {number} says"
                )
    for account, line in lines.items():
        if line.of_credits != matched.get(account, 0):
            n = matched.get(account, 0)
            yield Difference(
                "credits", account, f"{line.of_credits} entries are credits, {n} are remembered"
            )


def _credit_entry(credit: Document) -> str:
    return entry_id(credit["_id"].partition("/")[0], credit["step"][0])


def _shown(value: Any) -> str:
    return value.hex()[:16] if isinstance(value, bytes) else str(value)
