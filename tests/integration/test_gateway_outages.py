"""A request is never lost between its row and Kafka, and never accepted without Kafka."""

import asyncio
import os
import signal
import time
from datetime import timedelta
from typing import Any

import pytest

from contracts.disburse.v1 import Disbursement, RequestDisbursement
from contracts.envelope import Envelope, now_ms
from contracts.ids import new_public_id
from deploy.local.servers import KafkaServer, MongoServer
from services.gateway.http.edge import Operation
from services.gateway.http.models import DisbursementRequest
from services.gateway.http.orders import Orders
from services.gateway.tariff import Tariff
from tests.integration.gateway_till import redeem, reverse, status
from tests.integration.gateway_world import Partner, World, get, payment, running
from tests.support.space import Space, eventually


async def remembered(world: World, partner: Partner, age_s: float) -> Disbursement:
    """A request whose process died between its row and Kafka."""
    caller = await world.gateway.partners.caller(partner.key)
    assert caller is not None
    orders = Orders(Tariff(), world.sealer, (), 365)
    asked = DisbursementRequest.model_validate(payment())
    order = orders.order(caller, asked, now_ms())
    assert not isinstance(order, list)
    at = now_ms() - timedelta(seconds=age_s)
    life = Disbursement(
        disbursement=new_public_id("disb"),
        order=order,
        status="holding",
        created_at=at,
        updated_at=at,
    )
    assert await world.gateway.requests.remember(life, "key-1", "fingerprint")
    return life


async def test_a_request_remembered_but_not_published_is_published_again(space: Space) -> None:
    async with running(space, republish_after_s=0.4) as world:
        partner = await world.partner()
        life = await remembered(world, partner, 60)

        async def said() -> None:
            found = await world.said("disburse.commands", RequestDisbursement)
            assert [one.key for one in found][:1] == [life.disbursement]

        await eventually(said)
        await eventually(lambda: _said_times(world, 2))
        await world.become(life.disbursement, 1, "holding")
        await asyncio.sleep(0.5)
        before = len(await world.said("disburse.commands"))
        await asyncio.sleep(2)
        found = await world.said("disburse.commands", RequestDisbursement)

        assert len(found) <= before + 1
        assert len({one.id for one in found}) == 1
        assert found[0] == found[-1]


async def _said_times(world: World, times: int) -> None:
    assert len(await world.said("disburse.commands")) >= times


async def test_a_young_request_is_left_to_its_own_process(space: Space) -> None:
    async with running(space) as world:
        partner = await world.partner()
        await remembered(world, partner, 0)

        swept = await world.gateway.requests.sweep(now_ms())

        assert swept == 0
        assert await world.said("disburse.commands") == []


async def test_without_kafka_nothing_is_accepted_and_it_recovers_by_itself(
    space: Space, kafka_server: KafkaServer
) -> None:
    async with running(space, publish_timeout_s=1) as world:
        partner = await world.partner()
        accepted = await partner.pay("before", reference="before")
        await world.become(accepted.json()["id"], 2, "succeeded", rail="bca")

        async def seen() -> None:
            assert (await partner.pay("before", reference="before")).status_code == 200

        await eventually(seen)
        kafka_server.kill()
        doubted = await partner.pay("doubt", reference="doubt")
        refused = await partner.pay("refused", reference="refused")
        ready = await get(world.gateway.public, "/readyz")
        alive = await get(world.gateway.public, "/livez")
        read = await partner.send("GET", f"/v1/disbursements/{accepted.json()['id']}")
        repeat = await partner.pay("before", reference="before")
        unknown = await partner.send("GET", "/v1/disbursements?reference=refused")

        for answer in (doubted, refused):
            assert answer.status_code == 503
            assert answer.json()["code"] == "UNAVAILABLE"
            assert answer.headers["Retry-After"]
        assert (ready.status_code, alive.status_code, read.status_code) == (503, 200, 200)
        # What was decided long ago can still be told; what was refused left nothing behind.
        assert repeat.status_code == 200
        assert unknown.json()["data"] == []

        kafka_server.start()
        kafka_server.wait_ready()

        async def recovered() -> None:
            assert (await get(world.gateway.public, "/readyz")).status_code == 200
            assert (await partner.pay("doubt", reference="doubt")).status_code == 202

        await eventually(recovered, within_s=60)
        life = (await partner.pay("doubt", reference="doubt")).json()["id"]
        assert len({one.id for one in await _of(world, life)}) == 1
        later = await partner.pay("later", reference="later")
        await world.become(later.json()["id"], 2, "succeeded", rail="bca")

        async def heard() -> None:
            assert (await partner.pay("later", reference="later")).status_code == 200

        await eventually(heard, within_s=60)


async def _of(world: World, life: str) -> list[Envelope[Any]]:
    return [
        one for one in await world.said("disburse.commands", RequestDisbursement) if one.key == life
    ]


async def test_a_database_that_hangs_keeps_nobody_waiting(
    space: Space, mongo_server: MongoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed server is noticed at once; one that is stopped takes requests and never answers."""
    monkeypatch.setattr(Operation, "answer_s", 2.0)
    async with running(space, key_cache_s=60) as world:
        partner, chain = await world.partner(), await world.chain()
        assert (await partner.send("GET", "/v1/disbursements")).status_code == 200
        assert (await status(chain))["result"] == "undecided"
        os.kill(mongo_server.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            paid, read, asked, reversed_ = await asyncio.gather(
                partner.pay("hangs", reference="hangs"),
                partner.send("GET", "/v1/disbursements"),
                redeem(chain),
                reverse(chain),
            )
            took_s = time.monotonic() - started
        finally:
            os.kill(mongo_server.pid, signal.SIGCONT)

        assert took_s < 4
        said = [(one.status_code, one.json()["code"]) for one in (paid, read, asked, reversed_)]
        assert said == [
            (503, "UNAVAILABLE"),
            (503, "UNAVAILABLE"),
            (504, "REDEMPTION_UNDECIDED"),
            (504, "REVERSAL_UNANSWERED"),
        ]

        async def recovered() -> None:
            assert (await partner.pay("hangs", reference="hangs")).status_code == 202

        await eventually(recovered, within_s=60)


async def test_too_much_in_flight_is_503_and_too_fast_is_429(space: Space) -> None:
    async with running(space, in_flight_max=1, rate_limit_per_s=5) as world:
        partner = await world.partner()
        hasty = await world.partner("hasty")

        waiting = asyncio.create_task(partner.pay(wait=2))
        await asyncio.sleep(0.5)
        crowded = await partner.pay("key-2", reference="second")
        await waiting
        answers = [await hasty.send("GET", "/v1/channels") for _ in range(12)]

        assert crowded.status_code == 503
        assert crowded.json()["code"] == "OVERLOADED"
        limited = [one for one in answers if one.status_code == 429]
        assert limited
        assert limited[0].json()["code"] == "RATE_LIMITED"
        assert int(limited[0].headers["Retry-After"]) >= 1


async def test_an_answer_does_not_wait_for_the_clock(space: Space) -> None:
    """A wait ends with its event; it does not poll."""
    async with running(space) as world:
        partner = await world.partner()
        started = time.monotonic()
        waiting = asyncio.create_task(partner.pay(wait=20))

        async def paid() -> None:
            found = await world.said("disburse.commands", RequestDisbursement)
            assert found
            await world.become(found[0].key, 2, "succeeded", rail="bca")

        await eventually(paid)
        answer = await waiting

        assert answer.status_code == 200
        assert time.monotonic() - started < 15
