"""Callbacks over real Kafka and MongoDB to merchants on loopback, one of them silent."""

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from contracts import public
from contracts.callbacks import v1 as callbacks
from contracts.envelope import TYPE_HEADER, decode
from contracts.message import Message
from services._kit import topics
from services._kit.kafka import KafkaPublisher
from services._kit.life import Received
from services._kit.mongo import database, open_client
from services._kit.records import record_of
from services.callbacks.settings import Settings
from tests.support.callbacks import (
    SEAL_KEY,
    SECRET,
    deposit,
    life_event,
    received,
    set_endpoint,
)
from tests.support.space import Space, eventually, free_port

ROOT = Path(__file__).parents[2]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Merchants:
    """One HTTP server for all: ``/hang`` never answers, ``/once`` fails the first time."""

    def __init__(self) -> None:
        self.got: dict[str, list[tuple[dict[str, str], bytes]]] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def url(self, path: str) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{path}"

    def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    def verified(self, path: str) -> list[dict[str, Any]]:
        return [
            Webhook(SECRET).verify(body, headers) | {"_id": headers["webhook-id"]}
            for headers, body in self.got.get(path, [])
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                path = head[0].split()[1]
                pairs = (line.split(": ", 1) for line in head[1:] if line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers["content-length"]))
                kept = self.got.setdefault(path, [])
                repeated = any(one["webhook-id"] == headers["webhook-id"] for one, _ in kept)
                kept.append((headers, body))
                if path == "/hang":
                    await reader.read()
                    break
                fails = path == "/once" and not repeated
                writer.write(OK.replace(b"200 OK", b"503 Busy") if fails else OK)
                await writer.drain()
        writer.close()


class Process:
    """``python -m services.callbacks`` in a space of its own."""

    def __init__(self, space: Space) -> None:
        self.environ = {
            "KAFKA_URL": space.kafka_url,
            "MONGO_URL": space.mongo_url,
            "SALUR_TOPIC_PREFIX": space.topic_prefix,
            "SALUR_DATABASE_PREFIX": space.database_prefix,
            "SALUR_TOPIC_REPLICATION": "1",
            "SALUR_TOPIC_PARTITIONS": "3",
            "SALUR_CALLBACK_SEAL_KEY": SEAL_KEY,
            "SALUR_CALLBACKS_HEALTH_PORT": str(free_port()),
            "SALUR_CALLBACKS_ALLOW_PRIVATE_ADDRESSES": "true",
            "SALUR_CALLBACKS_TIMEOUT_S": "2",
            "SALUR_CALLBACKS_CONNECT_TIMEOUT_S": "1",
            "SALUR_CALLBACKS_PUBLISH_TIMEOUT_S": "8",
            "SALUR_CALLBACKS_RETRY_SCHEDULE_S": "[0.5, 1, 1, 600]",
        }
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.callbacks",
            cwd=ROOT,
            env={**os.environ, **self.environ},
            stdout=asyncio.subprocess.DEVNULL,
        )

    async def kill(self) -> None:
        assert self._child is not None
        self._child.kill()
        await self._child.wait()

    async def stop(self) -> int:
        assert self._child is not None
        if self._child.returncode is None:
            self._child.terminate()
        return await self._child.wait()


@pytest.fixture
async def merchants() -> AsyncIterator[Merchants]:
    made = Merchants()
    await made.start()
    yield made
    made.stop()


@pytest.fixture
async def publisher(space: Space) -> AsyncIterator[KafkaPublisher]:
    made = KafkaPublisher(space.kafka_url, space.topic_prefix, 20)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def process(space: Space) -> AsyncIterator[Process]:
    made = Process(space)
    await topics.ensure(Settings.load(made.environ))
    await made.start()
    yield made
    await made.stop()


async def say(publisher: KafkaPublisher, news: Sequence[Received]) -> None:
    await publisher.publish([record_of(one) for one in news])


async def set_up(space: Space, publisher: KafkaPublisher, *endpoints: Message) -> None:
    await say(publisher, [received(one) for one in endpoints])
    await eventually(lambda: _count(space, "endpoints", {}, len(endpoints)), within_s=60)


async def _count(space: Space, collection: str, query: dict[str, Any], wanted: int) -> None:
    client = open_client(space.mongo_url)
    try:
        rows = database(client, space.database("callbacks"))[collection]
        assert await rows.count_documents(query) == wanted
    finally:
        client.close()


def expected(news: Received) -> dict[str, Any]:
    picture = public.public_disbursement(news.message, news.sequence or 0)
    return {
        "id": public.event_id(news.id),
        "type": f"disbursement.{news.message.status}",
        "occurred_at": public.moment(news.occurred_at),
        "sequence": news.sequence,
        "data": json.loads(json.dumps(picture)),
        "_id": public.event_id(news.id),
    }


def by_id(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(row["id"]))


async def test_events_go_in_and_exactly_the_expected_signed_callbacks_come_out(
    space: Space, merchants: Merchants, publisher: KafkaPublisher, process: Process
) -> None:
    await set_up(
        space,
        publisher,
        set_endpoint("endp_all", url=merchants.url("/all")),
        set_endpoint("endp_bad", url=merchants.url("/bad"), events=["disbursement.failed"]),
        set_endpoint("endp_once", url=merchants.url("/once"), events=["disbursement.reversed"]),
        set_endpoint("endp_else", url=merchants.url("/else"), environment="production"),
    )
    lives = range(40)
    succeeded = [received(life_event("succeeded", f"disb_s{n}"), 3) for n in lives]
    reversed_ = [received(life_event("reversed", f"disb_s{n}"), 4) for n in lives[:10]]
    failed = [received(life_event("failed", f"disb_f{n}"), 3) for n in lives[:15]]
    news = [*succeeded, *reversed_, *failed]

    await say(publisher, [*news, *news, received(deposit(), 9)])
    await eventually(lambda: _count(space, "deliveries", {"status": "delivered"}, 91), within_s=60)
    await eventually(lambda: _count(space, "errands", {}, 0))

    got = merchants.verified("/all")
    assert by_id([one for one in got if one["type"] != "deposit.credited"]) == by_id(
        [expected(one) for one in news]
    )
    assert [one["data"]["amount"] for one in got if one["type"] == "deposit.credited"] == [50_000]
    assert by_id(merchants.verified("/bad")) == by_id([expected(one) for one in failed])
    twice = Counter(one["id"] for one in merchants.verified("/once"))
    assert twice == {public.event_id(one.id): 2 for one in reversed_}
    assert "/else" not in merchants.got
    said = [
        decode(one.value, one.header(TYPE_HEADER)).message
        for one in await space.records("callbacks.events")
    ]
    ended = {one.delivery for one in said if isinstance(one, callbacks.CallbackDelivered)}
    assert len(ended) == 91
    assert await process.stop() == 0


async def test_a_service_killed_mid_way_delivers_everything_and_a_silent_endpoint_delays_nobody(
    space: Space, merchants: Merchants, publisher: KafkaPublisher, process: Process
) -> None:
    await set_up(
        space,
        publisher,
        set_endpoint("endp_good", url=merchants.url("/good")),
        set_endpoint("endp_hang", url=merchants.url("/hang")),
    )
    news = [received(life_event("succeeded", f"disb_{n}"), 3) for n in range(300)]

    await say(publisher, news)
    await eventually(lambda: _arrived(merchants, 60), within_s=60)
    await process.kill()
    before = len(merchants.got["/good"])
    await process.start()
    await eventually(lambda: _arrived(merchants, 300), within_s=90)
    good = {"endpoint": "endp_good", "status": "delivered"}
    await eventually(lambda: _count(space, "deliveries", good, 300), within_s=60)

    assert before < 300, "it was killed too late to show anything"
    wanted = {public.event_id(one.id): expected(one) for one in news}
    for one in merchants.verified("/good"):
        assert one == wanted[one["id"]]
    await _count(space, "deliveries", {"endpoint": "endp_good", "attempts": 1}, 300)
    await _count(space, "deliveries", {"endpoint": "endp_hang", "status": "delivered"}, 0)


def _arrived(merchants: Merchants, least: int) -> None:
    assert len({headers["webhook-id"] for headers, _ in merchants.got.get("/good", [])}) >= least
