"""The envelope: CloudEvents outside, and a bad message's content stays out of what we say of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from pydantic import Field

from contracts import catalog, upcast
from contracts.envelope import Envelope, UnreadableMessageError, decode, encode, now_ms
from contracts.ledger import v1 as ledger
from contracts.message import Command
from services._kit.ports import Record
from tests.kit.toy import Counters, credit
from tests.kit.world import MemoryWorld, shell_of

REQUIRED = ("id", "type", "source", "subject", "time", "correlationid", "data")
GOOD: dict[str, Any] = orjson.loads(credit(5, id_="one").value)


def raw(**changes: Any) -> bytes:
    return orjson.dumps(GOOD | changes)


def without(name: str) -> bytes:
    return orjson.dumps({k: v for k, v in GOOD.items() if k != name})


def test_an_envelope_is_a_cloudevent() -> None:
    assert GOOD["specversion"] == "1.0"
    assert GOOD["datacontenttype"] == "application/json"
    assert all(GOOD[name] for name in REQUIRED)
    assert GOOD["time"].endswith("Z")


def test_what_is_absent_is_not_written() -> None:
    assert {"causationid", "sequence"} & GOOD.keys() == set()


def test_an_envelope_says_the_same_after_writing_and_reading() -> None:
    envelope = Envelope[ledger.SettleHold](
        id="m", type=ledger.SettleHold.type, source="/salur/disburse", key="a.sandbox",
        occurred_at=now_ms(), correlation="life", cause="c", sequence=0,
        message=ledger.SettleHold(account="a.sandbox", hold="h", rail="bca"),
    )  # fmt: skip

    assert decode(encode(envelope)) == envelope


@pytest.mark.parametrize("name", REQUIRED)
def test_a_message_without_a_required_attribute_cannot_be_read(name: str) -> None:
    with pytest.raises(UnreadableMessageError):
        decode(without(name))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"type": 7}',
        b'{"type": ["a"]}',
        b'{"type": "ledger.unheard_of.v1"}',
        b"[" * 100_000,
        raw(id=""),
        raw(id="x" * 101),
        raw(time="yesterday"),
        raw(time="2026-01-01T00:00:00"),
        raw(data=None),
        raw(data=[]),
        raw(data=GOOD["data"] | {"amount": 1.5}),
        raw(data=GOOD["data"] | {"amount": "5"}),
        raw(data=GOOD["data"] | {"amount": -5}),
        raw(data=GOOD["data"] | {"amount": True}),
        raw(data=GOOD["data"] | {"amount": 10**19}),
    ],
    ids=range(20),
)
def test_bytes_that_are_no_message_are_unreadable_and_nothing_else(bad: bytes) -> None:
    with pytest.raises(UnreadableMessageError):
        decode(bad)


def test_what_is_wrong_is_said_without_the_value() -> None:
    secret = raw(data=GOOD["data"] | {"amount": "hush-4821093756", "external_reference": 77123})

    with pytest.raises(UnreadableMessageError) as error:
        decode(secret)

    assert "data.amount" in str(error.value)
    assert "hush" not in str(error.value)
    assert "77123" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_header_that_names_another_type_than_the_body_is_unreadable() -> None:
    same_shape = raw(type="ledger.release_hold.v1")

    with pytest.raises(UnreadableMessageError, match="header says"):
        decode(same_shape, ledger.CreditDeposit.type)


def test_a_newer_sender_may_say_more() -> None:
    more = raw(data=GOOD["data"] | {"channel": "VA"}, tracing="x")

    assert decode(more).message == decode(raw()).message


def test_the_clock_is_utc_at_the_resolution_of_the_database() -> None:
    assert now_ms().tzinfo is UTC
    assert now_ms().microsecond % 1000 == 0


class OldCredit(Command):
    """As it was once said: in thousands."""

    type = "ledger.credit_deposit.v0"

    account: str
    thousands: int = Field(ge=1)


@pytest.fixture
def old_version(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A release that still hears ``v0``."""
    old = catalog.Row(OldCredit, "ledger.commands", "account", ("gateway",), ("ledger",))
    monkeypatch.setattr(catalog, "CATALOG", (*catalog.CATALOG, old))
    monkeypatch.setitem(
        upcast.upcasts,
        OldCredit.type,
        lambda message: ledger.CreditDeposit(
            account=message.account, amount=message.thousands * 1000, external_reference="v0"
        ),
    )
    _forget()
    yield
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    upcast.models.cache_clear()
    catalog.row.cache_clear()


def old_message() -> bytes:
    return raw(type=OldCredit.type, data={"account": "ani.sandbox", "thousands": 3})


def test_an_old_version_is_lifted_to_the_newest_when_it_is_read(old_version: None) -> None:
    envelope = decode(old_message())

    assert envelope.type == ledger.CreditDeposit.type
    assert envelope.message.amount == 3000


async def test_a_domain_that_knows_the_newest_version_alone_decides_an_old_one(
    old_version: None,
) -> None:
    class Newest(Counters):
        def hears(self) -> list[Any]:
            return [row.model for row in catalog.CATALOG if row.heard_by == ("ledger",)][:8]

    world = MemoryWorld()
    record = Record("ledger.commands", "ani.sandbox", old_message(), (("ce_type", OldCredit.type),))
    headless = Record("ledger.commands", "ani.sandbox", raw(id="two"))

    await shell_of(world, Newest()).handle([record, headless])

    (counter,) = await world.documents("counters")
    assert counter["available"] == 3005


def test_an_envelopes_time_must_have_a_zone() -> None:
    assert decode(raw(time="2026-01-01T07:00:00+07:00")).occurred_at == datetime(
        2026, 1, 1, tzinfo=UTC
    )
