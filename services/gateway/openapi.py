"""The published truth: OpenAPI 3.1 made from the models that parse and the table of problems.

``python -m services.gateway.openapi [folder]`` writes docs/api anew; a test compares.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.gateway.http import models
from services.gateway.http.paging import LIMIT, LIMIT_MAX
from services.gateway.http.problems import CONTENT_TYPE, PROBLEMS, pages
from services.gateway.http.reading import STATUSES

Json = dict[str, Any]

_ALWAYS = (
    "AUTHENTICATION_REQUIRED",
    "SIGNATURE_INVALID",
    "TIMESTAMP_OUT_OF_RANGE",
    "ADDRESS_NOT_ALLOWED",
    "ENVIRONMENT_NOT_ALLOWED",
    "BODY_TOO_LARGE",
    "RATE_LIMITED",
    "INTERNAL_ERROR",
    "UNAVAILABLE",
    "OVERLOADED",
)
_DESTINATION = ("VALIDATION_FAILED", "UNKNOWN_BANK", "UNKNOWN_WALLET", "CHANNEL_NOT_SUPPORTED")
_BODY = ("MALFORMED_JSON", "UNSUPPORTED_MEDIA_TYPE")
_KEYED = ("IDEMPOTENCY_KEY_MISSING", "IDEMPOTENCY_KEY_REUSED")


@dataclass(frozen=True)
class Described:
    """One operation for people. ``answers``: status to (model, when)."""

    name: str
    summary: str
    description: str
    answers: Mapping[int, tuple[type[BaseModel], str]]
    body: type[BaseModel] | None = None
    parameters: Sequence[str] = ()
    problems: Sequence[str] = ()
    body_optional: bool = field(default=False)


# What a request may carry beside its signature.
PARAMETERS: dict[str, Json] = {
    "Idempotency-Key": {
        "in": "header",
        "required": True,
        "description": "Yours. A repeat with the same key and bytes gets the first answer.",
        "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,128}$"},
        "example": "payroll-7-ani",
    },
    "Prefer": {
        "in": "header",
        "description": "wait=N, at most 20: answer as soon as the payment has ended.",
        "schema": {"type": "string", "pattern": "^wait=([0-9]|1[0-9]|20)$"},
        "example": "wait=1",
    },
    "id": {
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^disb_[0-9A-HJKMNP-TV-Z]{26}$"},
        "example": "disb_01K0PQX2M4ZJ8Y6T3V5W7N9RBC",
    },
    "limit": {
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
    },
    "cursor": {
        "in": "query",
        "description": "next_cursor of the page before",
        "schema": {"type": "string", "minLength": 1, "maxLength": 64},
    },
    "reference": {"in": "query", "schema": {"type": "string", "maxLength": 64}},
    "status": {"in": "query", "schema": {"type": "string", "enum": list(STATUSES)}},
    "created_from": {
        "in": "query",
        "description": "made then or later",
        "schema": {"type": "string", "format": "date-time"},
    },
    "created_to": {
        "in": "query",
        "description": "made before then",
        "schema": {"type": "string", "format": "date-time"},
    },
    "type": {"in": "query", "schema": {"type": "string", "maxLength": 64}},
    "about": {
        "in": "query",
        "description": "the id of what the event tells of",
        "schema": {"type": "string", "maxLength": 64},
    },
}
_PAGE = ("limit", "cursor")

OPERATIONS: dict[tuple[str, str], Described] = {
    ("POST", "/v1/disbursements"): Described(
        "create_disbursement",
        "Pay a bank account or an e-wallet",
        "Answers 202 when the request is safely taken in; what ledger or bank decide follows as "
        "status, also under Prefer: wait. After a 5xx, a time-out or a broken connection send the "
        "same bytes under the same Idempotency-Key again: the money leaves once.",
        {
            202: (models.DisbursementShown, "Taken in"),
            200: (models.DisbursementShown, "Ended: by Prefer: wait, or a repeat of an ended one"),
        },
        body=models.DisbursementRequest,
        parameters=("Idempotency-Key", "Prefer"),
        problems=(
            *_BODY,
            *_KEYED,
            *_DESTINATION,
            "DUPLICATE_REFERENCE",
            "REQUEST_IN_PROGRESS",
            "AMOUNT_BELOW_MINIMUM",
            "AMOUNT_ABOVE_MAXIMUM",
            "AMOUNT_NOT_A_MULTIPLE",
        ),
    ),
    ("GET", "/v1/disbursements"): Described(
        "list_disbursements",
        "List disbursements, newest first",
        "Also the way to find one by its reference.",
        {200: (models.DisbursementList, "A page")},
        parameters=(*_PAGE, "reference", "status", "created_from", "created_to"),
        problems=("VALIDATION_FAILED",),
    ),
    ("GET", "/v1/disbursements/{id}"): Described(
        "get_disbursement",
        "Get one disbursement",
        "The same object as in callbacks.",
        {200: (models.DisbursementShown, "As it is now")},
        parameters=("id",),
        problems=("NOT_FOUND",),
    ),
    ("POST", "/v1/disbursements/{id}/cancel"): Described(
        "cancel_disbursement",
        "Cancel a scheduled disbursement",
        "Waits up to 5 s. 202: it has not said yet; ask again, or repeat under the same key.",
        {
            200: (models.DisbursementShown, "Cancelled"),
            202: (models.DisbursementShown, "Asked; not decided yet"),
        },
        body=models.CancelRequest,
        body_optional=True,
        parameters=("id", "Idempotency-Key"),
        problems=(*_BODY, *_KEYED, "VALIDATION_FAILED", "NOT_FOUND", "NOT_CANCELLABLE"),
    ),
    ("POST", "/v1/account-inquiries"): Described(
        "inquire_account",
        "Ask whose account it is",
        "Waits up to 10 s for the bank. Nothing is moved or stored.",
        {200: (models.InquiryShown, "The bank's name for the account")},
        body=models.InquiryRequest,
        problems=(*_BODY, *_DESTINATION, "INVALID_DESTINATION", "ACCOUNT_INACTIVE", "NO_ANSWER"),
    ),
    ("GET", "/v1/balance"): Described(
        "get_balance",
        "Get the balance",
        "May trail a disbursement's status by a moment; it is settled when held is 0.",
        {200: (models.BalanceShown, "The account")},
        problems=("NOT_FOUND",),
    ),
    ("GET", "/v1/channels"): Described(
        "list_channels",
        "List banks and wallets with limits and fees",
        "All on one page.",
        {200: (models.ChannelList, "What can be paid to")},
    ),
    ("GET", "/v1/events"): Described(
        "list_events",
        "List events, newest first",
        "What callbacks tell, for who missed one.",
        {200: (models.EventList, "A page")},
        parameters=(*_PAGE, "type", "about"),
        problems=("VALIDATION_FAILED",),
    ),
}

_SECURITY = {
    "SalurKey": {"type": "apiKey", "in": "header", "name": "Salur-Key"},
    "SalurTimestamp": {"type": "apiKey", "in": "header", "name": "Salur-Timestamp"},
    "SalurSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "Salur-Signature",
        "description": "See signature.md, which has test vectors.",
    },
    "SandboxBasic": {
        "type": "http",
        "scheme": "basic",
        "description": "Sandbox keys only: the key's id and secret.",
    },
}


@cache
def document() -> bytes:
    """The description as JSON."""
    return orjson.dumps(described())


def described() -> Json:
    used = [one.body for one in OPERATIONS.values() if one.body is not None]
    shown: list[type[BaseModel]] = [models.ProblemShown]
    shown += [model for one in OPERATIONS.values() for model, _ in one.answers.values()]
    wanted: list[tuple[type[BaseModel], str]] = [(model, "validation") for model in used]
    wanted += [(model, "serialization") for model in shown]
    refs, schemas = models_json_schema(
        dict.fromkeys(wanted),  # type: ignore[arg-type] # a sequence without repeats
        ref_template="#/components/schemas/{model}",
    )
    names = {(model, mode): ref for (model, mode), ref in refs.items()}
    paths: Json = {}
    for (method, path), one in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(one, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Salur",
            "version": "1",
            "description": "Disbursements to Indonesian bank accounts and e-wallets.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [
            {"SalurKey": [], "SalurTimestamp": [], "SalurSignature": []},
            {"SandboxBasic": []},
        ],
        "paths": paths,
        "components": {"schemas": schemas["$defs"], "securitySchemes": _SECURITY},
    }


def _operation(one: Described, names: Mapping[Any, Json]) -> Json:
    made: Json = {
        "operationId": one.name,
        "summary": one.summary,
        "description": one.description,
        "responses": {
            str(status): {
                "description": when,
                "headers": {"Salur-Request-Id": {"schema": {"type": "string"}}},
                "content": {"application/json": {"schema": names[model, "serialization"]}},
            }
            for status, (model, when) in sorted(one.answers.items())
        }
        | _problems(one, names),
    }
    if one.parameters:
        made["parameters"] = [{"name": name, **PARAMETERS[name]} for name in one.parameters]
    if one.body is not None:
        made["requestBody"] = {
            "required": not one.body_optional,
            "content": {"application/json": {"schema": names[one.body, "validation"]}},
        }
    return made


def _problems(one: Described, names: Mapping[Any, Json]) -> Json:
    by_status: dict[int, list[str]] = {}
    for code in (*_ALWAYS, *one.problems):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    schema = names[models.ProblemShown, "serialization"]
    return {
        str(status): {
            "description": ", ".join(sorted(set(codes))),
            "content": {CONTENT_TYPE: {"schema": schema}},
        }
        for status, codes in sorted(by_status.items())
    }


def files() -> dict[str, str]:
    """All generated pages of docs/api, by path."""
    text = json.dumps(described(), indent=2, ensure_ascii=False) + "\n"
    return {"openapi.json": text} | {f"problems/{name}": page for name, page in pages().items()}


def main(folder: Path) -> None:
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/api"))
