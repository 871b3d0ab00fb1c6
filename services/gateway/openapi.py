"""The published truth: OpenAPI 3.1 made from the models that parse and the table of problems.

``python -m services.gateway.openapi [folder]`` writes docs/api anew; a test compares.
"""

import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.gateway.described import ALWAYS, OPERATIONS, PARAMETERS, Described, Json
from services.gateway.http import shared_models as shared
from services.gateway.http.problems import CONTENT_TYPE, PROBLEMS, pages

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
    shown: list[type[BaseModel]] = [shared.ProblemShown]
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
            "description": "Payments to Indonesian bank accounts and e-wallets, and cash at tills.",
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
        made["parameters"] = [
            {"name": name.rpartition(" ")[2], **PARAMETERS[name]} for name in one.parameters
        ]
    if one.body is not None:
        made["requestBody"] = {
            "required": not one.body_optional,
            "content": {"application/json": {"schema": names[one.body, "validation"]}},
        }
    return made


def _problems(one: Described, names: Mapping[Any, Json]) -> Json:
    by_status: dict[int, list[str]] = {}
    for code in (*ALWAYS, *one.problems):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    schema = names[shared.ProblemShown, "serialization"]
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
