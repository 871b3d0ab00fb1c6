"""SIGKILL for every service in the middle of 500 disbursements: nothing lost, doubled or stuck."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local import stack
from deploy.local.sandbox_partner import Partner, open_partner
from tests.support.partner_client import PartnerClient, to_bank, to_wallet
from tests.support.whole import platform_on

ROOT = Path(__file__).parents[2]
COUNT, RATE_PER_S = 500, 40
KILLED = ("disburse", "ledger", "sandbox", "callbacks", "gateway", "disburse", "ledger")
KILL_EVERY_S = 1.7
DOWN_S = 0.3
ENDS_WITHIN_S = 110

# Mostly ordinary ones, and some of each kind that a bank makes difficult.
ACCOUNTS = ("0123456789",) * 14 + ("9999990001", "1414140001", "1313130001", "6543210001")


@pytest.fixture(scope="module")
def own_platform(kafka_url: str, mongo_url: str) -> Iterator[stack.LocalPlatform]:
    # Two of each where partitions are shared: every kill is a rebalance for the other.
    copies = {"ledger": 2, "disburse": 2, "callbacks": 2}
    with platform_on(kafka_url, mongo_url, copies=copies) as running:
        yield running


@pytest.fixture(scope="module")
def own_partner(own_platform: stack.LocalPlatform) -> Partner:
    return open_partner(own_platform)


async def test_killing_every_service_loses_doubles_and_strands_nothing(
    own_platform: stack.LocalPlatform, own_partner: Partner
) -> None:
    async with (
        PartnerClient(own_platform.url, own_partner.key, own_partner.secret) as client,
        httpx.AsyncClient(base_url=own_platform.sandbox_url, timeout=30) as sandbox,
    ):
        killer = asyncio.create_task(_kill(own_platform))
        accepted = await _send_all(client)
        kills = await killer

        lives = await _all_ended(client, accepted)
        executed = await _executions(sandbox)
        told = await _all_told(sandbox, lives)

    assert kills == len(KILLED)
    assert len(set(accepted.values())) == COUNT, "one life per request, whatever was sent again"
    _nothing_is_paid_twice_or_unpaid(lives, executed)
    _everyone_is_told(lives, told)
    done = await asyncio.to_thread(_verify, own_platform)
    assert done.returncode == 0, done.stdout + done.stderr


async def _kill(platform: stack.LocalPlatform) -> int:
    kills = 0
    for service in KILLED:
        await asyncio.sleep(KILL_EVERY_S)
        process = platform.of(service)
        process.kill()
        kills += 1
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(process.start)
    for process in platform.processes:
        await asyncio.to_thread(process.wait_ready, 60)
    return kills


async def _send_all(client: PartnerClient) -> dict[str, str]:
    """Reference to id. Who gets no answer asks again under the same key, as a partner would."""
    accepted: dict[str, str] = {}

    async def one(number: int) -> None:
        await asyncio.sleep(number / RATE_PER_S)
        reference = f"crash-{number}"
        if number % 9 == 0:
            body = to_wallet(reference, 20_000)
        else:
            body = to_bank(reference, 20_000, ACCOUNTS[number % len(ACCOUNTS)])
        accepted[reference] = await _accepted(client, body)

    await asyncio.gather(*(one(number) for number in range(COUNT)))
    return accepted


async def _accepted(client: PartnerClient, body: dict[str, Any]) -> str:
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await client.post(
                    "/v1/disbursements", body, idempotency_key=body["reference"]
                )
            except httpx.TransportError:
                await asyncio.sleep(0.3)
                continue
            if answer.status_code in {200, 202}:
                return str(answer.json()["id"])
            # Busy or down, or the first try is still being written: ask again, never anew.
            assert answer.status_code in {409, 503}, answer.text
            await asyncio.sleep(0.3)


async def _all_ended(client: PartnerClient, accepted: dict[str, str]) -> dict[str, dict[str, Any]]:
    lives: dict[str, dict[str, Any]] = {}
    async with asyncio.timeout(ENDS_WITHIN_S):
        while len(lives) < COUNT:
            for life in set(accepted.values()) - lives.keys():
                now = (await client.get(f"/v1/disbursements/{life}")).json()
                if _is_final(now):
                    lives[life] = now
            await asyncio.sleep(0.5)
    return lives


def _is_final(life: dict[str, Any]) -> bool:
    if life["status"] == "succeeded":
        return int(life["reference"].removeprefix("crash-")) not in RETURNED
    return life["status"] in {"failed", "reversed"}


RETURNED = {
    number
    for number in range(COUNT)
    if number % 9 and ACCOUNTS[number % len(ACCOUNTS)] == "6543210001"
}


async def _executions(sandbox: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    rows = (await sandbox.get("/bank/executions")).json()["data"]
    assert max(Counter(row["reference"] for row in rows).values()) == 1
    return {row["reference"]: row for row in rows}


def _nothing_is_paid_twice_or_unpaid(
    lives: dict[str, dict[str, Any]], executed: dict[str, dict[str, Any]]
) -> None:
    paid = {one for one, life in lives.items() if life["status"] in {"succeeded", "reversed"}}
    left_the_bank = {one for one, row in executed.items() if row["executed_at"] is not None}
    assert paid == left_the_bank & lives.keys()
    returned = {one for one, row in executed.items() if row["returned_at"] is not None}
    assert {one for one, life in lives.items() if life["status"] == "reversed"} == returned


async def _all_told(
    sandbox: httpx.AsyncClient, lives: dict[str, dict[str, Any]]
) -> dict[str, set[str]]:
    expected = sum(2 if life["status"] == "reversed" else 1 for life in lives.values())
    told: dict[str, set[str]] = {}
    after = 0
    async with asyncio.timeout(60):
        while sum(len(kinds) for kinds in told.values()) < expected:
            page = (await sandbox.get("/merchant/callbacks", params={"after": after})).json()
            for row in page["data"]:
                after = max(after, row["number"])
                assert row["verified"]
                told.setdefault(row["body"]["data"]["id"], set()).add(row["type"])
            if not page["data"]:
                await asyncio.sleep(0.3)
    return told


def _everyone_is_told(lives: dict[str, dict[str, Any]], told: dict[str, set[str]]) -> None:
    for one, life in lives.items():
        kinds = {f"disbursement.{life['status']}"}
        if life["status"] == "reversed":
            kinds.add("disbursement.succeeded")
        assert told[one] == kinds


def _verify(platform: stack.LocalPlatform) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.verify"],
        cwd=ROOT,
        env=platform.variables,
        capture_output=True,
        text=True,
        check=False,
    )
