"""A trace goes on from message to message, through errands, with the exporter off."""

from dataclasses import replace
from typing import Any

from contracts import catalog
from contracts.cashout import v1 as cashout
from contracts.envelope import TYPE_HEADER
from contracts.ids import public_id, uuid7
from services._kit.ports import Record
from tests.support.cashout import PHONE, Shop, hash_of, record

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_ID = TRACE.split("-")[1]


def traces(shop: Shop, model: Any) -> list[str | None]:
    topic = catalog.row(model.type).topic
    said: list[Record] = [
        one for one in shop.log.all(topic) if one.header(TYPE_HEADER) == model.type
    ]
    return [one.header("traceparent") for one in said]


async def test_what_a_message_causes_carries_its_trace_through_services_and_errands() -> None:
    shop = Shop()
    await shop.open()
    life = public_id("cash", uuid7(int(shop.now.timestamp() * 1000)))
    asked = record(
        cashout.RequestCashout(cashout=life, phone_hash=hash_of(PHONE), order=shop.order()),
        shop.now,
        life,
    )
    await shop.log.publish([replace(asked, headers=(*asked.headers, ("traceparent", TRACE)))])

    await shop.pump()
    shop.later(hours=25)
    await shop.ring()
    await shop.pump()

    assert traces(shop, cashout.CodeIssued) == [TRACE]
    [alarm] = traces(shop, cashout.ExpireCode)
    assert alarm is not None
    assert TRACE_ID in alarm
    [expired] = traces(shop, cashout.CodeExpired)
    assert expired is not None
    assert TRACE_ID in expired
