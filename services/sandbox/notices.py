"""The bank tells that a transfer came back: signed with its own key, until somebody says yes.

``POST <notify_url>/snap/<rail>/v1.0/transfer/notify``. X-SIGNATURE is base64 SHA256withRSA over
``POST:<path>:<lowerhex(sha256(raw body))>:<X-TIMESTAMP>``, the path as it is posted to. Each
attempt has its own time and X-EXTERNAL-ID; ``noticeId`` stays, also over a restart.
"""

import asyncio
import base64
import contextlib
import hashlib
import heapq
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from services.sandbox.books import Books, Transfer
from services.sandbox.settings import Settings, private_key
from services.sandbox.snap import money, shown

AT_ONCE_MAX = 20
REASON = "Returned by the beneficiary bank: account closed"

log = structlog.get_logger()


@dataclass(order=True, slots=True)
class Notice:
    due_at: datetime
    reference: str
    attempt: int = field(default=0, compare=False)


class Notices:
    """Sends each return's notice; ``transport`` stands in for the network in tests."""

    def __init__(
        self, settings: Settings, books: Books, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._books = books
        self._key = private_key(settings.bank_private_key.get_secret_value())
        self._transport = transport
        self._waiting: list[Notice] = []
        self._changed = asyncio.Event()
        for transfer in books.returns():
            self.expect(transfer)

    def expect(self, transfer: Transfer) -> None:
        """Notify when its return falls due."""
        if self._settings.notify and transfer.returns_at:
            heapq.heappush(self._waiting, Notice(transfer.returns_at, transfer.reference))
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled. A slow listener holds up at most the notices of its own batch."""
        async with httpx.AsyncClient(
            transport=self._transport, timeout=self._settings.notify_timeout_s
        ) as client:
            while True:
                batch = self._due(datetime.now(UTC))
                if batch:
                    await asyncio.gather(*(self._attempt(client, notice) for notice in batch))
                else:
                    await self._sleep()

    def _due(self, now: datetime) -> list[Notice]:
        batch: list[Notice] = []
        while self._waiting and self._waiting[0].due_at <= now and len(batch) < AT_ONCE_MAX:
            batch.append(heapq.heappop(self._waiting))
        return batch

    async def _sleep(self) -> None:
        self._changed.clear()
        wait_s = None
        if self._waiting:
            wait_s = max((self._waiting[0].due_at - datetime.now(UTC)).total_seconds(), 0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), wait_s)

    async def _attempt(self, client: httpx.AsyncClient, notice: Notice) -> None:
        transfer = self._books.transfers[notice.reference]
        try:
            response = await client.send(self._request(transfer))
            said = str(response.status_code)
            taken = response.is_success
        except httpx.HTTPError as error:
            said, taken = type(error).__name__, False
        log.info(
            "notice_sent",
            reference=notice.reference,
            attempt=notice.attempt,
            said=said,
            taken=taken,
        )
        if taken:
            self._books.note_notified(notice.reference)
        else:
            self._again(notice, transfer)

    def _again(self, notice: Notice, transfer: Transfer) -> None:
        assert transfer.returns_at, "only a returned transfer has a notice"
        now = datetime.now(UTC)
        if now - transfer.returns_at > timedelta(seconds=self._settings.notify_give_up_s):
            log.warning("notice_given_up", reference=notice.reference)
            return
        # The exponent is capped, because 2 to the power of a day's attempts is no float.
        wait_s = min(
            self._settings.notify_backoff_s * 2 ** min(notice.attempt, 16),
            self._settings.notify_backoff_max_s,
        )
        later = Notice(now + timedelta(seconds=wait_s), notice.reference, notice.attempt + 1)
        heapq.heappush(self._waiting, later)

    def _request(self, transfer: Transfer) -> httpx.Request:
        settings = self._settings
        base = str(settings.notify_url).rstrip("/")
        url = httpx.URL(f"{base}/snap/{settings.notify_rail}/v1.0/transfer/notify")
        body = _body(transfer)
        timestamp = shown(datetime.now(UTC))
        text = f"POST:{url.path}:{hashlib.sha256(body).hexdigest()}:{timestamp}"
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        headers = {
            "Content-Type": "application/json",
            "X-TIMESTAMP": timestamp,
            "X-SIGNATURE": base64.b64encode(signature).decode(),
            "X-PARTNER-ID": settings.client_id,
            "X-EXTERNAL-ID": f"{secrets.randbelow(10**18):018d}",
        }
        return httpx.Request("POST", url, headers=headers, content=body)


def _body(transfer: Transfer) -> bytes:
    assert transfer.returns_at, "only a returned transfer has a notice"
    return orjson.dumps(
        {
            "noticeId": f"RTN{transfer.reference_no}",
            "originalPartnerReferenceNo": transfer.reference,
            "originalReferenceNo": transfer.reference_no,
            "serviceCode": transfer.service,
            "amount": money(transfer.amount),
            "latestTransactionStatus": "04",
            "transactionStatusDesc": REASON,
            "reason": REASON,
            "returnedAt": shown(transfer.returns_at),
        }
    )
