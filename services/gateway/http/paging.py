"""Lists: newest first, page by page, under a cursor that says nothing to its holder."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from contracts.ids import parse_public_id
from services.gateway.http.problems import FieldError, from_errors

LIMIT = 20
LIMIT_MAX = 100
_DIGITS_MAX = 3


class Page:
    """``?limit=&cursor=`` of one request.

    Raises:
        Problem: 422 for a parameter that is unknown or wrong.
    """

    def __init__(self, query: Mapping[str, str], prefix: str, known: Sequence[str] = ()) -> None:
        errors = [
            FieldError(name[:64], "is no parameter of this list")
            for name in query
            if name not in (*known, "limit", "cursor")
        ]
        self.limit, self.before = LIMIT, None
        limit = query.get("limit")
        if limit is not None:
            if limit.isascii() and limit.isdigit() and len(limit) <= _DIGITS_MAX:
                self.limit = int(limit)
            if str(self.limit) != limit or not 1 <= self.limit <= LIMIT_MAX:
                errors.append(FieldError("limit", f"must be a number from 1 to {LIMIT_MAX}"))
        cursor = query.get("cursor")
        if cursor is not None:
            self.before = _opened(cursor, prefix)
            if self.before is None:
                errors.append(FieldError("cursor", "is not a next_cursor of this list"))
        if errors:
            raise from_errors(errors)

    def narrowed(self, query: dict[str, Any]) -> dict[str, Any]:
        return query | ({"_id": {"$lt": self.before}} if self.before else {})

    def answer(self, rows: Sequence[Any], ids: Sequence[str]) -> dict[str, Any]:
        """``rows`` and ``ids`` have one more than the limit if there is a next page."""
        more = len(rows) > self.limit
        last = ids[self.limit - 1] if more else ""
        cursor = base64.urlsafe_b64encode(last.encode()).decode().rstrip("=") if more else None
        return {"data": list(rows[: self.limit]), "next_cursor": cursor}


def moment_of(query: Mapping[str, str], name: str, errors: list[FieldError]) -> datetime | None:
    """An aware time among the parameters."""
    text = query.get(name)
    if text is None:
        return None
    try:
        # A plus that was not escaped has become a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        if moment.tzinfo is None:
            raise ValueError
    except ValueError:
        errors.append(FieldError(name, "must be ISO-8601 with an offset"))
        return None
    return moment


def _opened(cursor: str, prefix: str) -> str | None:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        parse_public_id(prefix, raw)
    except (binascii.Error, UnicodeError, ValueError):
        return None
    return raw
