"""The till's part of ``make bench``: R redemptions a second while R disbursements run beside them.

Codes are asked for first and are not timed. The time of an answer is that of the store's HTTP
request, from its first byte until the whole answer is read, through Kafka and back.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

from deploy.local.sandbox_partner import Partner
from tests.support.partner_client import PartnerClient

AMOUNT = 50_000
# One at a time before the load; the first few warm it up and are not counted.
_ALONE, _WARM = 100, 5
_ASKING_AT_ONCE = 16


@dataclass
class Answers:
    """``took_ms`` of each redemption that was answered under load, ``alone_ms`` of those on an idle
    platform, and what was said how often.
    """

    took_ms: list[float] = field(default_factory=list)
    alone_ms: list[float] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)


async def measure(
    partner: Partner, count: int, rate: float, beside: Callable[[int], Awaitable[None]]
) -> Answers:
    """Open loop, both at ``rate``; ``beside`` sends disbursement number i."""
    async with PartnerClient(partner.url, partner.key, partner.secret) as client:
        codes = await _codes(client, count + _ALONE + _WARM)
    await _told(partner.sandbox_url, len(codes))
    answers = Answers()
    async with PartnerClient(partner.url, partner.store_key, partner.store_secret) as store:
        for number in range(count, count + _ALONE + _WARM):
            await _redeem(store, answers, number, codes[number])
        answers.alone_ms, answers.took_ms = answers.took_ms[_WARM:], []
        begun = time.monotonic()
        tasks: list[asyncio.Task[None]] = []
        for number in range(count):
            await asyncio.sleep(begun + number / rate - time.monotonic())
            tasks += [
                asyncio.create_task(_redeem(store, answers, number, codes[number])),
                asyncio.ensure_future(beside(number)),
            ]
        await asyncio.gather(*tasks)
    return answers


async def _codes(client: PartnerClient, count: int) -> dict[int, str]:
    turns = asyncio.Semaphore(_ASKING_AT_ONCE)
    codes: dict[int, str] = {}

    async def ask(number: int) -> None:
        reference = f"bench-till-{number}"
        body = {
            "reference": reference,
            "amount": AMOUNT,
            "phone": _phone(number),
            "recipient_name": "Ani",
        }
        async with turns:
            answer = await client.post(
                "/v1/cashouts", body, idempotency_key=reference, prefer="wait=20"
            )
        assert answer.status_code == httpx.codes.OK, answer.text
        codes[number] = answer.json()["code"]

    await asyncio.gather(*(ask(number) for number in range(count)))
    return codes


async def _told(sandbox: str, count: int) -> None:
    """Until the merchant was told of each code, so that this work is not measured."""
    query: dict[str, str | int] = {"type": "cashout.active", "limit": 0}
    async with asyncio.timeout(120), httpx.AsyncClient(base_url=sandbox) as merchant:
        while True:
            page = await merchant.get("/merchant/callbacks", params=query)
            if page.json()["total"] >= count:
                return
            await asyncio.sleep(0.5)


async def _redeem(store: PartnerClient, answers: Answers, number: int, code: str) -> None:
    body = {
        "store_ref": f"bench-{number}",
        "store_id": f"T{number % 50:04d}",
        "terminal_id": "01",
        "code": code,
        "phone": _phone(number),
        "amount": AMOUNT,
    }
    begun = time.monotonic()
    try:
        answer = await store.post("/v1/retail/redemptions", body)
    except httpx.HTTPError as error:
        answers.said[type(error).__name__] += 1
        return
    answers.took_ms.append(1000 * (time.monotonic() - begun))
    found = answer.json()
    answers.said[str(found.get("reason") or found.get("result") or found.get("code"))] += 1


def _phone(number: int) -> str:
    return f"0813{number:08d}"
