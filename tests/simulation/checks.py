"""What must be true when everything is over, whatever went wrong on the way."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from contracts import catalog
from contracts.cashout import v1 as cashout
from contracts.disburse import v1 as disburse
from contracts.envelope import Envelope, decode
from contracts.message import Message
from contracts.public import CASHOUT_STATUSES, DISBURSEMENT_STATUSES
from services.callbacks import domain as callbacks
from services.cashout.store import LIVES as CASHOUTS
from services.cashout.store import REFERENCES
from services.disburse.domain import ENDS
from services.disburse.store import LIVES as DISBURSEMENTS
from services.ledger.audit import audit
from services.ledger.audit_base import Counts
from services.ledger.store import ACCOUNTS, HOLDS
from tests.simulation.bank import Bank
from tests.simulation.partners import ACCOUNTS as OPENED
from tests.simulation.partners import ENDPOINTS
from tests.simulation.tills import Tills
from tests.simulation.world import SERVICES, World

Documents = dict[str, dict[str, Any]]

_HOLD_OF = {
    "succeeded": "settled",
    "paid": "settled",
    "reversed": "returned",
    "unclear": "open",
}


class Found:
    """A cursor over documents."""

    def __init__(self, rows: Documents) -> None:
        self._rows = rows

    def find(self, query: Any, **_options: Any) -> "Found":
        ids = query.get("_id", {}).get("$in", self._rows)
        return Found({one: self._rows[one] for one in ids if one in self._rows})

    def sort(self, *_by_id: Any) -> "Found":
        return Found(dict(sorted(self._rows.items())))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows.values())


class Books:
    """A service's documents as the audit reads them."""

    def __init__(self, collections: dict[str, Documents]) -> None:
        self._collections = collections

    def __getitem__(self, name: str) -> Found:
        return Found(self._collections.get(name, {}))


def check(world: World, tills: Tills, lives: int) -> Counter[str]:
    """Raises AssertionError for what is not so; counts how lives ended."""
    if world.bugs:
        raise AssertionError(f"raised: {world.bugs[0]!r}") from world.bugs[0]
    _nothing_is_left(world)
    ends = _lives_ended(world)
    assert ends.total() == lives, f"{lives} were asked for, {ends.total()} lived"
    books = _money(world)
    _banks(world, books)
    _tills(world, tills, books)
    said = list(_said(world))
    _ids(world, said)
    _answers(world, tills, said)
    _told(world, said)
    return ends


def _rows(world: World, service: str, name: str) -> Documents:
    return world.stores[service].collections.get(name, {})


def _nothing_is_left(world: World) -> None:
    for service in SERVICES:
        assert not world.waiting(service), f"{service} has not read everything"
        parked = [row for row in world.stores[service].inbox.values() if row.parked]
        assert not parked, f"{service} parked {parked[0].type}: {parked[0].parked}"
        rows = [row.errand for row in world.stores[service].errands.rows.values()]
        stuck = [one for one in rows if one.due_at <= world.clock() and one.kind != "statement"]
        assert not stuck, f"{service} has not done {stuck[0].kind} of {stuck[0].correlation}"
    dead = [topic for topic in world.log.topics if topic.endswith(catalog.DEAD_SUFFIX)]
    assert not dead, f"dead letters: {dead}"


def _lives_ended(world: World) -> Counter[str]:
    ends: Counter[str] = Counter()
    for one in _rows(world, "disburse", DISBURSEMENTS).values():
        ends[f"disbursement {one['status']}"] += 1
        if one["status"] == "unclear":
            mood = next(b.moods[one["_id"]] for b in world.banks.values() if one["_id"] in b.moods)
            assert mood.mute, f"{one['_id']} is unclear, but its bank would have answered"
        else:
            assert one["status"] in ENDS, f"{one['_id']} is still {one['status']}"
    for one in _rows(world, "cashout", CASHOUTS).values():
        ends[f"cash-out {one['status']}"] += 1
        over = one["status"] not in ("requested", "active")
        assert over, f"{one['_id']} is still {one['status']}"
    return ends


def _money(world: World) -> dict[str, int]:
    counts = Counts()
    differences = [
        str(one) for one in audit(Books(world.stores["ledger"].collections), counts=counts)
    ]
    assert not differences, f"the audit says: {differences}"
    accounts = _rows(world, "ledger", ACCOUNTS)
    assert set(accounts) == set(OPENED), "an account is missing"
    assert not any(one["frozen"] for one in accounts.values()), "an account is frozen"
    holds = _rows(world, "ledger", HOLDS)
    lives = _rows(world, "disburse", DISBURSEMENTS) | _rows(world, "cashout", CASHOUTS)
    assert set(holds) == set(lives), "a hold without a life, or a life without a hold"
    for name, life in lives.items():
        refused = life["status"] == "failed" and holds[name]["status"] == "refused"
        expected = "refused" if refused else _HOLD_OF.get(life["status"], "released")
        kept = holds[name]["status"]
        assert kept == expected, f"{name} is {life['status']}, its hold is {kept}"
    return counts.books


def _banks(world: World, books: dict[str, int]) -> None:
    lives = _rows(world, "disburse", DISBURSEMENTS)
    for bank in world.banks.values():
        twice = [one for one, n in bank.paid.items() if n > 1]
        assert not twice, f"{bank.name} paid {twice[0]} twice"
        for name in bank.moods:
            status = lives[name]["status"] if name in lives else None
            paid, back = bank.paid[name] == 1, name in bank.returned_at
            if status == "unclear":
                continue
            right = status in (_paid_ends(bank, name) if paid else ("failed", "cancelled"))
            assert right, f"{name} is {status}; {bank.name} paid: {paid}, took it back: {back}"
        kept = sum(
            lives[name]["amount"]
            for name in lives
            if lives[name]["status"] == "succeeded"
            and (lives[name]["way"] or {})["rail"] == bank.name
        )
        cleared = books.get(f"clearing:{bank.name}", 0)
        assert cleared == kept, f"clearing:{bank.name} is {cleared}, succeeded {kept}"


def _paid_ends(bank: Bank, name: str) -> tuple[str, ...]:
    if name not in bank.returned_at:
        return ("succeeded",)
    # A mute bank gives back without a word, after two persons have said that it paid.
    return ("reversed", "succeeded") if bank.moods[name].mute else ("reversed",)


def _tills(world: World, tills: Tills, books: dict[str, int]) -> None:
    lives = _rows(world, "cashout", CASHOUTS)
    given: dict[str, list[int]] = defaultdict(list)
    owed: Counter[str] = Counter()
    for (chain, _), (paid, amount) in tills.cash.items():
        given[paid].append(amount)
        owed[f"clearing:till-{chain}"] += amount
    for name, life in lives.items():
        expected = [life["amount"]] if life["status"] == "paid" else []
        assert given[name] == expected, f"{name} is {life['status']}, tills paid {given[name]}"
    cleared = {book: amount for book, amount in books.items() if book.startswith("clearing:till-")}
    for book in cleared.keys() | owed.keys():
        assert cleared.get(book, 0) == owed[book], (
            f"{book} is {cleared.get(book)}, not {owed[book]}"
        )


# --- what was said -------------------------------------------------------------------------------


def _said(world: World) -> Iterator[tuple[Envelope[Any], bytes]]:
    for topic in sorted(world.log.topics):
        for record in world.log.all(topic):
            yield decode(record.value), record.value


def _ids(world: World, said: list[tuple[Envelope[Any], bytes]]) -> None:
    """One id, one content. What an errand concludes names its time, so there the rest must fit."""
    first: dict[str, tuple[Envelope[Any], bytes]] = {}
    causes = {one.id for one, _ in said}
    for one, raw in said:
        known, bytes_ = first.setdefault(one.id, (one, raw))
        if one.cause is None or one.cause in causes:
            assert raw == bytes_, f"{one.type} {one.id} was said again in other words"
        assert (one.type, one.key) == (known.type, known.key), f"{one.id} names two messages"


def _answers(world: World, tills: Tills, said: list[tuple[Envelope[Any], bytes]]) -> None:
    standings: dict[tuple[str, int], Any] = {}
    receipts: dict[str, Any] = {}
    reversed_at: dict[str, int] = {}
    heard = {one.correlation for one, _ in said if one.message.__class__ in _ANSWERS}
    silent = tills.asked - heard
    assert not silent, f"never answered: {min(silent)}"
    for one, _ in said:
        message, sequence = one.message, one.sequence or 0
        if not isinstance(message, _ANSWERS):
            continue
        standing = message.standing
        known = standings.setdefault((message.key, sequence), standing)
        assert known == standing, f"{message.key} stands differently under number {sequence}"
        if standing.state == "reversed":
            first = min(sequence, reversed_at.get(message.key, sequence))
            reversed_at[message.key] = first
        if isinstance(message, cashout.RedemptionAnswered) and message.receipt is not None:
            same = receipts.setdefault(message.key, message.receipt)
            assert same == message.receipt, f"{message.key} has two receipts"
            assert standing.state == "paid", f"{message.key}: yes, but {standing.state}"
    for (key, sequence), standing in standings.items():
        if sequence > reversed_at.get(key, sequence):
            assert standing.state == "reversed", f"{key} went back to {standing.state}"
    _references(world, standings)


_ANSWERS = (cashout.RedemptionAnswered, cashout.ReversalAnswered)


def _references(world: World, standings: dict[tuple[str, int], Any]) -> None:
    for key, row in _rows(world, "cashout", REFERENCES).items():
        told = standings[key, row["sequence"]]
        assert told.state == row["state"], f"{key} is {row['state']}, told was {told.state}"


def _told(world: World, said: list[tuple[Envelope[Any], bytes]]) -> None:
    """Each type once per life, to each endpoint that wants it, and the last one is the end."""
    assert not world.merchants.altered, "a callback was told in two ways"
    hears = {row.arrives for row in callbacks.TABLE.rows}
    expected: dict[tuple[str, str], set[str]] = defaultdict(set)
    newest: dict[str, tuple[int, str]] = {}
    once: dict[tuple[str, str], str] = {}
    for one, _ in said:
        if not isinstance(one.message, disburse.Disbursement | cashout.Cashout):
            continue
        message: Any = one.message
        same = once.setdefault((one.key, one.type), one.id)
        assert same == one.id, f"{one.key}: {one.type} was said of two changes"
        newest[one.key] = max(newest.get(one.key, (0, "")), (one.sequence or 0, message.status))
        kind = _callback_type(message)
        for endpoint, (account, wanted) in ENDPOINTS.items():
            wants = any(kind and kind.startswith(prefix.rstrip("*")) for prefix in wanted)
            if kind and wants and account == message.order.account and type(message) in hears:
                expected[endpoint, one.key].add(kind)
    lives = _rows(world, "disburse", DISBURSEMENTS) | _rows(world, "cashout", CASHOUTS)
    for name, life in lives.items():
        last = newest[name][1]
        assert life["status"] in (last, "sending", "unclear"), f"{name}: {life['status']}, {last}"
    for (endpoint, name), kinds in expected.items():
        told = world.merchants.types(endpoint, name)
        assert sorted(told) == sorted(kinds), f"{endpoint} was told {told} of {name}, not {kinds}"


def _callback_type(message: Message) -> str | None:
    if isinstance(message, disburse.Disbursement):
        return DISBURSEMENT_STATUSES[message.status][1]
    assert isinstance(message, cashout.Cashout)
    return CASHOUT_STATUSES[message.status][1]
