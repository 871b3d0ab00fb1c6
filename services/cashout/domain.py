"""The life of a cash-out code as a table, and how a message moves it. Pure.

A store's request is judged first (``tills``); its verdict chooses the row. What has no row is
refused (a command) or is a fault (an event).
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, cast, get_args

from contracts.cashout.keys import reference_key
from contracts.cashout.v1 import (
    CancelCashout,
    CommandRefused,
    ExpireCode,
    Failure,
    InquireCode,
    RedeemCode,
    Redemption,
    RequestCashout,
    ReverseRedemption,
    Status,
)
from contracts.ledger.v1 import FundsHeld, HoldRefused
from contracts.message import Command, Message
from services._kit.life import Row, Say, Table
from services.cashout import tills
from services.cashout.life import Change, Decision, Life, Scene, Verdict
from services.cashout.tills import OVER_LIMIT, PAYS, SAME_REFERENCE
from services.cashout.words import ASKS, REVERSED_BY_STORE, SAYS, STORES_ASK

STATUSES: Final[tuple[str, ...]] = get_args(Status)
ENDS: Final = frozenset({"failed", "cancelled", "expired", "blocked", "reversed"})
_ANY: Final = (None, *STATUSES)

# fmt: off
TABLE: Final = Table((
    #   while it is   this arrives       it becomes    we say                                     we ask               when
    Row(None,         RequestCashout,    "requested",  ("CashoutAccepted",),                      ("HoldFunds",)),
    Row("requested",  HoldRefused,       "failed",     ("CashoutFailed",)),
    Row("requested",  FundsHeld,         "active",     ("CodeIssued",),                           ("errand: expire",)),

    Row("active",     RedeemCode,        "paid",       ("CodeRedeemed", "RedemptionAnswered"),    ("SettleHold",),     PAYS),
    Row("active",     RedeemCode,        "blocked",    ("CodeBlocked", "RedemptionAnswered"),     ("ReleaseHold",),    OVER_LIMIT),
    Row("active",     InquireCode,       "blocked",    ("CodeBlocked", "InquiryAnswered"),        ("ReleaseHold",),    OVER_LIMIT),
    Row("active",     CancelCashout,     "cancelled",  ("CashoutCancelled",),                     ("ReleaseHold",)),
    Row("active",     ExpireCode,        "expired",    ("CodeExpired",),                          ("ReleaseHold",)),

    Row("paid",       ReverseRedemption, "reversed",   ("CashoutReversed", "ReversalAnswered"),   ("ReturnFunds",),    SAME_REFERENCE),

    # A store is always answered; a wrong try counts, and changes nothing that anybody is told.
    *(Row(status,     RedeemCode,        None,         ("RedemptionAnswered",)) for status in _ANY),
    *(Row(status,     ReverseRedemption, None,         ("ReversalAnswered",))   for status in _ANY),
    *(Row(status,     InquireCode,       None,         ("InquiryAnswered",))    for status in _ANY),

    # The same order or the same alarm clock, once more.
    *(Row(status,     ExpireCode,        None) for status in _ANY if status != "active"),
    *(Row(status,     RequestCashout,    None) for status in STATUSES),
))
# fmt: on


def decide(scene: Scene) -> Decision:
    """What becomes of a scene; AssertionError: a fault."""
    judged, verdict = scene, None
    if isinstance(scene.message, STORES_ASK):
        judged, verdict = tills.judge(scene, reference_id(scene.message))
    status = None if judged.life is None else judged.life.status
    row = TABLE.find(
        status, type(scene.message), lambda when: verdict is not None and verdict.name == when
    )
    if row is None:
        return _without_row(scene)
    after = judged if row.becomes is None else _become(judged, row.becomes, verdict)
    answers = [SAYS[name](after, verdict) for name in row.say]
    answers += [ASKS[name](after, verdict) for name in row.ask]
    return Decision(after, tuple(answers), _alarms(scene, after))


def reference_id(message: Message) -> str | None:
    """The reference that a request is decided under; None: it has none."""
    if isinstance(message, RedeemCode | ReverseRedemption):
        return reference_key(message.chain, message.store_ref)
    return None


def _become(scene: Scene, becomes: str, verdict: Verdict | None) -> Scene:
    now, received = scene.now, scene.received
    life = scene.life or _new(scene)
    status = cast("Status", becomes)  # the table's tests hold it to Status
    change = Change(received.id, received.type, now, status)
    after = replace(
        life,
        **_learned(scene, life, verdict),
        status=status,
        sequence=life.sequence + 1,
        updated_at=now,
        history=(*life.history, change),
    )
    return replace(scene, life=after)


def _new(scene: Scene) -> Life:
    message, now = scene.message, scene.now
    return Life(message.cashout, message.phone_hash, message.order, "requested", now, now)


def _learned(scene: Scene, life: Life, verdict: Verdict | None) -> dict[str, Any]:
    """What a message tells about a life that it changes."""
    message, now = scene.message, scene.now
    if isinstance(message, FundsHeld):
        held, ordered = (message.amount, message.fee), (life.order.amount, life.order.fee)
        assert held == ordered, f"{life.id}: the ledger holds another amount than was ordered"
        assert scene.minted is not None, "a code is drawn when its funds are held"
        return {"digest": scene.minted.digest}
    if isinstance(message, HoldRefused):
        return {"failure": Failure(code=message.reason)}
    if isinstance(message, RedeemCode) and verdict is not None and verdict.name == PAYS:
        return {"redemption": _redemption(message, scene)}
    if isinstance(message, ReverseRedemption):
        return {
            "failure": Failure(code=REVERSED_BY_STORE, message=message.reason),
            "reversed_at": now,
        }
    return {}


def _redemption(message: RedeemCode, scene: Scene) -> Redemption:
    return Redemption(
        chain=message.chain,
        store_ref=message.store_ref,
        store_id=message.store_id,
        terminal_id=message.terminal_id,
        cashier_at=message.cashier_at,
        paid_at=scene.now,
    )


def _without_row(scene: Scene) -> Decision:
    message: Message = scene.message
    here = "no life" if scene.life is None else scene.life.status
    name = type(message).__name__
    assert isinstance(message, Command), f"{name} while {here}: no row of the table"
    known = scene.life is not None
    refused = CommandRefused(
        cashout=scene.message.cashout,
        command=scene.received.id,
        command_type=scene.received.type,
        reason="NOT_CANCELLABLE" if known else "UNKNOWN_CASHOUT",
        detail="only an active code can be cancelled" if known else "there is no such cash-out",
    )
    return Decision(scene, (Say(refused),))


def _alarms(before: Scene, after: Scene) -> tuple[str, ...]:
    terminal = after.terminal
    if terminal is None or terminal is before.terminal or terminal.slow_until is None:
        return ()
    window = timedelta(seconds=after.terms.terminal_window_s)
    phones = len(terminal.wrong)
    return (f"wrong codes of {phones} phones within {window}; it waits {terminal.pause_s:g} s",)
