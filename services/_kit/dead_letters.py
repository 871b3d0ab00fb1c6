"""Dead letters: ``python -m services._kit.dead_letters list`` and ``replay``.

``<topic>.dead`` holds each parked message as it came, with its reason. ``list`` shows them without
their content. ``replay`` publishes the original bytes to the original topic with the header
``replay: 1``; whoever parked the message decides it once more, and once only. What was not parked,
or was replayed before, changes nothing. Letters stay until the topic's retention ends.

KAFKA_URL and SALUR_TOPIC_PREFIX come from the environment or from ``.local/env``. Exit codes: 0 all
was done, 1 no such letter, 75 Kafka is away, 78 KAFKA_URL is missing.
"""

import argparse
import asyncio
import hashlib
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from contracts import catalog
from contracts.envelope import TYPE_HEADER
from services._kit.entries import REASON_HEADER, REPLAY_HEADER
from services._kit.failures import EXIT_LEAVING, LeavingError
from services._kit.kafka import KafkaPublisher
from services._kit.kafka_source import record_of_raw
from services._kit.ports import Record

EXIT_NOTHING_FOUND, EXIT_CONFIG = 1, 78
LOCAL_ENV = Path(".local/env")
PUBLISH_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 60.0
REPLAYED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Letter:
    """A parked message. ``id`` is the message's own, or names its bytes if they are unreadable."""

    id: str
    parked_at: datetime
    record: Record

    @property
    def topic(self) -> str:
        return self.record.topic.removesuffix(catalog.DEAD_SUFFIX)

    @property
    def original(self) -> Record:
        """As it is published again."""
        kept = tuple(h for h in self.record.headers if h[0] not in (REASON_HEADER, REPLAY_HEADER))
        return replace(self.record, topic=self.topic, headers=(*kept, (REPLAY_HEADER, "1")))


async def letters(url: str, prefix: str, topics: Collection[str]) -> list[Letter]:
    """All dead letters of ``topics`` as of now, oldest first.

    Raises:
        KafkaError: no broker answers.
        TimeoutError: it began to answer and did not end.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=url, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    found: list[Letter] = []
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            await consumer.start()
            places = await _places(url, [prefix + one + catalog.DEAD_SUFFIX for one in topics])
            if places:
                consumer.assign(places)
                for place, end in (await consumer.end_offsets(places)).items():
                    while await consumer.position(place) < end:
                        got = await consumer.getmany(place, timeout_ms=1000)
                        found += [_letter(raw, prefix) for raw in got.get(place, ())]
    finally:
        await consumer.stop()
    return sorted(found, key=lambda letter: letter.parked_at)


async def _places(url: str, names: Sequence[str]) -> list[TopicPartition]:
    """The partitions of those topics that are there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=url, request_timeout_ms=10_000)
    try:
        await admin.start()
        present = set(await admin.list_topics())
        found = await admin.describe_topics([name for name in names if name in present] or None)
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in found
        if topic["topic"] in names
        for partition in topic["partitions"]
    ]


async def replay(url: str, prefix: str, chosen: Sequence[Letter]) -> None:
    """Publish each once more to the topic that it came by; identical letters once.

    Raises:
        KafkaError: no broker answers.
        LeavingError: Kafka did not acknowledge; replaying again does no harm.
    """
    publisher = KafkaPublisher(url, prefix, PUBLISH_TIMEOUT_S)
    await publisher.start()
    try:
        once = list({(one.topic, one.id, one.record.value): one for one in chosen}.values())
        for start in range(0, len(once), REPLAYED_AT_ONCE):
            batch = once[start : start + REPLAYED_AT_ONCE]
            await publisher.publish([letter.original for letter in batch])
            _print(f"replayed {start + len(batch)} of {len(once)}")
    finally:
        await publisher.stop()


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """The command line; returns the exit code."""
    asked = _parser().parse_args(arguments)
    known = {**_local_env(LOCAL_ENV), **environ}
    url, prefix = known.get("KAFKA_URL"), known.get("SALUR_TOPIC_PREFIX", "")
    if not url:
        return _complain(f"KAFKA_URL is not set, and {LOCAL_ENV} does not hold it", EXIT_CONFIG)
    topics = [asked.topic.removesuffix(catalog.DEAD_SUFFIX)] if asked.topic else catalog.topics()
    if unknown := set(topics) - set(catalog.topics()):
        return _complain(f"no such topic: {', '.join(unknown)}", EXIT_NOTHING_FOUND)
    try:
        found = asyncio.run(letters(url, prefix, topics))
        if asked.what == "list":
            return _list(found, show=asked.show)
        chosen = found if asked.all else [one for one in found if one.id == asked.id]
        if not chosen:
            return _complain(
                f"no dead letter{'' if asked.all else ' ' + asked.id} in {asked.topic}; "
                "`list` shows those that are there",
                EXIT_NOTHING_FOUND,
            )
        asyncio.run(replay(url, prefix, chosen))
    except (KafkaError, LeavingError, TimeoutError, OSError) as error:
        return _complain(f"Kafka at {url} does not answer: {error!r}", EXIT_LEAVING)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dead_letters", description="parked messages")
    commands = parser.add_subparsers(dest="what", required=True)
    listing = commands.add_parser("list", help="show what is parked")
    listing.add_argument("--topic", help="of one topic, for example ledger.commands")
    listing.add_argument("--show", action="store_true", help="with content; sealed parts stay so")
    again = commands.add_parser("replay", help="send parked messages to their topic again")
    again.add_argument("--topic", required=True)
    which = again.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", help="as `list` shows it")
    which.add_argument("--all", action="store_true")
    return parser


def _list(found: Sequence[Letter], *, show: bool) -> int:
    for letter in found:
        record = letter.record
        moment = letter.parked_at.isoformat(timespec="milliseconds")
        _print(
            f"{moment}  {letter.topic}  {letter.id}\n"
            f"    type {record.header(TYPE_HEADER) or '(none)'}  key {record.key}\n"
            f"    {record.header(REASON_HEADER) or '(no reason)'}"
        )
        if show:
            _print(f"    {record.value.decode(errors='backslashreplace')}")
    _print(f"{len(found)} dead letters")
    return 0


def _letter(raw: Any, prefix: str) -> Letter:
    record = record_of_raw(raw, prefix)
    parked_at = datetime.fromtimestamp(raw.timestamp / 1000, UTC)
    return Letter(_id(record), parked_at, record)


def _id(record: Record) -> str:
    try:
        name = orjson.loads(record.value)["id"]
    except (ValueError, KeyError, TypeError):
        name = None
    if isinstance(name, str) and name:
        return name
    return f"sha256-{hashlib.sha256(record.value).hexdigest()[:16]}"


def _local_env(path: Path) -> dict[str, str]:
    """``NAME=value`` lines, as ``make run`` leaves them."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.removeprefix("export ").partition("=") for line in lines)
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs if value}


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _complain(text: str, code: int) -> int:
    sys.stderr.write(f"dead_letters: {text}\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
