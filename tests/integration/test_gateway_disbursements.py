from collections.abc import AsyncIterator

import pytest

from contracts.disburse.v1 import Failure, RequestDisbursement
from tests.integration.gateway_world import World, running
from tests.support.space import Space, eventually


@pytest.fixture(scope="module")
async def world(kafka_url: str, mongo_url: str) -> AsyncIterator[World]:
    from uuid import uuid4

    name = uuid4().hex[:12]
    async with running(Space(kafka_url, mongo_url, f"t{name}.", f"t{name}_")) as made:
        yield made


async def test_an_accepted_request_is_in_kafka_and_can_be_read_at_once(world: World) -> None:
    partner = await world.partner("accepted")

    answer = await partner.pay()

    assert answer.status_code == 202
    shown = answer.json()
    assert shown["status"] == "processing"
    assert shown["fee"] == 2_500
    assert shown["destination"]["account_number"] == "****6789"
    asked = await world.asked(shown["id"])
    assert isinstance(asked.message, RequestDisbursement)
    order = asked.message.order
    assert order.account == "accepted.sandbox"
    assert world.sealer.open(order.destination.number, "account_number") == "0123456789"
    read = await partner.send("GET", f"/v1/disbursements/{shown['id']}")
    assert read.json() == shown


async def test_the_view_follows_the_events_and_drops_what_is_not_newer(world: World) -> None:
    partner = await world.partner("follows")
    life = (await partner.pay()).json()["id"]

    await world.become(life, 3, "failed", failure=Failure(code="INVALID_DESTINATION"))
    await world.become(life, 1, "holding")

    async def failed() -> None:
        shown = (await partner.send("GET", f"/v1/disbursements/{life}")).json()
        assert shown["status"] == "failed"
        assert shown["sequence"] == 3
        assert shown["failure"]["retry"] == "no"

    await eventually(failed)
