"""When a message arrives: what it touches is loaded, decided and handed back as changes.

Codes are opened and drawn here, so that the domain sees sealed texts and keyed hashes alone.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from contracts.cashout import v1 as cashout
from contracts.cashout.keys import reference_key
from contracts.ledger.v1 import FundsHeld, HoldRefused
from contracts.message import Message
from contracts.sealed import Sealer, SealError
from services._kit.life import Answer, Changes, Received
from services._kit.ports import Reader
from services.cashout import codes, domain, store
from services.cashout.alarms import alarm
from services.cashout.life import (
    Life,
    Minted,
    Reference,
    Scene,
    Terminal,
    Terms,
    Tries,
    place,
)
from services.cashout.words import SERVICE, STORES_ASK

_OF_A_HOLD = (FundsHeld, HoldRefused)
_OF_A_LIFE = (cashout.RequestCashout, cashout.CancelCashout, cashout.ExpireCode)
_SHOWS_A_CODE = (cashout.RedeemCode, cashout.InquireCode)
# One is taken once in 10^9 draws per live code of the phone.
_DRAWS: Final = 3

Draw = tuple[str, tuple[str, ...]]


@dataclass(slots=True)
class Book:
    """What one batch touches, as it was read and as it became.

    ``coded`` finds lives by the place of their code; ``shown`` has the keyed hashes of each code
    that a store shows, by message; ``draws`` the codes that may be issued.
    """

    lives: dict[str, Life] = field(default_factory=dict)
    references: dict[str, Reference] = field(default_factory=dict)
    tries: dict[str, Tries] = field(default_factory=dict)
    terminals: dict[str, Terminal] = field(default_factory=dict)
    coded: dict[str, set[str]] = field(default_factory=dict)
    shown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    draws: dict[str, list[Draw]] = field(default_factory=dict, repr=False)
    changed: set[tuple[str, str]] = field(default_factory=set)
    now: datetime | None = None

    def add(self, life: Life) -> None:
        self.lives[life.id] = life
        if life.digest is not None:
            self.coded.setdefault(life.place, set()).add(life.id)

    def shows(self, where: str, digests: Sequence[str]) -> Life | None:
        """The life whose code this is, a live one first. Every candidate is compared in full."""
        found = None
        for one in sorted(self.coded.get(where, ())):
            life = self.lives[one]
            if codes.same(life.digest, digests) and (found is None or life.status == "active"):
                found = life
        return found


class CashoutHandlers:
    """See ``services._kit.shell.Handlers``.

    Args:
        terms: what the settings say.
        keys: hash codes.
        sealer: opens what stores show, seals what is issued.
        entropy: n bytes from a secure source.
    """

    service = SERVICE

    def __init__(
        self, terms: Terms, keys: codes.CodeKeys, sealer: Sealer, entropy: Callable[[int], bytes]
    ) -> None:
        self._terms = terms
        self._keys = keys
        self._sealer = sealer
        self._entropy = entropy

    def hears(self) -> Collection[type[Message]]:
        return (*_OF_A_LIFE, *STORES_ASK, *_OF_A_HOLD)

    # --- step 1 ---------------------------------------------------------------------------------

    async def load(self, reader: Reader, messages: Sequence[Received]) -> Book:
        """Five queries, whatever the batch."""
        said = [one.message for one in messages]
        book = Book()
        references = {one for m in said if (one := domain.reference_id(m)) is not None}
        found = await reader.get(store.REFERENCES, references)
        book.references = {one: store.reference_of(row) for one, row in found.items()}
        ids = {one for m in said if (one := _life_id(m)) is not None}
        ids |= {one.cashout for one in book.references.values() if one.cashout is not None}
        for row in (await reader.get(store.LIVES, ids)).values():
            book.add(store.life_of(row))
        self._open(book, messages)
        self._draw(book, messages)
        digests = {one for shown in book.shown.values() for one in shown}
        digests |= {one for draws in book.draws.values() for _, all_ in draws for one in all_}
        for row in await reader.find(store.LIVES, store.DIGEST, digests):
            if row["_id"] not in book.lives:
                book.add(store.life_of(row))
        places = {_place(m) for m in said if isinstance(m, _SHOWS_A_CODE)}
        tried = await reader.get(store.TRIES, places)
        book.tries = {one: store.tries_of(row) for one, row in tried.items()}
        terminals = {one for m in said if (one := terminal_id(m)) is not None}
        seen = await reader.get(store.TERMINALS, terminals)
        book.terminals = {one: store.terminal_of(row) for one, row in seen.items()}
        return book

    def _open(self, book: Book, messages: Sequence[Received]) -> None:
        for one in messages:
            if isinstance(one.message, _SHOWS_A_CODE):
                try:
                    code = self._sealer.open(one.message.code, cashout.CODE)
                except (SealError, ValueError):
                    continue  # a fault of this message alone: ``decide`` parks it
                book.shown[one.id] = self._keys.digests(_place(one.message), code)

    def _draw(self, book: Book, messages: Sequence[Received]) -> None:
        for one in messages:
            life = book.lives.get(_life_id(one.message) or "")
            if isinstance(one.message, FundsHeld) and life is not None:
                drawn = [codes.draw(self._entropy(codes.RANDOM_BYTES)) for _ in range(_DRAWS)]
                book.draws[one.id] = [(c, self._keys.digests(life.place, c)) for c in drawn]

    # --- step 2 ---------------------------------------------------------------------------------

    def decide(self, book: Book, message: Received, now: datetime) -> Sequence[Answer]:
        book.now = now
        scene = self._scene(book, message, now)
        decision = domain.decide(scene)
        _note(book, scene, decision.after)
        alarm("scan", terminal_id(message.message) or "", decision.alarms)
        return decision.answers

    def _scene(self, book: Book, received: Received, now: datetime) -> Scene:
        message, scene = received.message, Scene(received, now, self._terms)
        if isinstance(message, STORES_ASK):
            return self._asked(book, scene)
        life = book.lives.get(_life_id(message) or "")
        minted = None
        if isinstance(message, FundsHeld) and life is not None and life.status == "requested":
            minted = self._mint(book, received.id, life)
        return replace(scene, life=life, minted=minted)

    def _asked(self, book: Book, scene: Scene) -> Scene:
        message = scene.message
        reference = book.references.get(domain.reference_id(message) or "")
        if isinstance(message, cashout.ReverseRedemption):
            paid = (reference.cashout or "") if reference else ""
            return replace(scene, reference=reference, life=book.lives.get(paid))
        digests = book.shown.get(scene.received.id)
        assert digests is not None, "the code that was shown cannot be opened"
        where, terminal = _place(message), terminal_id(message)
        life = book.shows(where, digests)
        return replace(
            scene,
            reference=reference,
            life=life,
            matches=life is not None,
            tries=book.tries.get(where) or Tries(where),
            terminal=None
            if terminal is None
            else book.terminals.get(terminal) or Terminal(terminal),
        )

    def _mint(self, book: Book, message_id: str, life: Life) -> Minted:
        for code, digests in book.draws[message_id]:
            taken = book.shows(life.place, digests)
            if taken is None or taken.status != "active":
                return Minted(self._sealer.seal(code, cashout.CODE), digests[0])
        raise AssertionError("every code that was drawn is taken")

    def park(self, book: Book, message: Received, reason: str, now: datetime) -> Sequence[Answer]:
        """The life waits as it is; its age and the dead letter call a person."""
        del book, message, reason, now
        return ()

    # --- step 3 ---------------------------------------------------------------------------------

    def check(self, book: Book) -> None:
        for name, one in book.changed:
            if name == store.LIVES:
                _check_life(book.lives[one])
            elif name == store.REFERENCES:
                _check_reference(book, book.references[one])

    def changes(self, book: Book) -> Changes:
        changes = Changes()
        if book.now is None:
            return changes  # nothing was decided
        now = book.now
        documents: dict[str, Callable[[str], dict[str, Any]]] = {
            store.LIVES: lambda one: store.life_document(book.lives[one]),
            store.REFERENCES: lambda one: store.reference_document(book.references[one]),
            store.TRIES: lambda one: store.tries_document(book.tries[one], self._terms, now),
            store.TERMINALS: lambda one: store.terminal_document(
                book.terminals[one], self._terms, now
            ),
        }
        for name, one in sorted(book.changed):
            changes.put(name, [documents[name](one)])
        return changes


def _note(book: Book, before: Scene, after: Scene) -> None:
    """What became of a scene goes into the book."""
    if after.life is not None and after.life is not before.life:
        book.add(after.life)
        book.changed.add((store.LIVES, after.life.id))
    if after.reference is not None:
        # Written even when it says the same: a repeat must lose against a reversal meanwhile.
        book.references[after.reference.id] = after.reference
        book.changed.add((store.REFERENCES, after.reference.id))
    if after.tries is not None and after.tries is not before.tries:
        book.tries[after.tries.id] = after.tries
        book.changed.add((store.TRIES, after.tries.id))
    if after.terminal is not None and after.terminal is not before.terminal:
        book.terminals[after.terminal.id] = after.terminal
        book.changed.add((store.TERMINALS, after.terminal.id))


def _check_life(life: Life) -> None:
    was_paid = life.status in ("paid", "reversed")
    assert was_paid == (life.redemption is not None), f"{life.id}: {life.status} and its till"
    told = life.status in ("failed", "reversed")
    assert told == (life.failure is not None), f"{life.id}: {life.status} and its reason"
    coded = life.status not in ("requested", "failed")
    assert coded == (life.digest is not None), f"{life.id}: {life.status} and its code"


def _check_reference(book: Book, reference: Reference) -> None:
    """What a store was told is what became of the life."""
    paid = reference.state == "paid"
    assert paid == (reference.receipt is not None), f"{reference.id}: {reference.state}, receipt?"
    if reference.cashout is None:
        assert not paid, f"{reference.id}: paid, but nothing"
        return
    life = book.lives[reference.cashout]
    expected = "paid" if paid else "reversed"
    assert life.status == expected, f"{reference.id} is {reference.state}, its life {life.status}"
    till = life.redemption
    assert till is not None, f"{reference.id}: its life was paid nowhere"
    own = reference_key(till.chain, till.store_ref) == reference.id
    assert own, f"{reference.id}: its life was paid under another reference"


def _life_id(message: Any) -> str | None:
    if isinstance(message, _OF_A_HOLD):
        return message.hold
    return message.cashout if isinstance(message, _OF_A_LIFE) else None


def _place(message: Any) -> str:
    """A chain pays codes of its own environment only."""
    return place(message.chain.rpartition(".")[2], message.phone_hash)


def terminal_id(message: Any) -> str | None:
    """A till of a store of a chain. All that inquire without naming theirs count as one, or a scan
    would only have to leave the name out. None: the message shows no code.
    """
    if not isinstance(message, _SHOWS_A_CODE):
        return None
    return f"{message.chain}/{message.store_id or ''}/{message.terminal_id or ''}"
