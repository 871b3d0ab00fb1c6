"""disburse and the ledger as real processes, beside real servers and the play bank over HTTP."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from contracts import catalog
from contracts.disburse import v1 as disburse
from contracts.envelope import Envelope, now_ms
from contracts.ids import new_public_id, uuid7
from contracts.ledger import v1 as ledger
from contracts.message import Message
from contracts.sealed import Sealer, new_key
from services._kit.kafka import KafkaPublisher
from services._kit.mongo import MongoStore, open_client
from services._kit.records import record_of
from services.disburse.domain import ENDS
from services.disburse.store import LIVES
from services.sandbox.app import create_app
from services.sandbox.settings import Settings
from tests.support.snap_bank import SECRET, bank_key, our_key, private_pem, public_pem

ACCOUNT = "acme.sandbox"
DEPOSIT = 1_000_000_000
AMOUNT, FEE = 100_000, 2_500


@asynccontextmanager
async def play_bank(folder: Path, **changes: Any) -> AsyncIterator[str]:
    """Serves the play bank on a free port; returns told by its statement alone."""
    values: dict[str, Any] = {
        "port": 0,
        "health_port": 0,
        "data_dir": folder,
        "client_id": "client-1",
        "client_secret": SECRET,
        "client_public_key": public_pem(our_key()),
        "bank_private_key": private_pem(bank_key()),
        "latency_ms": 5,
        "pending_s": 1,
        "return_after_s": 1,
        "hang_s": 3,
        "notify": False,
    }
    app = create_app(Settings.model_validate(values | changes))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1)
    )
    # Its signal handlers belong to a process of its own, not to a test.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


def rail(bank_url: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "sandbox",
        "environments": ["sandbox"],
        "base_url": f"{bank_url}/bank",
        "client_id": "client-1",
        "client_secret": SECRET,
        "private_key": private_pem(our_key()),
        "bank_public_key": public_pem(bank_key()),
        "partner_id": "client-1",
        "channel_id": "95221",
        "bank_bic": "CENAIDJA",
        "source_account": "1122334455",
        "token_timeout_s": 0.5,
        "call_timeout_s": 1,
        "not_found_after_s": 4,
        **changes,
    }


@dataclass
class Platform:
    """``env`` is what each process gets; ``folder`` holds their logs."""

    env: dict[str, str]
    folder: Path
    sealer: Sealer
    publisher: KafkaPublisher
    lives: MongoStore
    ledger: MongoStore
    bank_url: str
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, service: str, name: str = "") -> None:
        """``name`` tells a second process of a service apart."""
        name = name or service
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            self.running[name] = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", f"services.{service}"],
                env=self.env, stdout=log, stderr=log,
            )  # fmt: skip

    async def start_all(self) -> None:
        """Both services, ready to be spoken to; the account has its deposit."""
        for service in ("ledger", "disburse"):
            self.start(service)
        for service in ("ledger", "disburse"):
            await until(partial(self._started, service), 60, f"{service} starts")
        await self.publisher.start()
        await self.deposit()

    async def _started(self, service: str) -> bool:
        assert self.running[service].poll() is None, self.log_of(service)
        return "started" in self.log_of(service)

    def kill(self, service: str) -> None:
        """As the machine's worst day would."""
        process = self.running.pop(service)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stall(self, name: str) -> None:
        """Alive, and holding its leases and partitions, but doing nothing until ``resume``."""
        self.running[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        late = []
        for name, process in self.running.items():
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                late.append(name)
        assert not late, "\n".join([f"{late} did not stop in time", *map(self.log_of, late)])

    def log_of(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text()

    async def admin(self, *words: str) -> tuple[int, str]:
        """Exit code and all output of the operator's tool."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.disburse.admin", *words,
            env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    async def say(self, *messages: Message) -> None:
        await self.publisher.publish([record_of(_envelope(message)) for message in messages])

    async def deposit(self) -> None:
        await self.say(
            ledger.OpenAccount(account=ACCOUNT, scheme="deposit"),
            ledger.CreditDeposit(account=ACCOUNT, amount=DEPOSIT, external_reference="grant"),
        )

    def request(
        self, number: str, *, bank: str = "CENAIDJA", **changes: Any
    ) -> disburse.RequestDisbursement:
        life = new_public_id("disb")
        destination = disburse.Destination(
            type="bank_account",
            bank=bank,
            number=self.sealer.seal(number, "account_number"),
            masked="****",
            account_name="ANI",
        )
        order = disburse.Order(
            partner="acme",
            environment="sandbox",
            account=ACCOUNT,
            reference=life,
            amount=AMOUNT,
            fee=FEE,
            destination=destination,
            **changes,
        )
        return disburse.RequestDisbursement(disbursement=life, order=order)

    async def life(self, life_id: str) -> dict[str, Any]:
        found = await self.lives.get(LIVES, [life_id])
        return found.get(life_id, {})

    async def ended(self, *ids: str) -> bool:
        found = await self.lives.get(LIVES, ids)
        return len(found) == len(ids) and all(row["status"] in ENDS for row in found.values())

    async def executions(self) -> list[str]:
        """The references that the bank has executed, one for each time."""
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{self.bank_url}/bank/executions")
        return [row["reference"] for row in answer.json()["data"]]


@asynccontextmanager
async def platform(
    kafka_url: str, mongo_url: str, bank_url: str, folder: Path, rails: list[dict[str, Any]]
) -> AsyncIterator[Platform]:
    """Databases and topics of its own; no process runs yet but what is started."""
    prefix, key = f"t{uuid.uuid4().hex[:10]}", new_key()
    env = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "KAFKA_URL": kafka_url,
        "MONGO_URL": mongo_url,
        "SALUR_SEAL_KEY": key,
        "SALUR_TOPIC_PREFIX": f"{prefix}.",
        "SALUR_DATABASE_PREFIX": f"{prefix}_",
        "SALUR_TOPIC_REPLICATION": "1",
        "SALUR_TOPIC_PARTITIONS": "3",
        "SALUR_LEDGER_HEALTH_PORT": "0",
        "SALUR_DISBURSE_HEALTH_PORT": "0",
        "SALUR_DISBURSE_RAILS": json.dumps(rails),
        "SALUR_DISBURSE_LEASE_MARGIN_S": "0.5",
        "SALUR_DISBURSE_ASK_AFTER_S": "[0.5, 1, 2, 3]",
        "SALUR_DISBURSE_ASK_EVERY_S": "2",
        "SALUR_DISBURSE_STATEMENT_EVERY_S": "1",
        "SALUR_DISBURSE_STATEMENT_OVERLAP_S": "60",
    }
    client = open_client(mongo_url)
    publisher = KafkaPublisher(kafka_url, f"{prefix}.", 30)
    here = Platform(
        env, folder, Sealer(key), publisher,
        MongoStore(client, f"{prefix}_disburse"), MongoStore(client, f"{prefix}_ledger"), bank_url,
    )  # fmt: skip
    try:
        yield here
    finally:
        here.stop()
        with contextlib.suppress(AttributeError):  # it was never started
            await publisher.stop()
        for store in (here.lives, here.ledger):
            await client.drop_database(store.db.name)
        client.close()


async def until(check: Callable[[], Awaitable[bool]], limit_s: float, what: str) -> None:
    """Look until it is so; the limit is far from what is usual, for a busy machine."""
    end = time.monotonic() + limit_s
    while not await check():
        assert time.monotonic() < end, f"not within {limit_s:g} s: {what}"
        await asyncio.sleep(0.1)


def _envelope(message: Message) -> Envelope[Any]:
    key = getattr(message, catalog.row(message.type).key)
    return Envelope.model_construct(
        id=str(uuid7()), type=message.type, source="/test", key=key, occurred_at=now_ms(),
        correlation=key, cause=None, sequence=None, message=message,
    )  # fmt: skip
