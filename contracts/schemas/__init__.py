"""JSON Schemas of all messages, generated from the models: ``python -m contracts.schemas``.

One file per type holds what the envelope's ``data`` may be, with the message's topic and key. They
are committed, so that ``contracts.released`` can compare them with what was released.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from contracts import catalog

FOLDER = Path(__file__).parent


def generate() -> dict[str, bytes]:
    """The text of each schema by its file's name."""
    return {f"{row.model.type}.json": _text(_schema(row)) for row in catalog.CATALOG}


def write(folder: Path = FOLDER) -> list[str]:
    """Bring ``folder`` up to date; returns the names of what changed."""
    changed = outdated(folder)
    wanted = generate()
    for name in changed:
        if name in wanted:
            (folder / name).write_bytes(wanted[name])
        else:
            (folder / name).unlink()
    return changed


def outdated(folder: Path = FOLDER) -> list[str]:
    """Names of files that are missing, left over, or not as the models would have them."""
    wanted = generate()
    present = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    return sorted(n for n in wanted.keys() | present if wanted.get(n) != present.get(n))


def _schema(row: catalog.Row) -> Mapping[str, Any]:
    schema = row.model.model_json_schema()
    schema.pop("title", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": row.model.type,
        "x-topic": row.topic,
        "x-key": row.key,
        **schema,
    }


def _text(schema: Mapping[str, Any]) -> bytes:
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
