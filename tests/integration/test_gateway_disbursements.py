import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from contracts.disburse.v1 import Failure, RequestDisbursement
from services._kit.ports import Record
from services.gateway.views import Views
from tests.integration.gateway_world import World, running
from tests.support.space import Space, eventually


@pytest.fixture(scope="module")
async def world(kafka_url: str, mongo_url: str) -> AsyncIterator[World]:
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


async def test_a_wallet_is_asked_for_by_its_normalised_phone(world: World) -> None:
    partner = await world.partner("wallet")
    wallet = {"type": "e_wallet", "wallet": "GoPay", "phone": "+62 812-3456-7890"}

    shown = (await partner.pay(destination=wallet)).json()

    assert shown["destination"]["phone"] == "0812****7890"
    assert shown["fee"] == 1_500
    destination = (await world.asked(shown["id"])).message.order.destination
    assert destination.wallet == "GOPAY"
    assert world.sealer.open(destination.number, "account_number") == "6281234567890"


async def test_the_view_follows_the_events_and_drops_what_is_not_newer(world: World) -> None:
    partner = await world.partner("follows")
    life = (await partner.pay()).json()["id"]

    await world.become(life, 3, "failed", failure=Failure(code="INVALID_DESTINATION"))

    async def failed() -> None:
        shown = (await partner.send("GET", f"/v1/disbursements/{life}")).json()
        assert shown["status"] == "failed"
        assert shown["sequence"] == 3
        assert shown["failure"]["retry"] == "no"

    await eventually(failed)
    # A repeat from long ago, and something behind it that tells when it has been taken.
    await world.become(life, 1, "holding")
    await world.become(life, 4, "reversed", failure=Failure(code="RETURNED_BY_BANK"))
    await world.become(life, 3, "failed", failure=Failure(code="INVALID_DESTINATION"))
    other = (await partner.pay("key-2", reference="marker")).json()["id"]
    for marker in range(1, 10):
        await world.become(other, marker, "holding")
        await asyncio.sleep(0.1)
    shown = (await partner.send("GET", f"/v1/disbursements/{life}")).json()
    assert (shown["status"], shown["sequence"]) == ("reversed", 4)


async def test_a_waiting_request_is_answered_from_the_event_itself(world: World) -> None:
    partner = await world.partner("waits")
    waiting = asyncio.create_task(partner.pay(wait=20))

    async def paid() -> None:
        page = (await partner.send("GET", "/v1/disbursements")).json()["data"]
        assert page
        await world.become(page[0]["id"], 2, "succeeded", rail="bca", bank_reference="B-1")

    await eventually(paid)
    answer = await waiting

    assert answer.status_code == 200
    assert answer.json()["status"] == "succeeded"
    assert answer.json()["bank_reference"] == "B-1"
    assert answer.headers["Preference-Applied"] == "wait=20"


async def test_a_wait_that_hears_nothing_is_answered_202(world: World) -> None:
    partner = await world.partner("patient")

    answer = await partner.pay(wait=1)

    assert answer.status_code == 202
    assert answer.json()["status"] == "processing"


async def test_a_repeat_gets_the_first_answer_as_it_is_now(world: World) -> None:
    partner = await world.partner("repeats")
    first = (await partner.pay()).json()

    again = await partner.pay()
    await world.become(first["id"], 2, "succeeded", rail="bca")

    assert again.status_code == 202
    assert again.json()["id"] == first["id"]
    assert again.headers["Idempotent-Replayed"] == "true"

    async def ended() -> None:
        answer = await partner.pay()
        assert answer.status_code == 200
        assert answer.json()["id"] == first["id"]

    await eventually(ended)


@pytest.fixture
async def trailing(space: Space, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A gateway whose views are told of each event two seconds late."""
    handle = Views.handle

    async def slowly(self: Views, records: Sequence[Record]) -> None:
        await asyncio.sleep(2)
        await handle(self, records)

    monkeypatch.setattr(Views, "handle", slowly)
    async with running(space) as world:
        yield world


async def test_whoever_was_told_an_end_is_told_nothing_older(trailing: World) -> None:
    partner = await trailing.partner()
    waiting = asyncio.create_task(partner.pay(wait=20))
    await eventually(lambda: _paid(trailing))
    told = await waiting

    read = await partner.send("GET", f"/v1/disbursements/{told.json()['id']}")
    again = await partner.pay()

    assert [told.status_code, again.status_code] == [200, 200]
    assert read.json() == told.json() == again.json()


async def test_a_repeat_whose_event_has_passed_does_not_wait_for_another(trailing: World) -> None:
    """The tail is ahead of the view: the event is gone, and the view does not know of it yet."""
    partner = await trailing.partner()
    assert (await partner.pay()).status_code == 202
    await eventually(lambda: _paid(trailing))
    await asyncio.sleep(0.5)
    started = time.monotonic()

    again = await partner.pay(wait=20)

    assert (again.status_code, again.json()["status"]) == (200, "succeeded")
    assert time.monotonic() - started < 10


async def _paid(world: World) -> None:
    found = await world.said("disburse.commands", RequestDisbursement)
    assert found
    await world.become(found[0].key, 2, "succeeded", rail="bca")


async def test_a_repeat_says_the_request_again_until_it_was_heard(world: World) -> None:
    partner = await world.partner("unheard")
    life = (await partner.pay()).json()["id"]

    async def times_said() -> int:
        said = await world.said("disburse.commands", RequestDisbursement)
        ids = [one.id for one in said if one.key == life]
        assert len(set(ids)) == 1
        return len(ids)

    await partner.pay()
    assert await times_said() == 2
    await world.become(life, 1, "holding")

    async def heard() -> None:
        shown = (await partner.send("GET", f"/v1/disbursements/{life}")).json()
        assert shown["sequence"] == 1

    await eventually(heard)
    await partner.pay()
    assert await times_said() == 2


async def test_many_repeats_at_once_make_one_disbursement(world: World) -> None:
    partner = await world.partner("crowd")

    answers = await asyncio.gather(*(partner.pay() for _ in range(12)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    replayed = [one for one in answers if "Idempotent-Replayed" in one.headers]
    assert len(replayed) == 11


async def test_another_body_under_the_key_is_refused(world: World) -> None:
    partner = await world.partner("other-body")
    await partner.pay()

    answer = await partner.pay(amount=20_000)

    assert answer.status_code == 422
    assert answer.json()["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_a_reference_is_used_once_and_its_original_is_linked(world: World) -> None:
    partner = await world.partner("reference")
    first = (await partner.pay("key-1")).json()

    answer = await partner.pay("key-2")

    assert answer.status_code == 409
    assert answer.json()["code"] == "DUPLICATE_REFERENCE"
    assert answer.json()["original"]["id"] == first["id"]
    assert first["id"] in answer.headers["Link"]


async def test_a_taken_reference_comes_before_a_wrong_field(world: World) -> None:
    partner = await world.partner("both-wrong")
    await partner.pay("key-1")

    answer = await partner.pay("key-2", amount=-5)

    assert answer.status_code == 409


async def test_a_validation_error_is_not_stored(world: World) -> None:
    partner = await world.partner("corrects")
    refused = await partner.pay(amount=1)

    corrected = await partner.pay(amount=10_000)

    assert refused.status_code == 422
    assert refused.json()["code"] == "AMOUNT_BELOW_MINIMUM"
    assert corrected.status_code == 202


async def test_a_repeat_is_answered_even_when_its_time_has_passed_meanwhile(world: World) -> None:
    partner = await world.partner("late")
    refused = await partner.pay(send_before="2099-01-01T00:00:00+07:00")
    assert refused.json()["errors"][0]["field"] == "send_before"
    until = (datetime.now(UTC) + timedelta(seconds=0.6)).isoformat()
    first = await partner.pay(send_before=until)
    await asyncio.sleep(0.7)

    again = await partner.pay(send_before=until)

    assert first.status_code == 202
    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]


async def test_anothers_disbursement_is_unknown(world: World) -> None:
    owner = await world.partner("owner")
    stranger = await world.partner("stranger")
    production = await world.partner("owner", "production")
    life = (await owner.pay()).json()["id"]

    for other in (stranger, production):
        answer = await other.send("GET", f"/v1/disbursements/{life}")
        assert answer.status_code == 404
        cancel = await other.send("POST", f"/v1/disbursements/{life}/cancel", key="c")
        assert cancel.status_code == 404
