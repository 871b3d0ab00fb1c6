"""Request bodies with a limit, and answers in JSON."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response


class BodyTooLargeError(Exception):
    """The body is longer than the limit; what came of it was thrown away."""


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The raw bytes, exactly as they were signed."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise BodyTooLargeError
    return bytes(body)


def json_response(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
