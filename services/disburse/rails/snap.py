"""A SNAP BI bank, as its client (SNAP BI 1.0.2; paths and service codes as in the standard).

What is signed is what is sent, to the byte. One rail is one lane and has one token.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from services._kit.snap_signature import (
    private_key_from,
    service_signature,
    timestamp,
    token_signature,
)
from services.disburse.rails import (
    Beneficiary,
    InquiryAnswer,
    InquiryUnclear,
    Order,
    RailUnavailable,
    Request,
    SendAnswer,
    SignedRequest,
    StatementLine,
    StatusAnswer,
    TokenExpired,
    TokenRefused,
    Unclear,
    bodies,
)
from services.disburse.rails.answers import Reply, inquiry_answer, send_answer, status_answer
from services.disburse.rails.directory import RailConfig
from services.disburse.rails.statement import LINES_PER_PAGE, PAGES_MAX, has_more, lines_of
from services.disburse.rails.tokens import Token, TokenCache
from services.disburse.rails.wire import NoReply, Wire

_HTTP_OK, _HTTP_BAD_REQUEST, _HTTP_UNAUTHORISED = 200, 400, 401
_HTTP_TOO_MANY, _HTTP_SERVER_ERROR = 429, 500
_TOKEN_LIFE_S, _TOKEN_LIFE_S_MAX = 900, 86_400
_LIFE = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
# What a header may carry.
_TOKEN = re.compile(r"[!-~]{1,4096}", re.ASCII)
_ANSWER_BYTES_MAX, _STATEMENT_BYTES_MAX = 65_536, 2_097_152
# Calls use their own connections; one more lets a token be fetched while all are busy.
_SPARE_CONNECTIONS = 1

_log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class SnapRail:
    """See ``Rail``.

    Args:
        config: the rail's settings.
        transport: replaces the network in tests.
        clock: the time, aware.

    Raises:
        SnapKeyError: our private key cannot be used.
    """

    def __init__(
        self,
        config: RailConfig,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._config = config
        self._clock = clock
        self._key: RSAPrivateKey = private_key_from(config.private_key.get_secret_value())
        self._tokens = TokenCache(self._fetch_token, clock)
        self._wire = Wire(
            str(config.base_url).rstrip("/"),
            connections_max=config.concurrency + _SPARE_CONNECTIONS,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"SnapRail({self.name!r})"

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def dedupes_reference(self) -> bool:
        return self._config.dedupes_reference

    @property
    def concurrency(self) -> int:
        return self._config.concurrency

    @property
    def not_found_after_s(self) -> float:
        return self._config.not_found_after_s

    @property
    def attempt_deadline_s(self) -> float:
        """Inquire, sign, call, sign again, call again; each pair within ``_harmless_s``."""
        return 3 * self._harmless_s

    @property
    def _harmless_s(self) -> float:
        return self._config.token_timeout_s + self._config.call_timeout_s

    async def sign(self, order: Order) -> SignedRequest:
        token = await self._tokens.get()
        service = self._service(order)
        fields = bodies.transfer(
            order, service, self._config.source_account, self._config.unnamed_beneficiary
        )
        request = self._signed(service, orjson.dumps(fields), token)
        return SignedRequest(order=order, request=request)

    async def call(self, signed: SignedRequest) -> SendAnswer:
        now = self._clock()
        if now >= signed.request.expires_at:
            # It waited too long between note and call. Nothing was sent, so this is definite.
            self._tokens.drop(signed.request.token)
            return TokenExpired()
        try:
            reply = await self._post(signed.request)
        except NoReply as error:
            return Unclear(str(error))
        return send_answer(reply, signed.order, self._clock())

    async def ask(self, order: Order) -> StatusAnswer:
        fields = bodies.status(order, self._service(order))
        try:
            return status_answer(await self._harmless(bodies.STATUS, fields), order)
        except (NoReply, RailUnavailable) as error:
            return Unclear(str(error))

    async def inquire(self, destination: Beneficiary, reference: str) -> InquiryAnswer:
        service, fields = bodies.inquiry(self._config.bank_bic, destination, reference)
        try:
            return inquiry_answer(await self._harmless(service, fields))
        except (NoReply, RailUnavailable) as error:
            return InquiryUnclear(str(error))

    async def statement(self, since: datetime, until: datetime) -> list[StatementLine]:
        found: list[StatementLine] = []
        last: list[StatementLine] = []
        for pages_read in range(1, PAGES_MAX + 1):
            page = self._config.first_page + pages_read - 1
            fields = await self._statement_page(since, until, page)
            lines = lines_of(fields)
            if lines and lines == last:
                raise RailUnavailable("the bank repeats a page of its statement")
            found += lines
            if not lines or not has_more(fields, lines, pages_read):
                return found
            last = lines
        raise RailUnavailable(f"the statement has more than {PAGES_MAX} pages")

    async def aclose(self) -> None:
        await self._tokens.aclose()
        await self._wire.aclose()

    async def _statement_page(self, since: datetime, until: datetime, page: int) -> dict[str, Any]:
        fields = bodies.statement(self._config.source_account, since, until, page, LINES_PER_PAGE)
        try:
            reply = await self._harmless(bodies.STATEMENT, fields, _STATEMENT_BYTES_MAX)
        except NoReply as error:
            raise RailUnavailable(str(error)) from None
        if reply.case != "200xx00" or reply.fields is None:
            raise RailUnavailable(f"no statement: {reply.response_code or reply.http_status}")
        return dict(reply.fields)

    def _service(self, order: Order) -> str:
        return bodies.transfer_service(self._config.bank_bic, order.destination.bank_bic)

    async def _harmless(
        self, service: str, fields: Mapping[str, Any], bytes_max: int = _ANSWER_BYTES_MAX
    ) -> Reply:
        """A call that moves nothing: with a refused token it is signed and called once more.

        All of it within the deadlines of one token and one call.
        """
        body = orjson.dumps(fields)
        try:
            async with asyncio.timeout(self._harmless_s):
                for _ in range(2):
                    request = self._signed(service, body, await self._tokens.get())
                    reply = await self._post(request, bytes_max)
                    if reply.http_status != _HTTP_UNAUTHORISED:
                        break
        except TimeoutError:
            raise NoReply(f"no answer within {self._harmless_s:g} s") from None
        return reply

    def _signed(self, service: str, body: bytes, token: Token) -> Request:
        path, at = bodies.PATHS[service], timestamp(self._clock())
        # Numeric, unique per calendar day, at most 36 characters (SNAP BI 1.0.2, X-EXTERNAL-ID).
        external_id = f"{secrets.randbelow(10**32):032d}"
        signature = service_signature(
            self._config.client_secret.get_secret_value(),
            method="POST", path=path, token=token.text, body=body, at=at,
        )  # fmt: skip
        headers = (
            ("Content-Type", "application/json"),
            ("Authorization", f"Bearer {token.text}"),
            ("X-TIMESTAMP", at),
            ("X-SIGNATURE", signature),
            ("X-PARTNER-ID", self._config.partner_id),
            ("X-EXTERNAL-ID", external_id),
            ("CHANNEL-ID", self._config.channel_id),
        )
        return Request(service, path, external_id, token.expires_at, token.text, headers, body)

    async def _post(self, request: Request, bytes_max: int = _ANSWER_BYTES_MAX) -> Reply:
        status, fields = await self._wire.post(
            request.path, headers=request.headers, body=request.body,
            deadline_s=self._config.call_timeout_s, bytes_max=bytes_max,
        )  # fmt: skip
        if status == _HTTP_UNAUTHORISED:
            self._tokens.drop(request.token)
        return Reply(status, request.service, fields)

    async def _fetch_token(self) -> Token:
        asked_at = self._clock()
        at = timestamp(asked_at)
        headers = (
            ("Content-Type", "application/json"),
            ("X-TIMESTAMP", at),
            ("X-CLIENT-KEY", self._config.client_id),
            ("X-SIGNATURE", token_signature(self._key, self._config.client_id, at)),
        )
        try:
            status, fields = await self._wire.post(
                bodies.TOKEN_PATH, headers=headers,
                body=bodies.TOKEN_BODY,
                deadline_s=self._config.token_timeout_s, bytes_max=_ANSWER_BYTES_MAX,
            )  # fmt: skip
        except NoReply as error:
            raise RailUnavailable(f"no token: {error}") from None
        return self._token_of(status, fields or {}, asked_at)

    def _token_of(self, status: int, fields: Mapping[str, Any], asked_at: datetime) -> Token:
        if _HTTP_BAD_REQUEST <= status < _HTTP_SERVER_ERROR and status != _HTTP_TOO_MANY:
            raise TokenRefused(f"no token: HTTP {status} {fields.get('responseCode', '')}".strip())
        text = fields.get("accessToken")
        life = str(fields.get("expiresIn", _TOKEN_LIFE_S))
        if status != _HTTP_OK or not isinstance(text, str) or not _TOKEN.fullmatch(text):
            raise RailUnavailable(f"no token: HTTP {status}")
        if not _LIFE.fullmatch(life):
            raise RailUnavailable("no token: its life is not a number of seconds")
        life_s = min(int(life), _TOKEN_LIFE_S_MAX)
        if timedelta(seconds=life_s) > timedelta(seconds=self.not_found_after_s):
            # A stalled request could be accepted after "not found" was believed.
            _log.warning("bank_token_outlives_not_found_after_s", rail=self.name, life_s=life_s)
        return Token.living(text, asked_at, life_s)
