"""The life of a delivery: told once per endpoint, tried by the schedule, and always ended."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from contracts import public
from contracts.callbacks import v1 as callbacks
from contracts.catalog import heard_by
from contracts.message import Message
from services._kit.life import Answer, Due, Say
from services.callbacks import domain
from services.callbacks.domain import TABLE
from services.callbacks.settings import Settings
from services.callbacks.state import Book, Delivery, Policy
from tests.support.callbacks import (
    CASHOUT_ENDS,
    CODED,
    ENDS,
    NOW,
    cashout_event,
    deposit,
    life_event,
    received,
    set_endpoint,
)

SCHEDULE_S = (5.0, 300.0, 1800.0)
POLICY = Policy(SCHEDULE_S, retry_after_most_s=600, attempts_kept=50)


class Desk:
    """A book, and batches of one message."""

    def __init__(self, *endpoints: callbacks.SetEndpoint, policy: Policy = POLICY) -> None:
        self.book = Book()
        self.policy = policy
        self.now = NOW
        for one in endpoints:
            self.take(one)

    def take(self, message: Message, sequence: int | None = None) -> Sequence[Answer]:
        self.book.changed.clear()
        got = received(message, sequence)
        answers = domain.decide(self.book, got, self.now, self.policy)
        for one in self.book.deliveries.values():
            domain.check(one, self.policy)
        return answers

    def one(self) -> Delivery:
        (found,) = self.book.deliveries.values()
        return found

    def tried(self, outcome: str = "failed", **changes: Any) -> Sequence[Answer]:
        delivery = self.one()
        attempt = {"number": delivery.attempts + 1, "at": self.now, "latency_ms": 7, "status": 500}
        record = {
            "delivery": delivery.id,
            "attempt": attempt | changes,
            "outcome": outcome,
            "endpoint_sequence": self.book.endpoints[delivery.endpoint].sequence,
        }
        return self.take(callbacks.RecordAttempt.model_validate(record))

    def used_up(self) -> Sequence[Answer]:
        answers: Sequence[Answer] = ()
        for _ in range(len(self.policy.schedule_s) + 1):
            answers = self.tried("failed")
        return answers


def due(answers: Sequence[Answer]) -> list[Due]:
    return [one for one in answers if isinstance(one, Due)]


def said(answers: Sequence[Answer]) -> list[Any]:
    return [one.message for one in answers if isinstance(one, Say)]


@pytest.mark.parametrize("status", ENDS)
def test_each_end_of_a_disbursement_is_told_as_its_public_picture(status: str) -> None:
    desk = Desk(set_endpoint())
    event = life_event(status)

    (errand,) = due(desk.take(event, 4))

    told = json.loads(errand.data["body"])
    picture = public.public_disbursement(event, 4)  # type: ignore[arg-type]
    assert told["data"] == json.loads(json.dumps(picture))
    assert told["type"] == f"disbursement.{status}"
    assert told["sequence"] == 4
    assert told["occurred_at"] == "2026-03-02T10:04:05.678+07:00"
    assert errand.lane == "endpoint:endp_1"
    assert errand.due_at == NOW


@pytest.mark.parametrize("status", CASHOUT_ENDS)
def test_each_end_of_a_cashout_is_told_as_its_public_picture_without_the_code(status: str) -> None:
    desk = Desk(set_endpoint(events=["cashout.*"]))
    shown, _ = CASHOUT_ENDS[status]
    event = cashout_event(status)

    (errand,) = due(desk.take(event, 4))

    told = json.loads(errand.data["body"])
    picture = public.public_cashout(event, 4)  # type: ignore[arg-type]
    assert told["data"] == json.loads(json.dumps(picture))
    assert (told["type"], told["data"]["status"]) == (f"cashout.{shown}", shown)
    assert told["data"]["id"] == desk.one().about == "cash_1"
    assert "code" not in told["data"]
    assert CODED not in errand.data["body"]


def test_what_stores_are_answered_is_nobodys_callback() -> None:
    heard = heard_by("callbacks")["cashout.events"]

    assert heard == {model.type for _, model in CASHOUT_ENDS.values()}


def test_a_credited_deposit_is_told_to_the_account_it_belongs_to() -> None:
    desk = Desk(set_endpoint(), set_endpoint("endp_2", environment="production"))

    (errand,) = due(desk.take(deposit("toko.sandbox"), 12))

    told = json.loads(errand.data["body"])
    assert errand.data["endpoint"] == "endp_1"
    assert (told["type"], told["sequence"]) == ("deposit.credited", 12)
    assert told["data"]["amount"] == 50_000
    assert told["data"]["environment"] == "sandbox"


def test_every_statuss_callback_type_has_an_event_that_is_told() -> None:
    told = {status for status, (_, kind) in public.DISBURSEMENT_STATUSES.items() if kind}

    assert told == set(ENDS)
    coded = {status for status, (_, kind) in public.CASHOUT_STATUSES.items() if kind}
    assert coded == set(CASHOUT_ENDS)
    assert {kind for _, kind in CASHOUT_ENDS.values()} < {row.arrives for row in TABLE.rows}
    assert set(ENDS.values()) < {row.arrives for row in TABLE.rows if not row.while_}


def test_one_event_has_one_id_at_every_endpoint_and_a_delivery_for_each() -> None:
    desk = Desk(set_endpoint("endp_1"), set_endpoint("endp_2"))

    first, second = due(desk.take(life_event()))

    assert first.data["event_id"] == second.data["event_id"]
    assert first.data["event_id"].startswith("evt_")
    assert first.data["body"] == second.data["body"]
    assert first.data["delivery"] != second.data["delivery"]
    assert {first.lane, second.lane} == {"endpoint:endp_1", "endpoint:endp_2"}


def test_the_same_event_again_would_make_the_same_delivery() -> None:
    got = received(life_event(), 3)
    books = [Desk(set_endpoint()).book for _ in range(2)]

    answers = [domain.decide(book, got, NOW, POLICY) for book in books]

    assert answers[0] == answers[1]


def test_an_event_that_comes_after_a_newer_one_is_told_all_the_same() -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event("reversed"), 5)

    (late,) = due(desk.take(life_event("succeeded"), 4))

    assert json.loads(late.data["body"])["sequence"] == 4
    assert json.loads(late.data["body"])["data"]["status"] == "succeeded"


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        (["*"], True),
        (["disbursement.*"], True),
        (["disbursement.succeeded"], True),
        (["disbursement.failed", "disbursement.succeeded"], True),
        (["disbursement.failed"], False),
        (["deposit.*"], False),
        (["disbursement"], False),
        (["cashout.*", "deposit.credited"], False),
    ],
)
def test_an_endpoint_hears_only_what_it_asked_for(events: list[str], *, wanted: bool) -> None:
    desk = Desk(set_endpoint(events=events))

    answers = desk.take(life_event("succeeded"))

    assert bool(answers) is wanted


@pytest.mark.parametrize(
    "other",
    [{"partner": "kedai"}, {"environment": "production"}, {"enabled": False}],
)
def test_nobody_elses_and_no_switched_off_endpoint_is_told(other: dict[str, Any]) -> None:
    desk = Desk(set_endpoint(**other))

    assert desk.take(life_event()) == []


def test_a_2xx_ends_the_delivery() -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())

    (event,) = said(desk.tried("delivered", status=204))

    assert isinstance(event, callbacks.CallbackDelivered)
    assert (event.attempts, event.about) == (1, "disb_1")
    assert desk.one().status == "delivered"
    assert desk.one().log[0]["status"] == 204


def test_failures_are_tried_again_by_the_schedule_with_a_little_jitter_and_then_given_up() -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())
    bodies = set()

    for pause_s in SCHEDULE_S:
        (errand,) = due(desk.tried())
        wait_s = (errand.due_at - desk.now).total_seconds()
        assert pause_s <= wait_s <= pause_s * 1.1
        bodies.add(errand.data["body"])
        desk.now = errand.due_at
    last = desk.tried()

    (event,) = said(last)
    assert isinstance(event, callbacks.CallbackExhausted)
    assert (event.reason, event.attempts) == ("SCHEDULE_OVER", 4)
    assert due(last) == []
    assert bodies == {desk.one().body}


def test_the_jitter_is_the_same_whenever_it_is_decided_and_differs_by_delivery() -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())
    delivery = desk.one()
    attempt = callbacks.Attempt(number=1, at=NOW, latency_ms=1)
    delivery.round_attempts = 1

    waits = {domain._retry_at(delivery, attempt, NOW, POLICY) for _ in range(3)}
    delivery.id = "another"
    waits |= {domain._retry_at(delivery, attempt, NOW, POLICY)}

    assert len(waits) == 2


@pytest.mark.parametrize(("asked_s", "least_s", "most_s"), [(120, 120, 120), (99_999, 600, 600)])
def test_an_endpoint_may_ask_for_a_longer_pause_up_to_a_limit(
    asked_s: int, least_s: float, most_s: float
) -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())

    (errand,) = due(desk.tried(retry_after_s=asked_s))

    assert least_s <= (errand.due_at - NOW).total_seconds() <= most_s


def test_an_endpoint_cannot_ask_to_be_called_sooner() -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())

    (errand,) = due(desk.tried(retry_after_s=0))

    assert errand.due_at >= NOW + timedelta(seconds=5)


def test_410_gone_switches_the_endpoint_off_and_ends_the_delivery() -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())

    exhausted, endpoint = said(desk.tried("gone", status=410))

    assert exhausted.reason == "GONE"
    assert isinstance(endpoint, callbacks.EndpointSet)
    assert endpoint.enabled is False
    assert desk.take(life_event()) == []


def test_an_old_address_that_is_gone_does_not_switch_off_the_new_one() -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())
    tried = callbacks.RecordAttempt(
        delivery=desk.one().id,
        attempt=callbacks.Attempt(number=1, at=NOW, latency_ms=1, status=410),
        outcome="gone",
        endpoint_sequence=1,
    )
    desk.take(set_endpoint(url="https://new.example/hooks"))

    answers = desk.take(tried)

    assert len(due(answers)) == 1
    assert desk.book.endpoints["endp_1"].enabled is True


def test_what_waits_for_an_endpoint_that_was_switched_off_ends_at_its_next_attempt() -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())
    desk.take(set_endpoint(enabled=False))

    (event,) = said(desk.tried("failed", status=None))

    assert event.reason == "ENDPOINT_DISABLED"


@pytest.mark.parametrize("status", ["delivered", "exhausted"])
def test_a_finished_delivery_can_be_sent_again_with_the_same_body_and_event_id(status: str) -> None:
    desk = Desk(set_endpoint())
    (first,) = due(desk.take(life_event()))
    desk.tried("delivered") if status == "delivered" else desk.used_up()
    attempts = desk.one().attempts

    (again,) = due(desk.take(callbacks.RedeliverCallback(delivery=desk.one().id)))

    assert desk.one().status == "pending"
    assert again.data["number"] == attempts + 1
    for name in ("body", "event_id", "delivery"):
        assert again.data[name] == first.data[name]


def test_a_redelivery_has_the_whole_schedule_again() -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())
    desk.used_up()
    desk.take(callbacks.RedeliverCallback(delivery=desk.one().id))

    (event,) = said(desk.used_up())

    assert isinstance(event, callbacks.CallbackExhausted)
    assert event.attempts == 2 * (len(SCHEDULE_S) + 1)


@pytest.mark.parametrize(
    ("reason", "delivery"),
    [("STILL_PENDING", None), ("ENDPOINT_DISABLED", None), ("UNKNOWN_DELIVERY", "nobody's")],
)
def test_a_redelivery_that_cannot_be_is_refused(reason: str, delivery: str | None) -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())
    if reason == "ENDPOINT_DISABLED":
        desk.tried("gone")

    (refused,) = said(desk.take(callbacks.RedeliverCallback(delivery=delivery or desk.one().id)))

    assert isinstance(refused, callbacks.CommandRefused)
    assert refused.reason == reason


def test_a_late_or_repeated_attempt_changes_nothing() -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())
    desk.tried("failed")

    assert desk.tried("delivered", number=1) == []
    assert (desk.one().status, desk.one().attempts) == ("pending", 1)

    desk.tried("delivered")
    assert desk.tried("failed") == []
    assert desk.tried("gone", number=1) == []
    assert (desk.one().status, desk.one().attempts) == ("delivered", 2)


def test_an_attempt_that_is_noted_after_the_end_does_not_revive_a_delivery() -> None:
    desk = Desk(set_endpoint())
    desk.take(life_event())
    desk.used_up()

    assert desk.tried("delivered") == []
    assert desk.one().status == "exhausted"


def test_the_log_keeps_the_newest_attempts_only() -> None:
    desk = Desk(set_endpoint(), policy=Policy((1.0,) * 9, 0, attempts_kept=3))
    desk.take(life_event())

    desk.used_up()

    assert [one["number"] for one in desk.one().log] == [8, 9, 10]
    assert desk.one().attempts == 10


def test_setting_an_endpoint_says_its_public_half_without_the_secret() -> None:
    desk = Desk(set_endpoint())

    (say,) = desk.take(set_endpoint(url="https://new.example/hooks", events=["deposit.*"]))

    assert isinstance(say, Say)
    assert say.sequence == 2
    assert "secret" not in say.message.model_dump()
    assert str(desk.book.endpoints["endp_1"].url) == "https://new.example/hooks"


def test_an_endpoint_never_changes_hands() -> None:
    desk = Desk(set_endpoint())

    with pytest.raises(AssertionError, match="never changes hands"):
        desk.take(set_endpoint(partner="kedai"))


def test_an_event_without_a_sequence_is_a_fault() -> None:
    got = received(life_event()).model_copy(update={"sequence": None})

    with pytest.raises(AssertionError, match="no sequence"):
        domain.decide(Desk(set_endpoint()).book, got, NOW, POLICY)


def test_every_delivery_comes_to_an_end_and_only_a_person_starts_it_again() -> None:
    ends = {"delivered", "exhausted"}

    assert TABLE.statuses() == {"pending"} | ends
    for row in TABLE.rows:
        if row.while_ in ends and row.becomes is not None:
            assert row.arrives is callbacks.RedeliverCallback
        # What waits has an attempt due, and what has ended has none.
        if row.becomes is not None:
            assert bool(row.ask) is (row.becomes == "pending")


def test_the_schedule_by_default_is_the_one_that_standard_webhooks_suggests() -> None:
    hours = [one / 3600 for one in Settings.model_fields["retry_schedule_s"].default]

    assert [round(one * 3600) for one in hours[:3]] == [5, 300, 1800]
    assert hours[3:] == [2, 5, 10, 14, 20, 24]
