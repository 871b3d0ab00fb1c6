"""How many holds a second: ``python -m tests.bench.ledger_holds --accounts 1 --commands 100000``.

Real servers in a temporary folder on a real disk, and the real process. ``ledger.commands`` is
filled first; then ``python -m services.ledger`` starts, and the time is taken from the first to
the last published ``FundsHeld``, as the records on ``ledger.events`` were stamped. Nothing else
runs meanwhile but a look at the topic's end each half second. Afterwards the journal is verified.
"""

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pymongo import MongoClient

from contracts.envelope import TYPE_HEADER, Envelope, now_ms
from contracts.ids import derived_id, new_public_id
from contracts.ledger.v1 import CreditDeposit, FundsHeld, HoldFunds, OpenAccount
from contracts.message import Message
from deploy.local.ports import free_ports
from deploy.local.servers import LocalServers
from services._kit import topics
from services._kit.failures import patience
from services._kit.kafka import KafkaPublisher
from services._kit.ports import Record
from services._kit.records import record_of
from services.ledger.audit import audit
from services.ledger.settings import Settings

_FOLDERS = Path(__file__).parents[2] / ".local" / "bench"
_CHUNK = 5_000
_DEPOSIT = 10**13


def main() -> int:
    options = _options()
    _FOLDERS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=_FOLDERS))
    kafka, controller, mongo = free_ports(3)
    servers = LocalServers(folder, kafka_port=kafka, controller_port=controller, mongo_port=mongo)
    try:
        servers.start()
        result = asyncio.run(_measure(options, servers))
    finally:
        servers.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, value in result.items():
        print(f"{name:>24}: {value}")
    return 0 if result["verify"] == "clean" else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1)
    parser.add_argument("--commands", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--json", help="write the result to this file too")
    parser.add_argument("--profile", help="run the ledger under cProfile and keep its figures here")
    return parser.parse_args()


async def _measure(options: argparse.Namespace, servers: LocalServers) -> dict[str, Any]:
    urls = servers.urls
    environ = {
        **urls,
        "SALUR_TOPIC_PARTITIONS": str(options.partitions),
        "SALUR_TOPIC_REPLICATION": "1",
        "SALUR_LEDGER_HEALTH_PORT": str(free_ports(1)[0]),
        "SALUR_LOG_LEVEL": "WARNING",
        **{n: v for n, v in os.environ.items() if n.startswith("SALUR_LEDGER_")},
    }
    settings = Settings.load(environ)
    async for _ in patience(30):
        with contextlib.suppress(KafkaError):
            await topics.ensure(settings)
            break
    _say(f"filling ledger.commands with {options.commands} commands")
    await _fill(options, settings)
    _say("starting the ledger")
    process = _ledger(environ, options.profile)
    pids = {"ledger": process.pid, "mongod": servers.mongo.pid, "kafka": servers.kafka.pid}
    before = {name: _cpu_s(pid) for name, pid in pids.items()}
    try:
        await _until_answered(settings, options, process)
        cpu = {name: _cpu_s(pid) - before[name] for name, pid in pids.items()}
    finally:
        process.terminate()
        process.wait(30)
    stamps = await _stamps(settings, options.partitions)
    _say("verifying the journal")
    with MongoClient[dict[str, Any]](urls["MONGO_URL"], tz_aware=True) as client:
        differences = list(audit(client[f"{settings.database_prefix}ledger"]))
        mongod = client.server_info()["version"]
    counted = len(stamps) == options.commands
    return {
        "holds_per_s": _rate(stamps),
        "holds_per_s_in_thirds": [_rate(third) for third in _thirds(stamps)],
        "seconds": round((stamps[-1] - stamps[0]) / 1000, 2),
        "holds": len(stamps),
        "cpu_us_per_hold": {name: round(1e6 * s / options.commands) for name, s in cpu.items()},
        "accounts": options.accounts,
        "batch_messages_max": settings.batch_messages_max,
        "cores": os.cpu_count(),
        "durability": "MongoDB w=majority j=true, one member; Kafka acks=all, one broker",
        "versions": {
            "python": platform.python_version(),
            "mongod": mongod,
            **{name: importlib.metadata.version(name) for name in ("aiokafka", "motor", "pymongo")},
        },
        "verify": "clean" if counted and not differences else [str(d) for d in differences[:5]],
    }


async def _fill(options: argparse.Namespace, settings: Settings) -> None:
    publisher = KafkaPublisher(settings.kafka_url, settings.topic_prefix, 60)
    await publisher.start()
    try:
        chunk: list[Record] = []
        for record in _commands(options):
            chunk.append(record)
            if len(chunk) == _CHUNK:
                await publisher.publish(chunk)
                chunk = []
        await publisher.publish(chunk)
    finally:
        await publisher.stop()


def _commands(options: argparse.Namespace) -> Iterator[Record]:
    accounts = [f"bench-{number}.sandbox" for number in range(options.accounts)]
    for account in accounts:
        yield _record(OpenAccount(account=account, scheme="deposit"), account)
        yield _record(
            CreditDeposit(account=account, amount=_DEPOSIT, external_reference="grant"), account
        )
    for number in range(options.commands):
        hold = new_public_id("disb")
        account = accounts[number % len(accounts)]
        yield _record(
            HoldFunds(account=account, hold=hold, holder="disburse", amount=10_000, fee=2_500),
            hold,
        )


def _record(message: Message, life: str) -> Record:
    now = now_ms()
    account = message.account  # type: ignore[attr-defined]
    return record_of(
        Envelope.model_construct(
            id=derived_id(life, now, f"bench/{message.type}"),
            type=message.type,
            source="/salur/disburse",
            key=account,
            occurred_at=now - timedelta(milliseconds=5),
            correlation=life,
            cause=derived_id(life, now, "bench/cause"),
            sequence=None,
            message=message,
        )
    )


def _ledger(environ: Mapping[str, str], profile: str | None) -> "subprocess.Popen[bytes]":
    words = ["-m", "services.ledger"]
    if profile:
        words = ["-m", "cProfile", "-o", profile, *words]
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.Popen([sys.executable, *words], env={**inherited, **environ})  # noqa: S603


def _cpu_s(pid: int | None) -> float:
    """User and system time of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _until_answered(
    settings: Settings, options: argparse.Namespace, process: "subprocess.Popen[bytes]"
) -> None:
    wanted = options.commands + 2 * options.accounts
    async with _consumer(settings) as consumer:
        places = _places(settings, options.partitions)
        last, moved = -1, time.monotonic()
        while last < wanted:
            if process.poll() is not None:
                raise SystemExit(f"the ledger ended with code {process.returncode}")
            ends = sum((await consumer.end_offsets(places)).values())
            if ends != last:
                last, moved = ends, time.monotonic()
            elif time.monotonic() - moved > 60:
                raise SystemExit(f"no event for a minute; {last} of {wanted} are there")
            await asyncio.sleep(0.5)


async def _stamps(settings: Settings, partitions: int) -> list[int]:
    """When each hold's event was published, in ms, sorted."""
    wanted = FundsHeld.type.encode()
    stamps: list[int] = []
    async with _consumer(settings) as consumer:
        places = _places(settings, partitions)
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        while got := await consumer.getmany(timeout_ms=2_000, max_records=10_000):
            for records in got.values():
                stamps += [r.timestamp for r in records if (TYPE_HEADER, wanted) in r.headers]
    return sorted(stamps)


def _consumer(settings: Settings) -> Any:
    return AIOKafkaConsumer(bootstrap_servers=settings.kafka_url, max_partition_fetch_bytes=2**22)


def _places(settings: Settings, partitions: int) -> list[TopicPartition]:
    return [TopicPartition(settings.topic_prefix + "ledger.events", n) for n in range(partitions)]


def _thirds(stamps: Sequence[int]) -> list[Sequence[int]]:
    third = len(stamps) // 3
    return [stamps[:third], stamps[third : 2 * third], stamps[2 * third :]]


def _rate(stamps: Sequence[int]) -> int:
    return round(len(stamps) / max(0.001, (stamps[-1] - stamps[0]) / 1000))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
