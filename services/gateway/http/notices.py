"""``POST /snap/{rail}/v1.0/transfer/notify``: the bank tells that a transfer came back.

Answered as SNAP BI answers: responseCode is HTTP status, service and case. Only a 200 means that
the notice is in Kafka; anything else, and the bank tells again under the same notice id.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from contracts.disburse.v1 import TransferReturned
from contracts.envelope import complaint, now_ms
from contracts.ids import derived_id, parse_public_id
from services._kit.health import respond
from services._kit.snap_signature import NoticeRefused, public_key_from, verify_notice
from services.gateway.commands import Commands, command_record
from services.gateway.http.edge import Receive, Scope, Send
from services.gateway.outlet import NotAcknowledgedError

log = structlog.get_logger()

SERVICE_CODE = "20"
BODY_BYTES_MAX = 65_536
RETURNED = "04"
_UUID_UNIX_MS_SHIFT = 80

_Id = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,64}$")]


class Notice(BaseModel):
    """A bank may say more than we read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    noticeId: _Id  # noqa: N815 - SNAP BI's own spelling
    originalPartnerReferenceNo: _Id  # noqa: N815 - the same
    originalReferenceNo: _Id | None = None  # noqa: N815 - the same
    latestTransactionStatus: str  # noqa: N815 - the same
    reason: str = ""
    transactionStatusDesc: str = ""  # noqa: N815 - the same
    returnedAt: str | None = None  # noqa: N815 - the same


class TakeNotice:
    """An ASGI endpoint of its own: banks sign otherwise than partners and read other answers."""

    def __init__(self, commands: Commands, public_keys: dict[str, str]) -> None:
        self._commands = commands
        self._keys = {rail: public_key_from(key) for rail, key in public_keys.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, case, text = await self._taken(scope, receive)
        body = {"responseCode": f"{status}{SERVICE_CODE}{case}", "responseMessage": text}
        await respond(send, status, b"application/json", orjson.dumps(body))

    async def _taken(self, scope: Scope, receive: Receive) -> tuple[int, str, str]:
        rail = scope["path_params"]["rail"]
        raw = await _read(receive)
        if raw is None:
            return 400, "00", "Bad Request: the body is too large"
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        key = self._keys.get(rail)
        if key is None:
            return 401, "00", "Unauthorized. Unknown rail"
        try:
            verify_notice(key, method="POST", path=path, body=raw, headers=headers, now=now_ms())
        except NoticeRefused as refused:
            log.warning("a notice is refused", rail=rail, reason=str(refused))
            return 401, "00", f"Unauthorized. {refused}"
        try:
            notice = Notice.model_validate_json(raw)
        except ValidationError as error:
            return 400, "01", f"Invalid Field Format {complaint(error)}"[:200]
        return await self._say(rail, notice)

    async def _say(self, rail: str, notice: Notice) -> tuple[int, str, str]:
        if notice.latestTransactionStatus != RETURNED:
            log.info("a notice says no return", rail=rail, said=notice.latestTransactionStatus[:8])
            return 200, "00", "Successful"
        life = notice.originalPartnerReferenceNo
        returned_at = _moment(notice.returnedAt)
        try:
            told = _time_of(parse_public_id("disb", life))
        except (ValueError, OverflowError):
            return 404, "01", "Transaction Not Found"
        command = TransferReturned(
            disbursement=life,
            rail=rail,
            notice=notice.noticeId,
            bank_reference=notice.originalReferenceNo,
            reason=(notice.reason or notice.transactionStatusDesc)[:500],
            returned_at=returned_at,
        )
        # No clock: the same id and bytes however often and whenever the bank tells.
        command_id = derived_id(f"{rail}/{notice.noticeId}", told, "TransferReturned")
        try:
            record = command_record(command, command_id, returned_at or told, life)
            await self._commands.say(record)
        except NotAcknowledgedError:
            return HTTPStatus.SERVICE_UNAVAILABLE, "00", "Service Unavailable. Tell again"
        log.info("a return was noted", rail=rail, disbursement=life, notice=notice.noticeId)
        return 200, "00", "Successful"


async def _read(receive: Receive) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    while True:
        message: Any = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            return None
        parts.append(chunk)
        if not message.get("more_body"):
            return b"".join(parts)


def _time_of(life: UUID) -> datetime:
    """When the life was named, which its id tells."""
    return datetime.fromtimestamp((life.int >> _UUID_UNIX_MS_SHIFT) / 1000, UTC)


def _moment(text: str | None) -> datetime | None:
    """A time that the bank wrote wrongly is no reason to lose its notice."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
