"""What is on the wire: each message has a schema and samples, and old samples parse for ever."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import orjson
import pytest

import contracts
from contracts import catalog, schemas
from contracts.envelope import decode, encode
from contracts.message import Command, Event, Message
from services._kit.records import record_of
from services._kit.shell import Shell
from tests.kit.toy import Counters
from tests.kit.world import MemoryWorld, shell_of

SAMPLES = Path(contracts.__file__).parent / "samples"
ALL = sorted(SAMPLES.glob("*/*.json"))
SERVICES = {"gateway", "ledger", "disburse", "cashout", "callbacks"}


def test_the_schemas_are_what_the_models_say() -> None:
    assert schemas.outdated() == [], "run `python -m contracts.schemas`"


def test_each_message_has_a_sample() -> None:
    assert {path.parent.name for path in ALL} >= {row.model.type for row in catalog.CATALOG}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.parent.name)
def test_a_sample_parses_and_says_the_same_when_it_is_written_again(path: Path) -> None:
    raw = path.read_bytes()

    envelope = decode(raw, path.parent.name)
    written = encode(envelope)

    assert decode(written) == envelope
    assert orjson.loads(raw).items() <= orjson.loads(written).items() or decode(raw) == envelope


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.parent.name)
def test_a_sample_has_the_attributes_of_cloudevents_and_the_key_of_its_catalogue_row(
    path: Path,
) -> None:
    raw = orjson.loads(path.read_bytes())
    record = record_of(decode(path.read_bytes()))

    assert raw["specversion"] == "1.0"
    assert raw["type"] == path.parent.name
    assert all(raw[name] for name in ("id", "source", "subject", "time", "correlationid"))
    assert raw["source"].removeprefix("/salur/") in catalog.row(raw["type"]).said_by
    assert (record.topic, record.key) == (catalog.row(raw["type"]).topic, raw["subject"])


def test_a_schema_that_was_forgotten_is_found(tmp_path: Path) -> None:
    schemas.write(tmp_path)
    (tmp_path / "ledger.hold_funds.v1.json").write_text("{}")
    (tmp_path / "ledger.gone.v1.json").write_text("{}")
    (tmp_path / "ledger.set_terms.v1.json").unlink()

    found = schemas.outdated(tmp_path)

    assert found == [
        "ledger.gone.v1.json",
        "ledger.hold_funds.v1.json",
        "ledger.set_terms.v1.json",
    ]
    assert schemas.write(tmp_path) == found
    assert schemas.outdated(tmp_path) == []


def _messages() -> list[type[Message]]:
    """Every message class in ``contracts/<service>/v<n>.py``."""
    found = []
    for package in pkgutil.iter_modules(contracts.__path__, "contracts."):
        if not package.ispkg:
            continue
        versions = importlib.import_module(package.name)
        for module in pkgutil.iter_modules(versions.__path__, package.name + "."):
            for _, value in inspect.getmembers(importlib.import_module(module.name)):
                is_message = inspect.isclass(value) and issubclass(value, Message)
                if is_message and value.__module__ == module.name and value.__name__[0] != "_":
                    found.append(value)
    return found


def test_each_message_has_exactly_one_row_in_the_catalogue() -> None:
    rows = [row.model for row in catalog.CATALOG]

    assert len(rows) == len(set(rows))
    assert set(rows) == set(_messages())
    assert len({model.type for model in rows}) == len(rows)


@pytest.mark.parametrize("row", catalog.CATALOG, ids=lambda row: row.model.type)
def test_a_row_names_a_key_that_is_there_and_services_that_exist(row: catalog.Row) -> None:
    model = row.model

    assert row.key in model.model_fields or isinstance(getattr(model, row.key), property)
    assert row.holder is None or row.holder in model.model_fields
    assert set(row.said_by) | set(row.heard_by) <= SERVICES
    assert row.said_by
    assert issubclass(model, Command) != issubclass(model, Event)
    assert row.topic == f"{model.type.split('.')[0]}.{_kind(model)}"


@pytest.mark.parametrize("row", catalog.CATALOG, ids=lambda row: row.model.type)
def test_an_order_has_exactly_one_service_that_hears_it(row: catalog.Row) -> None:
    if issubclass(row.model, Command):
        assert row.heard_by == (row.model.type.split(".")[0],)


def test_a_service_that_ignores_an_order_addressed_to_it_cannot_start() -> None:
    class Deaf(Counters):
        def hears(self) -> list[type[Message]]:
            return []

    with pytest.raises(AssertionError, match="may not ignore"):
        shell_of(MemoryWorld(), Deaf())


def test_a_service_may_ignore_an_event() -> None:
    assert isinstance(shell_of(MemoryWorld(), Counters()), Shell)


def _kind(model: type[Message]) -> str:
    return "commands" if issubclass(model, Command) else "events"
