"""The bank over HTTP: SNAP BI, and two views for tests that a bank would not have."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.sandbox.bodies import BodyTooLargeError, json_response, read_body
from services.sandbox.books import Books, Transfer
from services.sandbox.counter import INTERBANK, INTRABANK, Answer, Call, Counter
from services.sandbox.gate import BASE, Gate
from services.sandbox.settings import Settings
from services.sandbox.snap import Fields, RefusalError, answer

Handler = Callable[[Call], Awaitable[Answer]]


class Bank:
    """Answers SNAP BI calls out of its books.

    ``returning`` is told of each transfer that will be returned, so that its notice is sent.
    """

    def __init__(
        self, settings: Settings, books: Books, returning: Callable[[Transfer], None]
    ) -> None:
        self._settings = settings
        self._books = books
        self._gate = Gate(settings)
        self._counter = Counter(settings, books, returning)

    def routes(self) -> list[Route]:
        counter = self._counter
        services: dict[str, tuple[str, Handler]] = {
            "balance-inquiry": ("11", counter.balance),
            "bank-statement": ("14", counter.statement),
            "account-inquiry-internal": ("15", counter.inquiry),
            "account-inquiry-external": ("16", counter.inquiry),
            "transfer-intrabank": (INTRABANK, counter.transfer),
            "transfer-interbank": (INTERBANK, counter.transfer),
            "transfer/status": ("36", counter.status),
        }
        return [
            Route(f"{BASE}/v1.0/access-token/b2b", self._token, methods=["POST"]),
            *(
                Route(f"{BASE}/v1.0/{path}", self._endpoint(service, handler), methods=["POST"])
                for path, (service, handler) in services.items()
            ),
            Route(f"{BASE}/executions", self._executions, methods=["GET"]),
            Route(f"{BASE}/executions/count", self._count, methods=["GET"]),
        ]

    async def _token(self, request: Request) -> Response:
        service = "73"
        try:
            body = await self._body(request)
            token = self._gate.token(request.headers, body, _now())
        except RefusalError as refusal:
            return _response(answer(refusal.case, service, refusal.detail))
        life = str(self._settings.token_life_s)
        return _response(
            answer("200xx00", service, accessToken=token, tokenType="BearerToken", expiresIn=life)
        )

    def _endpoint(self, service: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                body = await self._body(request)
                path = request.url.path
                if request.url.query:
                    path = f"{path}?{request.url.query}"
                self._gate.admit(path, request.headers, body, _now())
                await asyncio.sleep(self._settings.latency_ms / 1000)
                external_id = request.headers["x-external-id"]
                result = await handler(Call(service, external_id, Fields.of(body), _now()))
            except RefusalError as refusal:
                result = answer(refusal.case, service, refusal.detail)
            return _response(result)

        return endpoint

    async def _body(self, request: Request) -> bytes:
        try:
            return await read_body(request, self._settings.body_bytes_max)
        except BodyTooLargeError:
            raise RefusalError("400xx00", "[too large]") from None

    async def _executions(self, request: Request) -> Response:
        """For tests only: what left the bank, so that a crash test can prove that it left once."""
        now = _now()
        wanted = request.query_params.get("reference")
        found = self._books.transfers
        chosen = [found[wanted]] if wanted in found else [] if wanted else list(found.values())
        rows = [self._execution(transfer, now) for transfer in chosen if transfer.executed(now)]
        return json_response({"data": rows})

    def _execution(self, transfer: Transfer, now: datetime) -> dict[str, Any]:
        return {
            "reference": transfer.reference,
            "bank_reference": transfer.reference_no,
            "trace_no": transfer.trace_no,
            "amount": transfer.amount,
            "account": transfer.account,
            "status": transfer.status(now),
            "executed_at": transfer.executes_at,
            "returned_at": transfer.returns_at if transfer.returned(now) else None,
            "notified": transfer.reference in self._books.notified,
            "repeats_refused": self._books.repeats.get(transfer.reference, 0),
        }

    async def _count(self, _request: Request) -> Response:
        """For tests only: sums over everything that the bank ever did."""
        now = _now()
        everything = self._books.transfers.values()
        executed = [transfer for transfer in everything if transfer.executed(now)]
        returned = [transfer for transfer in executed if transfer.returned(now)]
        return json_response(
            {
                "executed": len(executed),
                "amount": sum(transfer.amount for transfer in executed),
                "returned": len(returned),
                "amount_returned": sum(transfer.amount for transfer in returned),
                "refused": sum(1 for transfer in everything if transfer.refused),
                "repeats_refused": sum(self._books.repeats.values()),
            }
        )


def _now() -> datetime:
    return datetime.now(UTC)


def _response(result: Answer) -> Response:
    status, body = result
    return Response(body, status, media_type="application/json")
