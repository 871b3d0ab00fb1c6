"""From an event to a signed POST and back, in memory, with merchants of every kind."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from contracts import catalog, public
from contracts.callbacks import v1 as callbacks
from contracts.envelope import decode, now_ms
from contracts.message import Message
from contracts.sealed import Sealer
from services._kit.failures import OutageError
from services._kit.memory import MemoryErrands, MemoryLog, MemoryStore
from services._kit.ports import Record
from services._kit.shell import Shell
from services._kit.worker import Worker
from services.callbacks import domain, store
from services.callbacks.addresses import Resolver
from services.callbacks.handlers import CallbackHandlers
from services.callbacks.posting import Poster
from services.callbacks.sender import Endpoints, Lanes, Sender
from services.callbacks.state import Policy
from tests.support.callbacks import SEAL_KEY, SECRET, life_event, record, said, set_endpoint

TOPICS = ("callbacks.commands",)

Merchant = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


async def _streamed(body: bytes) -> AsyncIterator[bytes]:
    yield body


def answer(status: int, headers: dict[str, str] | None = None) -> httpx.Response:
    """As it comes off a wire: unread, and longer than anyone wants to know."""
    return httpx.Response(status, headers=headers, content=_streamed(b"x" * 100_000))


class Platform:
    """The service in memory. ``hear`` hands it messages, ``work`` does what is due."""

    def __init__(self, merchant: Merchant, *, timeout_s: float = 10, limit: int = 8) -> None:
        self.log = MemoryLog()
        self.ahead = timedelta()
        self.errands = MemoryErrands(clock=lambda: now_ms() + self.ahead)
        self.store = MemoryStore(self.errands)
        policy = Policy((5, 300), 600, 50)
        self.shell = Shell(CallbackHandlers(policy), self.store, self.log, patience_s=5)
        self.lanes = Lanes(limit, 60)
        self.poster = Poster(
            Resolver(allow_private=False, lookup=lambda _host, _port: ["93.184.216.34"]),
            timeout_s=timeout_s,
            connect_timeout_s=timeout_s,
            connections_max=limit,
            transport=lambda: httpx.MockTransport(merchant),
        )
        endpoints = Endpoints(partial(store.endpoint, self.store))
        sender = Sender(endpoints, Sealer(SEAL_KEY), self.poster, self.lanes)
        self.worker = Worker(
            "callbacks",
            self.errands,
            self.log,
            performers={domain.DELIVER: sender.deliver},
            lane=self.lanes,
            poll_s=0.01,
        )

    async def hear(self, message: Message, sequence: int | None = None) -> None:
        await self.shell.handle([record(message, sequence)])

    async def catch_up(self) -> None:
        """Handle what the worker has said."""
        while records := self.log.read("callbacks", TOPICS, 500):
            await self.shell.handle(records)
            self.log.commit("callbacks", records)

    async def work(self) -> None:
        await self.worker.once()
        await self.catch_up()

    def events(self, kind: type[Message]) -> list[Any]:
        return [one for one in said(self.log.all("callbacks.events")) if isinstance(one, kind)]

    def deliveries(self) -> list[dict[str, Any]]:
        return list(self.store.collections["deliveries"].values())


@pytest.fixture
async def platforms() -> AsyncIterator[Callable[..., Platform]]:
    made: list[Platform] = []

    def make(merchant: Merchant, **options: Any) -> Platform:
        made.append(Platform(merchant, **options))
        return made[-1]

    yield make
    for one in made:
        await one.poster.aclose()


class Inbox:
    """A merchant that keeps what comes and answers ``status``."""

    def __init__(self, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers
        self.got: list[tuple[httpx.Headers, bytes]] = []
        self.urls: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.got.append((request.headers, await request.aread()))
        self.urls.append(request.headers["Host"])
        return answer(self.status, self.headers)

    def verified(self) -> list[dict[str, Any]]:
        return [Webhook(SECRET).verify(body, dict(headers)) for headers, body in self.got]


async def test_an_event_arrives_at_the_merchant_once_and_signed(platforms: Any) -> None:
    inbox = Inbox()
    platform = platforms(inbox)
    await platform.hear(set_endpoint())
    event = life_event("succeeded")

    await platform.hear(event, 3)
    await platform.work()
    await platform.work()

    (callback,) = inbox.verified()
    assert callback["data"] == json.loads(json.dumps(public.public_disbursement(event, 3)))  # type: ignore[arg-type]
    assert inbox.got[0][0]["webhook-id"] == callback["id"]
    assert inbox.got[0][0]["content-type"] == "application/json"
    assert inbox.got[0][0]["user-agent"].startswith("Salur")
    assert len(platform.events(callbacks.CallbackDelivered)) == 1


async def test_a_callback_says_what_happened_even_if_more_has_happened_since(
    platforms: Any,
) -> None:
    inbox = Inbox(500)
    platform = platforms(inbox)
    await platform.hear(set_endpoint())
    await platform.hear(life_event("succeeded"), 3)
    await platform.work()
    await platform.hear(life_event("reversed"), 4)
    inbox.status = 200

    platform.ahead = timedelta(seconds=10)
    await platform.work()

    told = {one["sequence"]: one["data"]["status"] for one in inbox.verified()}
    assert told == {3: "succeeded", 4: "reversed"}
    assert {one["status"] for one in platform.deliveries()} == {"delivered"}


async def test_each_attempt_has_the_same_id_and_body_and_its_own_timestamp(platforms: Any) -> None:
    inbox = Inbox(503)
    platform = platforms(inbox)
    await platform.hear(set_endpoint())
    await platform.hear(life_event())

    for _ in range(3):
        await platform.work()
        platform.ahead += timedelta(minutes=6)

    assert len({(headers["webhook-id"], body) for headers, body in inbox.got}) == 1
    assert len(inbox.verified()) == 3
    (exhausted,) = platform.events(callbacks.CallbackExhausted)
    assert exhausted.reason == "SCHEDULE_OVER"
    assert platform.errands.rows == {}


@pytest.mark.parametrize("status", [301, 302, 304, 307, 400, 401, 404, 429, 500, 503])
async def test_only_2xx_is_a_success_and_no_redirect_is_followed(
    platforms: Any, status: int
) -> None:
    inbox = Inbox(status, {"Location": "http://169.254.169.254/"})
    platform = platforms(inbox)
    await platform.hear(set_endpoint())
    await platform.hear(life_event())

    await platform.work()

    (delivery,) = platform.deliveries()
    assert delivery["status"] == "pending"
    assert delivery["log"][0]["status"] == status
    assert delivery["log"][0]["error"] == f"answered {status}"
    assert inbox.urls == ["merchant.example"]


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("120", 120, 120), ("soon", None, None), ("-5", None, None), ("9" * 400, None, None)],
)
async def test_a_pause_that_the_endpoint_asks_for_is_noted(
    platforms: Any, text: str, least: int | None, most: int | None
) -> None:
    platform = platforms(Inbox(429, {"Retry-After": text}))
    await platform.hear(set_endpoint())
    await platform.hear(life_event())

    await platform.work()

    noted = platform.deliveries()[0]["log"][0]["retry_after_s"]
    assert (noted is None) if least is None or most is None else (least <= noted <= most)


async def test_a_date_to_come_back_at_is_understood(platforms: Any) -> None:
    when = (now_ms() + timedelta(seconds=200)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    platform = platforms(Inbox(503, {"Retry-After": when}))
    await platform.hear(set_endpoint())
    await platform.hear(life_event())

    await platform.work()

    assert 150 <= platform.deliveries()[0]["log"][0]["retry_after_s"] <= 200


async def test_a_connection_that_breaks_is_a_failed_attempt_and_tried_again(platforms: Any) -> None:
    async def broken(_request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("half an answer")

    platform = platforms(broken)
    await platform.hear(set_endpoint())
    await platform.hear(life_event())

    await platform.work()

    (delivery,) = platform.deliveries()
    assert (delivery["status"], delivery["log"][0]["status"]) == ("pending", None)
    assert delivery["log"][0]["error"] == "connection broken: RemoteProtocolError"


async def test_after_410_the_endpoint_is_off_and_what_waits_is_not_sent(platforms: Any) -> None:
    inbox = Inbox(410)
    platform = platforms(inbox, limit=1)
    await platform.hear(set_endpoint())
    await platform.hear(life_event("scheduled"), 2)
    await platform.work()

    await platform.hear(life_event("succeeded"), 3)

    assert len(inbox.got) == 1
    assert len(platform.deliveries()) == 1
    (off,) = [one for one in platform.events(callbacks.EndpointSet) if not one.enabled]
    assert off.endpoint == "endp_1"


async def test_nothing_is_sent_to_an_endpoint_that_was_switched_off_meanwhile(
    platforms: Any,
) -> None:
    inbox = Inbox()
    platform = platforms(inbox)
    await platform.hear(set_endpoint())
    await platform.hear(life_event())
    await platform.hear(set_endpoint(enabled=False))

    await platform.work()

    assert inbox.got == []
    (exhausted,) = platform.events(callbacks.CallbackExhausted)
    assert exhausted.reason == "ENDPOINT_DISABLED"


async def test_no_more_of_an_answer_is_read_than_4_kib(platforms: Any) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1024
            yield b"x" * 1024

    async def merchant(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=endless())

    platform = platforms(merchant)
    await platform.hear(set_endpoint())
    await platform.hear(life_event())

    await platform.work()

    assert read == 4096
    assert platform.deliveries()[0]["status"] == "delivered"


async def test_a_corrected_address_serves_what_waits(platforms: Any) -> None:
    inbox = Inbox(500)
    platform = platforms(inbox)
    await platform.hear(set_endpoint())
    await platform.hear(life_event())
    await platform.work()
    inbox.status = 200
    await platform.hear(set_endpoint(url="http://corrected.example/hooks"))

    platform.ahead = timedelta(seconds=10)
    await asyncio.sleep(2.1)
    await platform.work()

    assert inbox.urls == ["merchant.example", "corrected.example"]
    assert platform.deliveries()[0]["status"] == "delivered"


async def test_a_worker_that_died_after_its_post_posts_again_and_one_attempt_is_counted(
    platforms: Any,
) -> None:
    inbox = Inbox()
    platform = platforms(inbox)
    await platform.hear(set_endpoint())
    await platform.hear(life_event())
    publish, lost = platform.log.publish, []

    async def lose(records: list[Record]) -> None:
        lost.extend(records)
        raise OutageError("died")

    platform.log.publish = lose
    await platform.worker.once()
    platform.log.publish = publish
    platform.ahead = timedelta(seconds=61)
    await platform.work()
    await platform.shell.handle(lost)

    assert len(inbox.verified()) == 2
    assert len({headers["webhook-id"] for headers, _ in inbox.got}) == 1
    assert [one["attempts"] for one in platform.deliveries()] == [1]
    told = {decode(one.value).id for one in platform.log.all("callbacks.events")}
    assert len(told) == len(["EndpointSet", "CallbackDelivered"])


async def test_the_secret_is_sealed_wherever_it_rests(platforms: Any) -> None:
    platform = platforms(Inbox())
    await platform.hear(set_endpoint())
    await platform.hear(life_event())
    await platform.work()

    resting = repr((platform.store.collections, platform.store.inbox, platform.log.topics))

    assert SECRET not in resting
    assert SECRET.removeprefix("whsec_") not in resting


async def test_a_hanging_endpoint_does_not_delay_a_healthy_one(platforms: Any) -> None:
    released, told, arrived = asyncio.Event(), asyncio.Event(), []

    async def merchants(request: httpx.Request) -> httpx.Response:
        if request.headers["Host"] == "hangs.example":
            await released.wait()
        arrived.append(request.headers["Host"])
        if len(arrived) == 30:
            told.set()
        return answer(200)

    platform = platforms(merchants, timeout_s=30)
    await platform.hear(set_endpoint("endp_a", url="http://hangs.example/", events=["deposit.*"]))
    await platform.hear(set_endpoint("endp_a", url="http://hangs.example/"))
    await platform.hear(set_endpoint("endp_b", url="http://healthy.example/"))
    for number in range(30):
        await platform.hear(life_event(life=f"disb_{number}"))

    running = asyncio.create_task(platform.worker.run())
    await asyncio.wait_for(told.wait(), 20)
    released.set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert set(arrived[:30]) == {"healthy.example"}


async def test_no_more_attempts_run_at_one_endpoint_than_its_limit(platforms: Any) -> None:
    now, most, total = 0, 0, 0

    async def merchant(_request: httpx.Request) -> httpx.Response:
        nonlocal now, most, total
        now, total = now + 1, total + 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return answer(200)

    platform = platforms(merchant, limit=3)
    await platform.hear(set_endpoint())
    for number in range(12):
        await platform.hear(life_event(life=f"disb_{number}"))

    while platform.errands.rows:
        await platform.work()

    assert (most, total) == (3, 12)


def test_a_silent_endpoint_is_tried_by_one_attempt_at_a_time_until_it_answers() -> None:
    lanes = Lanes(8, 60)

    limits = []
    for _ in range(4):
        limits.append(lanes("endpoint:a").limit)
        lanes.note("endpoint:a", answered=False)
    silent = lanes("endpoint:a").limit
    lanes.note("endpoint:a", answered=True)

    assert limits == [8, 8, 8, 1]
    assert silent == 1
    assert lanes("endpoint:a").limit == lanes("endpoint:b").limit == 8


def test_the_service_hears_every_command_and_event_that_is_meant_for_it() -> None:
    heard = {one.type for one in CallbackHandlers(Policy((), 0, 1)).hears()}

    meant = catalog.heard_by("callbacks")
    told = meant["disburse.events"] | meant["cashout.events"] | meant["ledger.events"]
    assert heard == meant["callbacks.commands"] | told
