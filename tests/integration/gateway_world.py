"""A gateway on real servers, a partner who signs, and services played by hand."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from jsonschema_rs import Draft202012Validator

from contracts import catalog
from contracts.disburse import v1 as disburse
from contracts.envelope import Envelope, decode
from contracts.ids import uuid7
from contracts.ledger import v1 as ledger
from contracts.message import Message
from contracts.sealed import Sealer, new_key
from contracts.terms import Environment
from services._kit.kafka import KafkaPublisher
from services._kit.records import record_of
from services.gateway.app import Gateway, connected
from services.gateway.auth import signature
from services.gateway.openapi import described
from services.gateway.settings import Settings
from tests.support.space import Space, eventually

DESCRIBED = described()
ADMIN_TOKEN = "operators-token-of-the-tests"
SEAL_KEY = new_key()
CALLBACK_SEAL_KEY = new_key("c1")
PHONE_KEY = new_key("p1")


def settings(space: Space, **changes: Any) -> Settings:
    return Settings.model_validate(
        {
            "kafka_url": space.kafka_url,
            "mongo_url": space.mongo_url,
            "topic_prefix": space.topic_prefix,
            "database_prefix": space.database_prefix,
            "topic_partitions": 3,
            "topic_replication": 1,
            "health_port": 0,
            "port": 0,
            "admin_port": 0,
            "admin_token": ADMIN_TOKEN,
            "seal_key": SEAL_KEY,
            "callback_seal_key": CALLBACK_SEAL_KEY,
            "phone_key": PHONE_KEY,
            **changes,
        }
    )


@dataclass
class Partner:
    """Holds a key and signs each request over the bytes that it sends."""

    world: "World"
    id: str
    environment: str
    key: str
    secret: str
    address: str = "203.0.113.7"

    @property
    def account(self) -> str:
        return f"{self.id}.{self.environment}"

    async def send(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        key: str = "",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        timestamp = str(int(time.time()))
        digest = hashlib.sha256(raw).hexdigest()
        signed = signature(self.secret.encode(), method, target, timestamp, key, digest)
        sent = {
            "Salur-Key": self.key,
            "Salur-Timestamp": timestamp,
            "Salur-Signature": signed,
            "Content-Type": "application/json",
            **({"Idempotency-Key": key} if key else {}),
            **(headers or {}),
        }
        transport = httpx.ASGITransport(self.world.gateway.public, client=(self.address, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            answer = await client.request(method, target, content=raw, headers=sent, timeout=30)
        assert_as_published(method, target, answer)
        return answer

    async def pay(self, key: str = "key-1", wait: int = 0, **changes: Any) -> httpx.Response:
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        return await self.send(
            "POST", "/v1/disbursements", payment(**changes), key=key, headers=headers
        )


def payment(**changes: Any) -> dict[str, Any]:
    return {
        "reference": "payroll-7-ani",
        "amount": 1_500_000,
        "currency": "IDR",
        "destination": {
            "type": "bank_account",
            "bank": "BCA",
            "account_number": "0123456789",
            "account_name": "ANI",
        },
        **changes,
    }


def assert_as_published(method: str, target: str, answer: httpx.Response) -> None:
    """Whatever a test asks for: the answer's status and shape are those of the description."""
    path = re.sub(r"/(disb|cash)_[^/]+", "/{id}", target.partition("?")[0])
    path = re.sub(r"/redemptions/[^/]+", "/redemptions/{store_ref}", path)
    responses = DESCRIBED["paths"][path][method.lower()]["responses"]
    found = responses.get(str(answer.status_code))
    assert found, f"{method} {path} answered {answer.status_code}, which is not described"
    (kind, content), *_ = found["content"].items()
    assert answer.headers["content-type"] == kind
    schema = content["schema"] | {"components": DESCRIBED["components"]}
    Draft202012Validator(schema).validate(answer.json())


@dataclass
class World:
    gateway: Gateway
    space: Space
    publisher: KafkaPublisher
    settings: Settings
    sealer: Sealer = field(default_factory=lambda: Sealer(SEAL_KEY))

    async def partner(self, name: str = "toko", environment: Environment = "sandbox") -> Partner:
        """A partner with a key, written as operators do; nobody opens accounts here."""
        now = datetime.now(UTC)
        await self.gateway.partners.add(name, name, now)
        key, secret = await self.gateway.partners.add_key(name, environment, "tests", now)
        return Partner(self, name, environment, key, secret)

    async def chain(self, name: str = "mart", environment: Environment = "sandbox") -> Partner:
        """A chain's key, as operators make it; its ``account`` is the chain's id."""
        body = {"id": name, "name": name, "environment": environment}
        made = (await self.admin("POST", "/admin/chains", body)).json()
        return Partner(self, name, environment, made["key"], made["secret"])

    async def admin(
        self, method: str, path: str, body: Any = None, token: str = ADMIN_TOKEN
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.gateway.admin)
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
            headers = {"Authorization": f"Bearer {token}"}
            return await client.request(method, path, json=body, headers=headers, timeout=30)

    async def said(self, topic: str, kind: type[Message] | None = None) -> list[Envelope[Any]]:
        """What is in a topic now, of one kind."""
        found = [decode(record.value) for record in await self.space.records(topic)]
        return [one for one in found if kind is None or isinstance(one.message, kind)]

    async def say(
        self,
        message: Message,
        correlation: str,
        sequence: int | None = None,
        cause: str | None = None,
    ) -> None:
        """Another service says this."""
        row = catalog.row(message.type)
        envelope = Envelope.model_construct(
            id=str(uuid7()),
            type=message.type,
            source=f"/salur/{row.said_by[0]}",
            key=getattr(message, row.key),
            occurred_at=datetime.now(UTC),
            correlation=correlation,
            cause=cause,
            sequence=sequence,
            message=message,
        )
        await self.publisher.publish([record_of(envelope)])

    async def become(self, life: str, sequence: int, status: str, **changes: Any) -> None:
        """disburse says what became of a life that was asked for."""
        kinds: dict[str, type[disburse.Disbursement]] = {
            "holding": disburse.DisbursementAccepted,
            "scheduled": disburse.DisbursementScheduled,
            "sending": disburse.DisbursementInstructed,
            "succeeded": disburse.DisbursementSucceeded,
            "failed": disburse.DisbursementFailed,
            "cancelled": disburse.DisbursementCancelled,
            "reversed": disburse.DisbursementReversed,
        }
        asked = await self.asked(life)
        now = datetime.now(UTC)
        event = kinds[status](
            disbursement=life,
            order=asked.message.order,
            status=status,
            created_at=asked.occurred_at,
            updated_at=now,
            **{name: value for name, value in changes.items() if name != "correlation"},
        )
        assert isinstance(event, Message)
        await self.say(event, changes.get("correlation", life), sequence)

    async def asked(self, life: str) -> Envelope[Any]:
        found = [
            one
            for one in await self.said("disburse.commands", disburse.RequestDisbursement)
            if one.key == life
        ]
        assert found, f"nobody asked for {life}"
        return found[0]

    async def balance(self, account: str, sequence: int, available: int, held: int = 0) -> None:
        opened = ledger.AccountOpened(
            account=account, scheme="deposit", credit_limit=0, available=available, held=held
        )
        await self.say(opened, account, sequence)


@asynccontextmanager
async def running(space: Space, **changes: Any) -> AsyncIterator[World]:
    """A gateway whose jobs run until the block ends."""
    chosen = settings(space, **changes)
    publisher = KafkaPublisher(space.kafka_url, space.topic_prefix, 10)
    async with connected(chosen) as gateway:
        await publisher.start()
        tasks = [asyncio.create_task(job) for job in gateway.jobs.values()]
        world = World(gateway, space, publisher, chosen)
        try:
            await eventually(lambda: _ready(world))
            yield world
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await publisher.stop()


async def _ready(world: World) -> None:
    assert (await get(world.gateway.public, "/readyz")).status_code == 200


async def get(app: Any, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://any") as client:
        return await client.get(path)
