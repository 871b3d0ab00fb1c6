"""The gateway as a process: its ports, its settings, its proxies, its published description."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as effort
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks

from deploy.local.ports import free_ports
from tests.integration.gateway_world import (
    ADMIN_TOKEN,
    CALLBACK_SEAL_KEY,
    PHONE_KEY,
    SEAL_KEY,
    payment,
)
from tests.support.space import Space, eventually

EXAMPLES = 15
GATEWAY_TIMEOUT = 504
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@dataclass
class Process:
    port: int
    admin_port: int
    health_port: int
    child: asyncio.subprocess.Process
    key: str = ""
    secret: str = ""
    store: tuple[str, str] = ("", "")

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def admin(self, path: str, body: Any = None, method: str = "POST") -> httpx.Response:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        url = f"http://127.0.0.1:{self.admin_port}/admin{path}"
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.request(method, url, json=body, headers=headers)


def variables(space: Space, ports: list[int], **changes: str) -> dict[str, str]:
    port, admin_port, health_port = ports
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SALUR_")},
        "KAFKA_URL": space.kafka_url,
        "MONGO_URL": space.mongo_url,
        "SALUR_TOPIC_PREFIX": space.topic_prefix,
        "SALUR_DATABASE_PREFIX": space.database_prefix,
        "SALUR_TOPIC_PARTITIONS": "3",
        "SALUR_TOPIC_REPLICATION": "1",
        "SALUR_SEAL_KEY": SEAL_KEY,
        "SALUR_CALLBACK_SEAL_KEY": CALLBACK_SEAL_KEY,
        "SALUR_PHONE_KEY": PHONE_KEY,
        "SALUR_LOG_LEVEL": "WARNING",
        "SALUR_GATEWAY_PORT": str(port),
        "SALUR_GATEWAY_ADMIN_PORT": str(admin_port),
        "SALUR_GATEWAY_HEALTH_PORT": str(health_port),
        "SALUR_GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN,
        "SALUR_GATEWAY_OPERATOR_WAIT_S": "0",
        "SALUR_GATEWAY_INQUIRY_WAIT_S": "0.2",
        "SALUR_GATEWAY_CANCEL_WAIT_S": "0.2",
        "SALUR_GATEWAY_CASHOUT_WAIT_S": "0.1",
        "SALUR_GATEWAY_REDEMPTION_WAIT_S": "0.2",
        "SALUR_GATEWAY_REVERSAL_WAIT_S": "0.2",
        **changes,
    }


@asynccontextmanager
async def process(space: Space, **changes: str) -> AsyncIterator[Process]:
    ports = list(free_ports(3))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", env=variables(space, ports, **changes)
    )
    made = Process(ports[0], ports[1], ports[2], child)
    try:
        async with httpx.AsyncClient() as client:

            async def ready() -> None:
                try:
                    answer = await client.get(f"http://127.0.0.1:{made.health_port}/readyz")
                except httpx.HTTPError as error:
                    raise AssertionError from error
                assert answer.status_code == 200

            await eventually(ready, within_s=60)
        await made.admin("/partners", {"id": "toko", "name": "Toko"})
        key = (await made.admin("/partners/toko/sandbox/keys")).json()
        made.key, made.secret = key["key"], key["secret"]
        chain = (await made.admin("/chains", {"id": "mart", "name": "Mart"})).json()
        made.store = chain["key"], chain["secret"]
        yield made
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(child.wait(), 30) == 0


@pytest.fixture(scope="module")
async def served(kafka_url: str, mongo_url: str) -> AsyncIterator[Process]:
    name = uuid4().hex[:12]
    space = Space(kafka_url, mongo_url, f"t{name}.", f"t{name}_")
    networks = '["127.0.0.0/8"]'
    async with process(space, SALUR_GATEWAY_PROXY_NETWORKS=networks) as made:
        yield made


async def test_a_first_call_is_one_line_with_a_sandbox_key_as_password(served: Process) -> None:
    async with httpx.AsyncClient(auth=(served.key, served.secret)) as client:
        answer = await client.post(
            served.url("/v1/disbursements"), json=payment(), headers={"Idempotency-Key": "first"}
        )
        metrics = await client.get(f"http://127.0.0.1:{served.health_port}/metrics")
        public = await client.get(served.url("/metrics"))

    assert answer.status_code == 202
    assert 'salur_http_seconds_count{operation="create_disbursement",status="202"}' in metrics.text
    assert public.status_code == 404


async def test_a_production_key_is_never_a_password(served: Process) -> None:
    made = (await served.admin("/partners/toko/production/keys")).json()
    async with httpx.AsyncClient(auth=(made["key"], made["secret"])) as client:
        answer = await client.get(served.url("/v1/channels"))

    assert answer.status_code == 403
    assert answer.json()["code"] == "ENVIRONMENT_NOT_ALLOWED"


async def test_the_address_is_the_one_that_the_last_trusted_proxy_saw(served: Process) -> None:
    await served.admin("/partners/far/x", None)
    await served.admin("/partners", {"id": "far", "name": "Far"})
    key = (await served.admin("/partners/far/sandbox/keys")).json()
    await served.admin("/partners/far/sandbox/allow-list", {"networks": ["203.0.113.7"]}, "PUT")
    async with httpx.AsyncClient(auth=(key["key"], key["secret"])) as client:

        async def status(forwarded: str) -> int:
            headers = {"X-Forwarded-For": forwarded}
            return (await client.get(served.url("/v1/channels"), headers=headers)).status_code

        assert await status("203.0.113.7") == 200
        # The first address is the caller's own claim; only what the proxy appended counts.
        assert await status("203.0.113.7, 198.51.100.1") == 403


async def test_a_forwarded_address_is_not_believed_without_a_trusted_proxy(space: Space) -> None:
    async with process(space) as direct:
        await direct.admin(
            "/partners/toko/sandbox/allow-list", {"networks": ["203.0.113.7"]}, "PUT"
        )
        async with httpx.AsyncClient(auth=(direct.key, direct.secret)) as client:
            headers = {"X-Forwarded-For": "203.0.113.7"}
            answer = await client.get(direct.url("/v1/channels"), headers=headers)

    assert answer.status_code == 403


async def test_an_unknown_setting_stops_the_start_with_its_name(space: Space) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.gateway",
        env=variables(space, list(free_ports(3)), SALUR_GATEWAY_RATELIMIT="5"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, text = await asyncio.wait_for(child.communicate(), 30)

    assert child.returncode == 78
    assert b"SALUR_GATEWAY_RATELIMIT" in text


async def test_a_large_body_is_refused_whoever_sent_it(served: Process) -> None:
    large = b'{"reference": "' + b"x" * 100_000 + b'"}'
    huge = b"x" * 3_000_000
    headers = {"Idempotency-Key": "large", "Content-Type": "application/json"}
    async with httpx.AsyncClient(auth=(served.key, served.secret)) as client:
        known = await client.post(served.url("/v1/disbursements"), content=large, headers=headers)
        endless = await client.post(served.url("/v1/disbursements"), content=huge, headers=headers)
    async with httpx.AsyncClient() as client:
        unsigned = await client.post(
            served.url("/v1/disbursements"), content=large, headers=headers
        )

    assert (known.status_code, endless.status_code, unsigned.status_code) == (413, 413, 401)


async def test_every_answer_is_as_the_published_description_says(served: Process) -> None:
    """Schemathesis: whatever is sent, no 5xx, and each answer fits docs/api/openapi.json."""
    counts = await asyncio.to_thread(_fuzz, served)

    assert set(counts) == {
        "POST /v1/disbursements",
        "GET /v1/disbursements",
        "GET /v1/disbursements/{id}",
        "POST /v1/disbursements/{id}/cancel",
        "POST /v1/account-inquiries",
        "GET /v1/balance",
        "GET /v1/channels",
        "GET /v1/events",
        "POST /v1/cashouts",
        "GET /v1/cashouts",
        "GET /v1/cashouts/{id}",
        "POST /v1/cashouts/{id}/cancel",
        "POST /v1/retail/redemptions",
        "GET /v1/retail/redemptions/{store_ref}",
        "POST /v1/retail/reversals",
        "POST /v1/retail/inquiries",
    }
    assert all(counts.values())


def _fuzz(served: Process) -> dict[str, int]:
    schema = schemathesis.openapi.from_url(served.url("/openapi.json"))
    counts: dict[str, int] = {}
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr] # a broken description fails here
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _check(operation, mode, served, counts)
    return counts


def _check(operation: Any, mode: GenerationMode, served: Process, counts: dict[str, int]) -> None:
    name = f"{operation.method.upper()} {operation.path}"
    counts.setdefault(name, 0)
    auth = served.store if "/retail/" in name else (served.key, served.secret)

    @given(operation.as_strategy(generation_mode=mode))
    @effort(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def answered(case: Any) -> None:
        counts[name] += 1
        answer = case.call(auth=auth, timeout=30)
        # Nobody decides about codes here: a 504 is a store's published answer.
        silent = "/retail/" in name and answer.status_code == GATEWAY_TIMEOUT
        wanted = CHECKS[1:] if silent else CHECKS
        case.validate_response(answer, checks=wanted)

    # An operation without any parameter cannot be asked wrongly.
    with contextlib.suppress(Unsatisfiable):
        answered()
