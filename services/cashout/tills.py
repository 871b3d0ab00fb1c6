"""How a store's request is judged: the thirty seconds, and who guesses codes. Pure.

A store that hears nothing for 30 s reverses by itself, and repeats that until it is answered. So
what was answered under a reference stands for ever, and is looked up before anything else.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from contracts.cashout.v1 import InquireCode, RedeemCode, ReverseRedemption, Status
from services.cashout.life import Life, Reference, Scene, Terminal, Terms, Tries, Verdict
from services.cashout.receipts import receipt

# Names of verdicts, which choose the row of the life's table; any other verdict leaves it alone.
PAYS = "all matches, in time"
OVER_LIMIT = "a wrong amount, over the limit"
SAME_REFERENCE = "same (chain, store_ref)"
ANSWERED, REFUSED = "answered as before", "refused"

INVALID_CODE, AMOUNT_MISMATCH = "INVALID_CODE", "AMOUNT_MISMATCH"
CODE_EXPIRED, CODE_BLOCKED = "CODE_EXPIRED", "CODE_BLOCKED"
CODE_ALREADY_USED, REVERSED_BY_STORE = "CODE_ALREADY_USED", "REVERSED_BY_STORE"
DUPLICATE_REFERENCE, TOO_LATE = "DUPLICATE_REFERENCE", "TOO_LATE"

# Why the right code of a life that is over is refused; it counts as a wrong one all the same.
_OVER: Final[Mapping[Status, str]] = {
    "paid": CODE_ALREADY_USED,
    "reversed": REVERSED_BY_STORE,
    "expired": CODE_EXPIRED,
    "blocked": CODE_BLOCKED,
}

Judged = tuple[Scene, Verdict]


def judge(scene: Scene, reference_id: str | None) -> Judged:
    """The scene as the request leaves it (but for its life's status), and the verdict."""
    if isinstance(scene.message, InquireCode):
        return _look(scene)
    assert reference_id is not None, "a redemption or a reversal has a reference"
    if isinstance(scene.message, RedeemCode):
        return _redeem(scene, scene.message, reference_id)
    assert isinstance(scene.message, ReverseRedemption), "no store asks this"
    return _reverse(scene, reference_id)


# --- under a reference -----------------------------------------------------------------------


def _redeem(scene: Scene, message: RedeemCode, reference_id: str) -> Judged:
    before = scene.reference or Reference(reference_id, "refused")
    repeated = before.fingerprint == message.fingerprint
    if before.state == "reversed":
        return scene, Verdict(REFUSED, REVERSED_BY_STORE)
    if before.state == "paid":
        if repeated:
            return scene, Verdict(ANSWERED, receipt=before.receipt)
        return scene, Verdict(REFUSED, DUPLICATE_REFERENCE)
    if before.reason is not None and repeated:
        return scene, Verdict(ANSWERED, before.reason)
    if scene.now > message.answer_by:
        seen, verdict = scene, Verdict(REFUSED, TOO_LATE)
    else:
        seen, verdict = _look(scene)
    if verdict.name == PAYS:
        assert seen.life is not None, "what is paid has a life"
        slip = receipt(seen.life, message, scene.now)
        verdict = replace(verdict, receipt=slip)
        after = before.changed(
            scene.now,
            state="paid",
            fingerprint=message.fingerprint,
            reason=None,
            cashout=seen.life.id,
            receipt=slip,
        )
    else:
        after = before.changed(scene.now, fingerprint=message.fingerprint, reason=verdict.reason)
    return replace(seen, reference=after), verdict


def _reverse(scene: Scene, reference_id: str) -> Judged:
    """The store always gets a yes."""
    before = scene.reference or Reference(reference_id, "refused")
    if before.state == "reversed":
        if before.cashout is None:
            return scene, Verdict(ANSWERED, effect="nothing_paid")
        return scene, Verdict(ANSWERED, effect="already_reversed")
    after = before.changed(scene.now, state="reversed", reason=None, receipt=None)
    scene = replace(scene, reference=after)
    if before.state == "paid":
        life = scene.life
        assert life is not None, "the life that was paid under this reference"
        assert life.status == "paid", f"paid under {before.id}, but {life.status}"
        return scene, Verdict(SAME_REFERENCE, effect="reversed")
    return scene, Verdict(REFUSED, effect="nothing_paid")


# --- the code, the phone and the amount ------------------------------------------------------


def _look(scene: Scene) -> Judged:
    life, now = scene.life, scene.now
    if _waits(scene.tries, now) or _slowed(scene.terminal, now):
        return scene, Verdict(REFUSED, CODE_BLOCKED)
    if life is None or not scene.matches:
        return _counted(scene), Verdict(REFUSED, INVALID_CODE)
    if life.status != "active":
        return _counted(scene), Verdict(REFUSED, _OVER.get(life.status, INVALID_CODE))
    if now >= life.order.expires_at:
        # Its alarm clock is about to ring.
        return scene, Verdict(REFUSED, CODE_EXPIRED)
    if scene.message.amount != life.order.amount:
        return _miscounted(scene, life)
    return scene, Verdict(PAYS)


def _miscounted(scene: Scene, life: Life) -> Judged:
    wrong = life.wrong_amounts + 1
    scene = replace(scene, life=replace(life, wrong_amounts=wrong))
    name = OVER_LIMIT if wrong >= scene.terms.wrong_amounts_max else REFUSED
    return scene, Verdict(name, AMOUNT_MISMATCH)


def _counted(scene: Scene) -> Scene:
    terms, now = scene.terms, scene.now
    tries = None if scene.tries is None else _wrong_once_more(scene.tries, now, terms)
    terminal = scene.terminal
    if terminal is not None:
        terminal = _seen_scanning(terminal, scene.message.phone_hash, now, terms)
    return replace(scene, tries=tries, terminal=terminal)


def _wrong_once_more(tries: Tries, now: datetime, terms: Terms) -> Tries:
    since = now - timedelta(seconds=terms.wrong_codes_window_s)
    wrong_at = (*(at for at in tries.wrong_at if at > since), now)
    if len(wrong_at) < terms.wrong_codes_max:
        return replace(tries, wrong_at=wrong_at, blocked_until=None)
    until = now + timedelta(seconds=terms.phone_block_s)
    return replace(tries, wrong_at=(), blocked_until=until)


def _seen_scanning(terminal: Terminal, phone_hash: str, now: datetime, terms: Terms) -> Terminal:
    """Many phones' wrong codes from one terminal: each one more doubles the pause."""
    since = now - timedelta(seconds=terms.terminal_window_s)
    others = [one for one in terminal.wrong if one[1] > since and one[0] != phone_hash]
    wrong = (*others, (phone_hash, now))[-terms.terminal_phones_max :]
    if len(wrong) < terms.terminal_phones_max:
        return replace(terminal, wrong=wrong, slow_until=None, pause_s=0)
    pause_s = min(max(terms.terminal_pause_s, terminal.pause_s * 2), terms.terminal_pause_most_s)
    until = now + timedelta(seconds=pause_s)
    return replace(terminal, wrong=wrong, slow_until=until, pause_s=pause_s)


def _waits(tries: Tries | None, now: datetime) -> bool:
    return tries is not None and tries.blocked_until is not None and now < tries.blocked_until


def _slowed(terminal: Terminal | None, now: datetime) -> bool:
    return terminal is not None and terminal.slow_until is not None and now < terminal.slow_until
