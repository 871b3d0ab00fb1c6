"""Holds against the journal: each has the entries of its status, each such entry has its hold."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from services.ledger.audit_base import Counts, Difference, Document, Line, Reader, moved
from services.ledger.store import HOLDS, JOURNAL, entry_id

# Of these holds of one holder: which are not of a life that is alive, and why.
Orphans = Callable[[str, Collection[str]], Mapping[str, str]]

# What a hold's entries were, by its status.
_STEPS = {
    "open": ("held",),
    "settled": ("held", "settled"),
    "released": ("held", "released"),
    "returned": ("held", "settled", "returned"),
    "refused": (),
}


def compare_holds(
    read: Reader, lines: dict[str, Line], counts: Counts, orphans: Orphans | None
) -> Iterator[Difference]:
    """Each hold has the entries that its status says, and each such entry has its hold."""
    matched: dict[str, int] = {}
    for chunk in read.chunks(HOLDS):
        counts.holds += len(chunk)
        entries = read.some(JOURNAL, _entry_ids(chunk))
        for hold in chunk:
            account = hold["account"]
            if hold["status"] == "open":
                counts.open_holds += 1
                line = lines.setdefault(account, Line())
                line.open_sum += hold["amount"] + hold["fee"]
            for what in _compare(hold, entries):
                yield Difference("holds", account, f"hold {hold['_id']} {what}")
            matched[account] = matched.get(account, 0) + len(_STEPS.get(hold["status"], ()))
        if orphans is not None:
            yield from _orphaned(chunk, orphans)
    for account, line in lines.items():
        if line.of_holds != matched.get(account, 0):
            n = matched.get(account, 0)
            yield Difference(
                "holds", account, f"{line.of_holds} entries are of holds, the holds know {n}"
            )


def _entry_ids(holds: Sequence[Document]) -> list[str]:
    return [
        entry_id(hold["account"], step[0])
        for hold in holds
        for step in hold["steps"]
        if hold["status"] != "refused"
    ]


def _compare(hold: Document, entries: Mapping[str, Document]) -> Iterator[str]:
    kinds = _STEPS.get(hold["status"])
    if kinds is None:
        yield f"has the unknown status {hold['status']}"
        return
    if hold["status"] == "refused":
        return
    if len(kinds) != len(hold["steps"]):
        yield f"is {hold['status']} after {len(hold['steps'])} steps"
    for kind, step in zip(kinds, hold["steps"], strict=False):
        entry = entries.get(entry_id(hold["account"], step[0]))
        if entry is None or entry["subject"] != hold["_id"] or entry["kind"] != kind:
            yield f"is {hold['status']}, but entry {step[0]} is not its {kind}"
        elif [entry["available"], entry["held"]] != list(step[1:]):
            yield f"remembers other balances than entry {step[0]}"
        elif (sums := moved(entry)) != _expected(hold, kind):
            yield f"has {hold['amount']} + {hold['fee']}, entry {step[0]} moves {sums}"


def _expected(hold: Document, kind: str) -> tuple[int, int]:
    total = hold["amount"] + hold["fee"]
    if kind == "returned":
        return hold["amount"] + (hold["fee"] if hold["fee_returned"] else 0), 0
    return {"held": (-total, total), "settled": (0, -total), "released": (total, -total)}[kind]


def _orphaned(chunk: Sequence[Document], orphans: Orphans) -> Iterator[Difference]:
    asked: dict[str, list[Document]] = {}
    for hold in chunk:
        if hold["status"] == "open":
            asked.setdefault(hold["holder"], []).append(hold)
    for holder, holds in asked.items():
        dead = orphans(holder, [hold["_id"] for hold in holds])
        for hold in holds:
            if hold["_id"] in dead:
                yield Difference(
                    "lives", hold["account"], f"hold {hold['_id']} is open, {dead[hold['_id']]}"
                )
