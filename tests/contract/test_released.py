"""The comparison with what was released finds each way to break a promise."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts import released

SCHEMA = "contracts/schemas/ledger.funds_held.v1.json"
SAMPLE = "contracts/samples/ledger.funds_held.v1/1.json"
AMOUNT = {"type": "integer", "minimum": 1}


def schema() -> dict[str, Any]:
    return {
        "title": "ledger.funds_held.v1",
        "x-topic": "ledger.events",
        "x-key": "account",
        "type": "object",
        "$defs": {"Part": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "properties": {
            "account": {"type": "string"},
            "amount": dict(AMOUNT),
            "part": {"$ref": "#/$defs/Part"},
        },
        "required": ["account", "amount"],
    }


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=Siti", "-c", "user.email=siti@salur.example")
    command = ["git", "-C", str(root), *identity, *words]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - git of a made-up folder


def save(root: Path, changed: dict[str, Any]) -> None:
    (root / SCHEMA).write_bytes(orjson.dumps(changed))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One commit on main with a schema and a sample."""
    for name in (SCHEMA, SAMPLE):
        (tmp_path / name).parent.mkdir(parents=True)
    save(tmp_path, schema())
    (tmp_path / SAMPLE).write_text('{"id": "1"}\n')
    git(tmp_path, "init", "--initial-branch", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def complaints(root: Path) -> list[str]:
    base = released.base(root)
    assert base is not None
    return released.broken(root, base)


def test_without_a_tag_and_on_main_there_is_nothing_to_compare(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert released.main(repository) == 0

    assert "not compared" in capsys.readouterr().out


def test_the_newest_tag_is_the_base(repository: Path) -> None:
    git(repository, "tag", "v1")
    git(repository, "commit", "--allow-empty", "-m", "second")
    git(repository, "tag", "v2")

    base = released.base(repository)

    assert base == released.Base("v2", "tag v2")


def test_without_a_tag_a_branch_is_compared_with_where_it_left_main(repository: Path) -> None:
    git(repository, "switch", "-c", "feature")
    save(repository, schema() | {"x-key": "hold"})
    git(repository, "commit", "-am", "another key")

    assert complaints(repository) == [f"{SCHEMA}: data.x-key: was 'account', is 'hold'"]


def with_field(**more: Any) -> dict[str, Any]:
    changed = schema()
    changed["properties"] |= more
    return changed


def without_field() -> dict[str, Any]:
    changed = schema()
    del changed["properties"]["part"]
    return changed


def narrower() -> dict[str, Any]:
    return with_field(amount=AMOUNT | {"maximum": 10})


def newly_required() -> dict[str, Any]:
    return with_field(fee={"type": "integer"}) | {"required": ["account", "amount", "fee"]}


def no_longer_required() -> dict[str, Any]:
    return schema() | {"required": ["account"]}


def changed_inside_a_part() -> dict[str, Any]:
    changed = schema()
    changed["$defs"]["Part"]["properties"]["name"]["type"] = "integer"
    return changed


def another_topic() -> dict[str, Any]:
    return schema() | {"x-topic": "ledger.commands"}


def closed_for_new_fields() -> dict[str, Any]:
    return schema() | {"additionalProperties": False}


BREAKS = [
    without_field,
    narrower,
    newly_required,
    no_longer_required,
    changed_inside_a_part,
    another_topic,
    closed_for_new_fields,
]


@pytest.mark.parametrize("change", BREAKS, ids=lambda change: change.__name__)
def test_a_released_schema_that_changes_is_found(
    repository: Path, change: Callable[[], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    git(repository, "tag", "v1")
    save(repository, change())

    assert released.main(repository) == 1

    assert SCHEMA in capsys.readouterr().out


def test_a_new_optional_field_and_other_words_for_people_break_nothing(repository: Path) -> None:
    git(repository, "tag", "v1")
    changed = with_field(note={"type": "string", "default": ""})
    changed["description"] = "Funds are set aside."
    changed["$defs"]["Part"]["properties"]["more"] = {"type": "string", "default": ""}
    save(repository, changed)

    assert complaints(repository) == []


def test_a_released_message_that_is_gone_is_found(repository: Path) -> None:
    git(repository, "tag", "v1")
    (repository / SCHEMA).unlink()

    assert [c for c in complaints(repository) if "message is gone" in c]


def test_a_sample_that_is_edited_is_found(repository: Path) -> None:
    git(repository, "tag", "v1")
    (repository / SAMPLE).write_text('{"id": "2"}\n')

    assert [c for c in complaints(repository) if "was edited" in c]


def test_a_sample_that_is_gone_is_found(repository: Path) -> None:
    git(repository, "tag", "v1")
    (repository / SAMPLE).unlink()

    assert [c for c in complaints(repository) if "sample is gone" in c]


def test_a_new_message_and_a_second_sample_break_nothing(repository: Path) -> None:
    git(repository, "tag", "v1")
    (repository / SCHEMA).with_name("ledger.new.v1.json").write_bytes(orjson.dumps(schema()))
    (repository / SAMPLE).with_name("2.json").write_text("{}")

    assert complaints(repository) == []
