"""What a cash-out says and asks: the makers behind the names in the table.

Each takes the scene as it *became* and the verdict. What a store's request does to a life is told
under the life's own correlation: the request's belongs to the answer alone.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Final

from contracts.cashout import v1 as cashout
from contracts.ledger import v1 as ledger
from contracts.message import Event, Message
from services._kit.life import Answer, Due, Say, due_message
from services.cashout.life import Life, Scene, Verdict

SERVICE: Final = "cashout"
STORES_ASK: Final = (cashout.RedeemCode, cashout.ReverseRedemption, cashout.InquireCode)
REVERSED_BY_STORE: Final = "REVERSED_BY_STORE"
_EXPIRY_LANE: Final = "expire"
_RELEASED: Final[Mapping[str, str]] = {
    "cancelled": "CANCELLED",
    "expired": "CODE_EXPIRED",
    "blocked": "CODE_BLOCKED",
}

Maker = Callable[[Scene, Verdict | None], Answer]


def rail(chain: str) -> str:
    """What the chain paid out is owed to it: ``clearing:till-<chain>`` in the journal."""
    return f"till-{chain}"


def expiry_lane(life_id: str, lanes: int) -> str:
    return f"{_EXPIRY_LANE}:{zlib.crc32(life_id.encode()) % lanes}"


def _about(scene: Scene, message: Message, sequence: int | None = None) -> Say:
    correlation = _life(scene).id if isinstance(scene.message, STORES_ASK) else None
    return Say(message, sequence, correlation)


def _event(model: type[Event]) -> Maker:
    """An event is the whole picture of the life as it became."""

    def say(scene: Scene, _verdict: Verdict | None) -> Say:
        life = _life(scene)
        return _about(scene, model.model_construct(**life.picture()), life.sequence)

    return say


def _issued(scene: Scene, _verdict: Verdict | None) -> Say:
    life, minted = _life(scene), scene.minted
    assert minted is not None, "a code is drawn when its funds are held"
    said = cashout.CodeIssued.model_construct(**life.picture(), code=minted.sealed)
    return Say(said, life.sequence)


def _redemption(scene: Scene, verdict: Verdict | None) -> Say:
    message, reference = scene.message, scene.reference
    assert reference is not None and verdict is not None, "a store is answered by its reference"  # noqa: PT018 - one thought
    answer = cashout.RedemptionAnswered(
        chain=message.chain,
        store_ref=message.store_ref,
        fingerprint=message.fingerprint,
        standing=reference.standing(),
        result="invalid" if verdict.receipt is None else "valid",
        reason=verdict.reason,
        receipt=verdict.receipt,
    )
    return Say(answer, reference.sequence, answer.correlation)


def _reversal(scene: Scene, verdict: Verdict | None) -> Say:
    message, reference = scene.message, scene.reference
    assert reference is not None, "a store is answered by its reference"
    assert verdict is not None and verdict.effect is not None, "a reversal has an effect"  # noqa: PT018 - one thought
    answer = cashout.ReversalAnswered(
        chain=message.chain,
        store_ref=message.store_ref,
        fingerprint=message.fingerprint,
        standing=reference.standing(),
        effect=verdict.effect,
    )
    return Say(answer, reference.sequence, answer.correlation)


def _inquiry(scene: Scene, verdict: Verdict | None) -> Say:
    assert verdict is not None, "an inquiry is judged"
    message = scene.message
    answer = cashout.InquiryAnswered(
        inquiry=message.inquiry,
        chain=message.chain,
        result="valid" if verdict.reason is None else "invalid",
        reason=verdict.reason,
    )
    return Say(answer, correlation=message.inquiry)


def _hold(scene: Scene, _verdict: Verdict | None) -> Say:
    life = _life(scene)
    return _about(
        scene,
        ledger.HoldFunds(
            account=life.order.account,
            hold=life.id,
            holder=SERVICE,
            amount=life.order.amount,
            fee=life.order.fee,
        ),
    )


def _settle(scene: Scene, _verdict: Verdict | None) -> Say:
    life = _life(scene)
    return _about(
        scene,
        ledger.SettleHold(account=life.order.account, hold=life.id, rail=_rail(life)),
    )


def _release(scene: Scene, _verdict: Verdict | None) -> Say:
    life = _life(scene)
    return _about(
        scene,
        ledger.ReleaseHold(account=life.order.account, hold=life.id, reason=_RELEASED[life.status]),
    )


def _return(scene: Scene, _verdict: Verdict | None) -> Say:
    """The customer got nothing, so the partner gets the fee back too."""
    life = _life(scene)
    return _about(
        scene,
        ledger.ReturnFunds(
            account=life.order.account,
            hold=life.id,
            rail=_rail(life),
            return_fee=True,
            reason=REVERSED_BY_STORE,
        ),
    )


def _expire(scene: Scene, _verdict: Verdict | None) -> Due:
    life = _life(scene)
    message = cashout.ExpireCode(cashout=life.id, phone_hash=life.phone_hash)
    lane = expiry_lane(life.id, scene.terms.expiry_lanes)
    return due_message(message, life.order.expires_at, lane, life.id)


def _rail(life: Life) -> str:
    assert life.redemption is not None, "only what a chain paid out is settled or returned"
    return rail(life.redemption.chain)


def _life(scene: Scene) -> Life:
    assert scene.life is not None, "there is a life"
    return scene.life


SAYS: Final[Mapping[str, Maker]] = {
    model.__name__: _event(model)
    for model in (
        cashout.CashoutAccepted,
        cashout.CashoutFailed,
        cashout.CodeRedeemed,
        cashout.CodeBlocked,
        cashout.CashoutCancelled,
        cashout.CodeExpired,
        cashout.CashoutReversed,
    )
} | {
    "CodeIssued": _issued,
    "RedemptionAnswered": _redemption,
    "ReversalAnswered": _reversal,
    "InquiryAnswered": _inquiry,
}

ASKS: Final[Mapping[str, Maker]] = {
    "HoldFunds": _hold,
    "SettleHold": _settle,
    "ReleaseHold": _release,
    "ReturnFunds": _return,
    "errand: expire": _expire,
}
