"""Why a callback is sent, sent again, or given up: the life of a delivery as a table.

Each event that has a callback type becomes one delivery for each endpoint that wants it, with the
body rendered once, from the event itself: what a merchant reads is what happened, whatever has
happened since. Each type is said once per life, so each is delivered, also one that arrives after
a newer one; merchants get no promise of order, they drop what is not newer by ``sequence``.

An endpoint is configuration and has no statuses; ``410 Gone`` switches it off.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from contracts.callbacks import v1 as callbacks
from contracts.cashout import v1 as cashout
from contracts.disburse import v1 as disburse
from contracts.ids import derived_id
from contracts.ledger import v1 as ledger
from contracts.message import Message
from services._kit.life import Answer, Due, Received, Row, Table
from services.callbacks import body
from services.callbacks.state import Book, Delivery, Endpoint, Policy
from services.callbacks.words import SAYS, endpoint_set, refused

DELIVER = "deliver"
JITTER = 0.1

_RECORD, _AGAIN = callbacks.RecordAttempt, callbacks.RedeliverCallback
_DONE, _OVER = ("CallbackDelivered",), ("CallbackExhausted",)
_GONE = ("CallbackExhausted", "EndpointSet")
_TRY = ("attempt",)

# fmt: off
TABLE = Table((
    # while it is    this arrives                    it becomes   we say  we ask  when
    Row(None,        disburse.DisbursementScheduled, "pending",   (),     _TRY),
    Row(None,        disburse.DisbursementSucceeded, "pending",   (),     _TRY),
    Row(None,        disburse.DisbursementFailed,    "pending",   (),     _TRY),
    Row(None,        disburse.DisbursementCancelled, "pending",   (),     _TRY),
    Row(None,        disburse.DisbursementReversed,  "pending",   (),     _TRY),
    Row(None,        cashout.CodeIssued,             "pending",   (),     _TRY),
    Row(None,        cashout.CodeRedeemed,           "pending",   (),     _TRY),
    Row(None,        cashout.CodeBlocked,            "pending",   (),     _TRY),
    Row(None,        cashout.CashoutFailed,          "pending",   (),     _TRY),
    Row(None,        cashout.CashoutCancelled,       "pending",   (),     _TRY),
    Row(None,        cashout.CodeExpired,            "pending",   (),     _TRY),
    Row(None,        cashout.CashoutReversed,        "pending",   (),     _TRY),
    Row(None,        ledger.DepositCredited,         "pending",   (),     _TRY),
    Row("pending",   _RECORD,                        None,        (),     (),    "another attempt"),
    Row("pending",   _RECORD,                        "delivered", _DONE,  (),    "delivered"),
    Row("pending",   _RECORD,                        "exhausted", _OVER,  (),    "disabled"),
    Row("pending",   _RECORD,                        "exhausted", _GONE,  (),    "gone"),
    Row("pending",   _RECORD,                        "exhausted", _OVER,  (),    "schedule over"),
    Row("pending",   _RECORD,                        "pending",   (),     _TRY),
    Row("delivered", _RECORD,                        None),
    Row("exhausted", _RECORD,                        None),
    Row("delivered", _AGAIN,                         "pending",   (),     _TRY,  "enabled"),
    Row("exhausted", _AGAIN,                         "pending",   (),     _TRY,  "enabled"),
))
# fmt: on


def decide(book: Book, received: Received, now: datetime, policy: Policy) -> Sequence[Answer]:
    """What follows from one message; an event that no endpoint wants is nothing."""
    message = received.message
    match message:
        case callbacks.SetEndpoint():
            return _set_endpoint(book, message, now)
        case callbacks.RecordAttempt():
            return _record_attempt(book, received, message, now, policy)
        case callbacks.RedeliverCallback():
            return _redeliver(book, received, message, now)
        case _:
            return _tell(book, received, now)


def check(delivery: Delivery, policy: Policy) -> None:
    """What must hold before a delivery is written."""
    assert delivery.status in TABLE.statuses(), f"no such status: {delivery.status}"
    assert delivery.status == "pending" or delivery.round_attempts > 0, "it ended untried"
    assert delivery.round_attempts <= delivery.attempts, "a round holds more attempts than all"
    assert len(delivery.log) <= policy.attempts_kept, "its log grows without limit"


# --- an event becomes deliveries ------------------------------------------------------------------


def _tell(book: Book, received: Received, now: datetime) -> list[Answer]:
    news = body.news(received)
    answers: list[Answer] = []
    text = ""
    for endpoint in book.of_account(news.account):
        if not endpoint.wants(news.type):
            continue
        row = _row(None, received.message, {})
        assert row is not None, f"no row for {received.type}"
        assert row.becomes is not None, "an event always makes a delivery"
        text = text or body.render(news)
        delivery = Delivery(
            id=delivery_id(received, endpoint.id),
            endpoint=endpoint.id,
            account=news.account,
            partner=endpoint.partner,
            environment=endpoint.environment,
            event_id=news.id,
            event_type=news.type,
            about=news.about,
            body=text,
            created_at=now,
            updated_at=now,
            status=row.becomes,
        )
        book.deliveries[delivery.id] = delivery
        book.change(delivery, now)
        answers.append(_attempt(delivery, now))
    return answers


def delivery_id(received: Received, endpoint: str) -> str:
    """Derived, so that one event is one delivery per endpoint, however often it arrives."""
    return derived_id(received.id, received.occurred_at, f"callbacks/delivery/{endpoint}")


# --- a delivery lives -----------------------------------------------------------------------------


def _record_attempt(
    book: Book, received: Received, message: callbacks.RecordAttempt, now: datetime, policy: Policy
) -> list[Answer]:
    delivery = book.deliveries.get(message.delivery)
    if delivery is None:
        return [refused(received, message.delivery, "UNKNOWN_DELIVERY")]
    endpoint = book.endpoints[delivery.endpoint]
    is_current = message.endpoint_sequence == endpoint.sequence
    conditions = {
        "another attempt": message.attempt.number != delivery.attempts + 1,
        "delivered": message.outcome == "delivered",
        "gone": message.outcome == "gone" and is_current,
        "disabled": not endpoint.enabled,
        "schedule over": delivery.round_attempts >= len(policy.schedule_s),
    }
    row = _row(delivery.status, message, conditions)
    assert row is not None, f"no row for {delivery.status} and {received.type}"
    if row.becomes is None:
        return []
    _note(delivery, message.attempt, policy)
    delivery.status = row.becomes
    book.change(delivery, now)
    if "EndpointSet" in row.say:
        endpoint.enabled = False
        book.change(endpoint, now)
    answers: list[Answer] = [SAYS[name](delivery, endpoint, row.when or "") for name in row.say]
    if row.ask:
        answers.append(_attempt(delivery, _retry_at(delivery, message.attempt, now, policy)))
    return answers


def _redeliver(
    book: Book, received: Received, message: callbacks.RedeliverCallback, now: datetime
) -> list[Answer]:
    delivery = book.deliveries.get(message.delivery)
    if delivery is None:
        return [refused(received, message.delivery, "UNKNOWN_DELIVERY")]
    enabled = book.endpoints[delivery.endpoint].enabled
    row = _row(delivery.status, message, {"enabled": enabled})
    if row is None or row.becomes is None:
        reason = "STILL_PENDING" if delivery.status == "pending" else "ENDPOINT_DISABLED"
        return [refused(received, delivery.id, reason)]
    delivery.status = row.becomes
    delivery.round_attempts = 0
    book.change(delivery, now)
    return [_attempt(delivery, now)]


def _note(delivery: Delivery, attempt: callbacks.Attempt, policy: Policy) -> None:
    delivery.attempts += 1
    delivery.round_attempts += 1
    delivery.log = [*delivery.log, attempt.model_dump()][-policy.attempts_kept :]


def _attempt(delivery: Delivery, due_at: datetime) -> Due:
    """The next attempt carries all but where it goes: that is looked up when it is made, so that
    a corrected address serves what waits.
    """
    return Due(
        DELIVER,
        lane(delivery.endpoint),
        due_at,
        {
            "delivery": delivery.id,
            "endpoint": delivery.endpoint,
            "number": delivery.attempts + 1,
            "event_id": delivery.event_id,
            "body": delivery.body,
        },
    )


def lane(endpoint: str) -> str:
    return f"endpoint:{endpoint}"


def _retry_at(
    delivery: Delivery, attempt: callbacks.Attempt, now: datetime, policy: Policy
) -> datetime:
    """After the schedule's pause and up to a tenth more, so that what failed together does not
    come back together; later if the endpoint asks for it, within the limit.
    """
    digest = hashlib.sha256(f"{delivery.id}\n{attempt.number}".encode()).digest()
    spread = int.from_bytes(digest[:4], "big") / 2**32
    wait_s = policy.schedule_s[delivery.round_attempts - 1] * (1 + JITTER * spread)
    asked_s = min(attempt.retry_after_s or 0, policy.retry_after_most_s)
    return now + timedelta(milliseconds=int(max(wait_s, asked_s) * 1000))


# --- an endpoint is set ---------------------------------------------------------------------------


def _set_endpoint(book: Book, message: callbacks.SetEndpoint, now: datetime) -> list[Answer]:
    account = body.account_id(message.partner, message.environment)
    known = book.endpoints.get(message.endpoint)
    if known is None:
        known = Endpoint(
            id=message.endpoint,
            account=account,
            partner=message.partner,
            environment=message.environment,
            url="",
            events=(),
            secret="",
            enabled=False,
            created_at=now,
            updated_at=now,
        )
        book.add(known)
    # What waits for one partner must never be sent to another.
    assert known.account == account, "an endpoint never changes hands"
    known.url = str(message.url)
    known.events = message.events
    known.secret = message.secret
    known.enabled = message.enabled
    book.change(known, now)
    return [endpoint_set(known)]


def _row(status: str | None, message: Message, conditions: Mapping[str, bool]) -> Row | None:
    return TABLE.find(status, type(message), conditions.__getitem__)
