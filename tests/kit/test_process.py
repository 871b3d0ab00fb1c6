"""A whole process of a service: it tells how it is, drains, and leaves with a telling code."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from deploy.local.servers import KafkaServer
from services._kit.kafka import KafkaPublisher
from services._kit.mongo import database, open_client
from tests.kit.toy import COUNTERS, credit
from tests.support.space import Space, eventually, free_port

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]


@dataclass
class Running:
    process: asyncio.subprocess.Process
    url: str
    log: Path

    async def ends(self, within_s: float = 30) -> int:
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    async def answers(self, path: str, wanted: int, within_s: float = 30) -> str:
        found: list[httpx.Response] = []

        async def check() -> None:
            async with httpx.AsyncClient() as client:
                try:
                    found.append(await client.get(self.url + path))
                except httpx.HTTPError as error:
                    raise AssertionError(self.log.read_text()) from error
            assert found[-1].status_code == wanted, found[-1].text

        await eventually(check, within_s)
        return found[-1].text


def environment(space: Space, port: int, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "KAFKA_URL": space.kafka_url,
        "MONGO_URL": space.mongo_url,
        "SALUR_TOPIC_PREFIX": space.topic_prefix,
        "SALUR_DATABASE_PREFIX": space.database_prefix,
        "SALUR_TOPIC_REPLICATION": "1",
        "SALUR_TOPIC_PARTITIONS": "3",
        "SALUR_LEDGER_HEALTH_PORT": str(port),
    } | more


@contextlib.asynccontextmanager
async def toy(environ: Mapping[str, str], folder: Path) -> AsyncIterator[Running]:
    log = folder / "toy.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.kit.toy", env=environ, stdout=out, stderr=out, cwd=folder
        )
    port = environ.get("SALUR_LEDGER_HEALTH_PORT", "0")
    try:
        yield Running(process, f"http://127.0.0.1:{port}", log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_process_tells_how_it_is_and_drains_on_sigterm(
    space: Space, tmp_path: Path
) -> None:
    async with toy(environment(space, free_port()), tmp_path) as running:
        await running.answers("/readyz", 200)
        await running.answers("/livez", 200)
        publisher = KafkaPublisher(space.kafka_url, space.topic_prefix, 10)
        await publisher.start()
        await publisher.publish([credit(5)])
        await publisher.stop()
        client = open_client(space.mongo_url)
        counters = database(client, space.database("ledger"))[COUNTERS]

        async def decided() -> None:
            assert (await counters.find_one({}) or {}).get("available") == 5

        await eventually(decided)
        client.close()
        metrics = await running.answers("/metrics", 200)
        running.process.send_signal(signal.SIGTERM)
        code = await running.ends()

    assert code == 0, running.log.read_text()
    assert 'salur_messages_decided_total{service="ledger"' in metrics
    assert 'salur_oldest_seconds{kind="dead_letter"' in metrics
    assert len(await space.records("ledger.events")) == 1


async def test_a_process_without_kafka_is_not_ready_and_leaves_when_its_patience_is_over(
    space: Space, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    environ = environment(
        space,
        free_port(),
        SALUR_LEDGER_OUTAGE_PATIENCE_S="6",
        SALUR_LEDGER_PUBLISH_TIMEOUT_S="2",
    )
    async with toy(environ, tmp_path) as running:
        await running.answers("/readyz", 200)
        kafka_server.kill()
        why = await running.answers("/readyz", 503)
        await running.answers("/livez", 200)
        code = await running.ends(60)

    assert code == 75, running.log.read_text()
    assert "kafka" in why


async def test_a_process_that_finds_no_kafka_at_its_start_waits_and_then_leaves(
    space: Space, tmp_path: Path
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    environ = environment(space, free_port(), KAFKA_URL=nobody, SALUR_LEDGER_OUTAGE_PATIENCE_S="3")

    async with toy(environ, tmp_path) as running:
        code = await running.ends(60)

    assert code == 75, running.log.read_text()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"SALUR_LEDGER_HELTH_PORT": "1"}, "SALUR_LEDGER_HELTH_PORT"),
        ({"SALUR_LEDGER_HEALTH_PORT": "http"}, "SALUR_LEDGER_HEALTH_PORT"),
        ({"MONGO_URL": ""}, "MONGO_URL"),
    ],
    ids=["unknown", "wrong", "missing"],
)
async def test_settings_that_are_wrong_stop_the_start_with_their_name(
    space: Space, tmp_path: Path, change: Mapping[str, str], named: str
) -> None:
    environ = {k: v for k, v in (environment(space, 1) | dict(change)).items() if v}

    async with toy(environ, tmp_path) as running:
        code = await running.ends()

    assert code == 78
    assert named in running.log.read_text()


async def test_topics_that_outlive_the_inbox_stop_the_start(space: Space, tmp_path: Path) -> None:
    environ = environment(space, free_port(), SALUR_LEDGER_INBOX_DAYS="7")

    async with toy(environ, tmp_path) as running:
        code = await running.ends()

    assert code == 78
    assert "SALUR_LEDGER_INBOX_DAYS" in running.log.read_text()
