"""What was released stays: ``python -m contracts.released`` compares schemas and samples with it.

Released is the newest tag, or, where there are no tags, what the main branch had when this one left
it. A released schema may gain an optional field and nothing else; a sample never changes and never
vanishes. Exit codes: 0 nothing is broken (or there is nothing to compare), 1 something is.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

SCHEMAS, SAMPLES = "contracts/schemas", "contracts/samples"
_WORDS_FOR_PEOPLE = frozenset({"title", "description", "examples", "$defs"})
_TOO_DEEP = 30

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Base:
    """What to compare with: a commit, and its name for people."""

    commit: str
    name: str


def base(root: Path) -> Base | None:
    """The newest tag, else the merge base with main; None: there is nothing to compare with."""
    tag = _git(root, "describe", "--tags", "--abbrev=0")
    if tag is not None:
        return Base(tag, f"tag {tag}")
    head = _git(root, "rev-parse", "HEAD")
    for main in ("main", "origin/main"):
        commit = _git(root, "merge-base", "HEAD", main)
        if commit is not None and commit != head:
            return Base(commit, f"{main} at {commit[:10]}")
    return None


def broken(root: Path, released: Base) -> list[str]:
    """One sentence for each promise that the working tree breaks."""
    return [
        *_broken_schemas(root, _released(root, released, SCHEMAS)),
        *_broken_samples(root, _released(root, released, SAMPLES)),
    ]


def differences(old: Schema, new: Schema) -> list[str]:
    """Where ``new`` is more or less than ``old`` with optional fields added."""
    return list(_differ(old, new, (old, new), "data", 0))


def _differ(
    old: Any, new: Any, roots: tuple[Schema, Schema], where: str, depth: int
) -> Iterator[str]:
    if depth > _TOO_DEEP:
        return
    old, new = _resolved(old, roots[0]), _resolved(new, roots[1])
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differ(one, other, roots, f"{where}[{index}]", depth + 1)
        return
    if not isinstance(old, dict) or not isinstance(new, dict):
        if old != new:
            yield f"{where}: was {old!r}, is {new!r}"
        return
    for word in sorted((old.keys() | new.keys()) - _WORDS_FOR_PEOPLE - {"properties", "required"}):
        yield from _differ(old.get(word), new.get(word), roots, f"{where}.{word}", depth + 1)
    fields, more = old.get("properties", {}), new.get("properties", {})
    if set(old.get("required", ())) != set(new.get("required", ())):
        changed = set(old.get("required", ())) ^ set(new.get("required", ()))
        yield f"{where}: required or not has changed: {', '.join(sorted(changed))}"
    for name, schema in fields.items():
        if name not in more:
            yield f"{where}.{name}: the field is gone"
        else:
            yield from _differ(schema, more[name], roots, f"{where}.{name}", depth + 1)


def _resolved(schema: Any, root: Schema) -> Any:
    while isinstance(schema, dict) and "$ref" in schema:
        definition = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        schema = {**definition, **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def _broken_schemas(root: Path, released: Mapping[str, bytes]) -> Iterator[str]:
    for path, text in released.items():
        if not path.endswith(".json"):
            continue
        now = root / path
        if not now.exists():
            yield f"{path}: a released message is gone; keep the old version beside the new one"
            continue
        for sentence in differences(orjson.loads(text), orjson.loads(now.read_bytes())):
            yield f"{path}: {sentence}"


def _broken_samples(root: Path, released: Mapping[str, bytes]) -> Iterator[str]:
    for path, text in released.items():
        now = root / path
        if not now.exists():
            yield f"{path}: a released sample is gone; it must parse for ever"
        elif now.read_bytes() != text:
            yield f"{path}: a released sample was edited; write another one beside it"


def _released(root: Path, released: Base, folder: str) -> dict[str, bytes]:
    listed = _git(root, "ls-tree", "-r", "--name-only", released.commit, "--", folder) or ""
    return {path: _shown(root, released.commit, path) for path in listed.splitlines()}


def _shown(root: Path, commit: str, path: str) -> bytes:
    command = ["git", "-C", str(root), "show", f"{commit}:{path}"]
    return subprocess.run(command, capture_output=True, check=True).stdout  # noqa: S603 - git of this repository


def _git(root: Path, *words: str) -> str | None:
    """What git says, None if it refuses."""
    command = ["git", "-C", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the same
    return done.stdout.strip() if done.returncode == 0 else None


def main(root: Path) -> int:
    released = base(root)
    if released is None:
        sys.stdout.write("released: no tag, and nothing that main does not have: not compared\n")
        return 0
    sentences = broken(root, released)
    for sentence in sentences:
        sys.stdout.write(f"released: {sentence}\n")
    if not sentences:
        sys.stdout.write(f"released: nothing that {released.name} promised is broken\n")
    return 1 if sentences else 0


if __name__ == "__main__":
    raise SystemExit(main(Path.cwd()))
