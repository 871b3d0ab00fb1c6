"""What a person can do: ``python -m services.disburse.admin stuck | show ID | resolve ID …``.

Reads the databases of disburse and (to show a hold's entries) of the ledger; writes nothing.
``resolve`` publishes ``ResolveTransfer``, and the life decides. Exit codes: 0 done, 1 refused or
not there, 2 wrong arguments, 69 a server does not answer, 78 wrong settings.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka.errors import KafkaError
from pydantic import ValidationError

from contracts.disburse.v1 import ResolveTransfer
from contracts.envelope import Envelope, decode, now_ms
from contracts.ids import uuid7
from services._kit.failures import LeavingError, OutageError
from services._kit.kafka import KafkaPublisher
from services._kit.mongo import MongoStore, open_client, wait_for_primary
from services._kit.ports import InboxRow
from services._kit.process import EXIT_CONFIG
from services._kit.records import record_of
from services._kit.settings import SettingsError
from services.disburse import ledger_entries, reports
from services.disburse.life import Life
from services.disburse.settings import Settings
from services.disburse.store import LIVES, MongoNotes, life_of
from services.disburse.words import SERVICE

EXIT_REFUSED, EXIT_UNAVAILABLE = 1, 69
_ANSWER_WITHIN_S, _LOOK_EVERY_S = 10.0, 0.1


class Refused(Exception):  # noqa: N818 - an answer to a person, not a fault
    """What was asked cannot be done; the text says why."""


@dataclass
class Desk:
    """The open databases of one command."""

    settings: Settings
    store: MongoStore
    ledger: MongoStore


async def stuck(desk: Desk, older_than_s: float, most: int) -> str:
    """All that has waited longer than it should, the oldest first."""
    now = now_ms()
    rows = await reports.waiting(desk.store, now, older_than_s, most)
    return reports.stuck_table(rows, now)


async def show(desk: Desk, life_id: str) -> str:
    life = await _life(desk, life_id)
    transfer = await MongoNotes(desk.store).transfer(life.id)
    inbox = await desk.store.answered([change.id for change in life.history])
    entries = await ledger_entries.of_hold(desk.ledger, life.order.account, life.id)
    errands = await desk.store.find("errands", "data.disbursement", [life.id])
    return reports.life_report(life, transfer, inbox, entries, errands)


async def resolve(desk: Desk, message: ResolveTransfer) -> str:
    """Publish, and wait for the life's answer."""
    life = await _life(desk, message.disbursement)
    if life.status != "unclear":
        raise Refused(f"{life.id} is {life.status}; only an unclear transfer can be resolved")
    message_id = await _publish(desk.settings, message)
    row = await _answer(desk, message_id)
    if row is None:
        return (
            f"ResolveTransfer {message_id} is published, but disburse has not decided it within "
            f"{_ANSWER_WITHIN_S:g} s; look again with: show {life.id}"
        )
    for record in row.said:
        said = decode(record.value).message
        if type(said).__name__ == "CommandRefused":
            raise Refused(f"{said.reason}: {said.detail}")
    if row.parked is not None:
        raise Refused(f"parked: {row.parked}")
    return f"{life.id} is {(await _life(desk, life.id)).status}"


async def _life(desk: Desk, life_id: str) -> Life:
    found = await desk.store.get(LIVES, [life_id])
    if life_id not in found:
        raise Refused(f"there is no disbursement {life_id}")
    return life_of(found[life_id])


async def _publish(settings: Settings, message: ResolveTransfer) -> str:
    envelope = Envelope.model_construct(
        id=str(uuid7()),
        type=message.type,
        source=f"/salur/{SERVICE}/admin",
        key=message.disbursement,
        occurred_at=now_ms(),
        correlation=message.disbursement,
        cause=None,
        sequence=None,
        message=message,
    )
    publisher = KafkaPublisher(
        settings.kafka_url, settings.topic_prefix, settings.publish_timeout_s
    )
    await publisher.start()
    try:
        await publisher.publish([record_of(envelope)])
    finally:
        await publisher.stop()
    return envelope.id


async def _answer(desk: Desk, message_id: str) -> InboxRow | None:
    """The inbox row of a message, as soon as it is there."""
    for _ in range(int(_ANSWER_WITHIN_S / _LOOK_EVERY_S)):
        found = await desk.store.answered([message_id])
        if message_id in found:
            return found[message_id]
        await asyncio.sleep(_LOOK_EVERY_S)
    return None


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Desk]:
    client = open_client(settings.mongo_url)
    try:
        await wait_for_primary(client, 5)
        prefix = settings.database_prefix
        yield Desk(
            settings,
            MongoStore(client, prefix + SERVICE),
            MongoStore(client, prefix + ledger_entries.SERVICE),
        )
    finally:
        client.close()


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m services.disburse.admin",
        description="Look at disbursements, and end an unclear one with evidence.",
        epilog="Settings come from the environment, as for the service itself.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("stuck", help="list what waits too long, the oldest first")
    one.add_argument(
        "--older-than-s", type=float, default=60, metavar="S", help="waiting longer (60)"
    )
    one.add_argument("--most", type=int, default=100, metavar="N", help="per status (100)")
    one = commands.add_parser("show", help="show one life, its messages and its ledger entries")
    one.add_argument("id", help="disb_…")
    one = commands.add_parser(
        "resolve",
        help="end an unclear transfer, with evidence and two persons",
        description="Say what the bank's own statement shows. 'refused' is believed only when no "
        "request can be under way any more.",
    )
    one.add_argument("id", help="disb_…")
    one.add_argument("--outcome", required=True, choices=("confirmed", "refused"))
    one.add_argument("--evidence", required=True, help="where it can be seen, e.g. statement line")
    one.add_argument(
        "--by", required=True, action="append", metavar="NAME", help="a person; give it twice"
    )
    one.add_argument("--rail", help="the rail that paid, if it is another")
    one.add_argument("--bank-reference", help="the bank's reference of the transfer")
    return top


def _resolution(arguments: argparse.Namespace) -> ResolveTransfer:
    try:
        return ResolveTransfer(
            disbursement=arguments.id,
            outcome=arguments.outcome,
            rail=arguments.rail,
            bank_reference=arguments.bank_reference,
            evidence=arguments.evidence,
            by=tuple(arguments.by),
        )
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'by'}: {e['msg']}" for e in error.errors()]
        parser().error("; ".join(lines))


async def run(arguments: argparse.Namespace, settings: Settings) -> str:
    message = _resolution(arguments) if arguments.command == "resolve" else None
    if message is not None and message.rail not in (None, *(one.name for one in settings.rails)):
        raise Refused(f"there is no rail {message.rail}")
    async with opened(settings) as desk:
        if message is not None:
            return await resolve(desk, message)
        if arguments.command == "show":
            return await show(desk, arguments.id)
        return await stuck(desk, arguments.older_than_s, arguments.most)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Parse, do, print; returns the exit code."""
    arguments = parser().parse_args(argv)
    try:
        print(asyncio.run(run(arguments, Settings.load(environ))))  # noqa: T201 - for a person
    except SettingsError as error:
        return _complain(f"settings: {error}", EXIT_CONFIG)
    except Refused as refused:
        return _complain(str(refused), EXIT_REFUSED)
    except (OutageError, LeavingError, KafkaError, TimeoutError, OSError) as error:
        return _complain(f"no server answers: {error}", EXIT_UNAVAILABLE)
    return 0


def _complain(text: str, code: int) -> int:
    sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
