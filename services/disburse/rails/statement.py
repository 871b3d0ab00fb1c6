"""Reads a bank's statement (SNAP BI service 14) into lines.

The standard leaves open where a bank repeats our reference and how it pages. Read here: a field of
the line, of its ``detailInfo`` or ``additionalInfo``, or the reference inside the remark.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.disburse.rails import RailUnavailable, StatementLine
from services.disburse.rails.answers import moment_of, whole_rupiah

LINES_PER_PAGE: Final = 100
PAGES_MAX: Final = 1_000

_REFERENCE = re.compile(r"disb_[0-9A-HJKMNP-TV-Z]{26}")
_KINDS: Final = {"D": "DEBIT", "C": "CREDIT"}


def lines_of(fields: Mapping[str, Any]) -> list[StatementLine]:
    """The lines of one page.

    Raises:
        RailUnavailable: a line has no kind or time. A statement with a hole proves nothing.
    """
    rows = fields.get("detailData", [])
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise RailUnavailable("the statement has no list of lines")
    return [_line(row) for row in rows]


def has_more(fields: Mapping[str, Any], lines: Sequence[StatementLine], pages_read: int) -> bool:
    """Whether another page follows, in each way that banks say it."""
    said = fields.get("hasMore")
    if said is not None:
        return str(said).upper() in {"Y", "YES", "TRUE"}
    total = fields.get("totalPage", fields.get("totalPages"))
    if total is not None and str(total).isdecimal():
        return pages_read < int(str(total))
    return len(lines) >= LINES_PER_PAGE


def _line(row: object) -> StatementLine:
    if not isinstance(row, Mapping):
        raise RailUnavailable("a line of the statement is not an object")
    kind = _KINDS.get(str(row.get("type", "")).upper()[:1])
    at = moment_of(str(row.get("transactionDate", "")))
    if kind is None or at is None:
        raise RailUnavailable("a line of the statement has no type or no time")
    amount = row.get("amount")
    value = amount.get("value") if isinstance(amount, Mapping) else amount
    remark = str(row.get("remark") or "")
    return StatementLine(
        kind="DEBIT" if kind == "DEBIT" else "CREDIT",
        amount=whole_rupiah(value),
        reference=_named(row, "partnerReferenceNo") or _inside(remark),
        bank_reference=_named(row, "referenceNo") or _named(row, "transactionId"),
        at=at,
        remark=remark[:200],
    )


def _named(row: Mapping[str, Any], name: str) -> str | None:
    for place in (row, row.get("detailInfo"), row.get("additionalInfo")):
        if isinstance(place, Mapping) and (value := place.get(name)):
            return str(value)[:64]
    return None


def _inside(remark: str) -> str | None:
    found = _REFERENCE.search(remark)
    return found.group() if found else None
