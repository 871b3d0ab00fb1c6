"""Settings: what is unknown, missing or wrong stops the start with its name."""

from pathlib import Path
from typing import ClassVar

import pytest

from services._kit.settings import (
    Field,
    PlatformSettings,
    SecretStr,
    ServiceSettings,
    SettingsError,
)

GOOD = {"SALUR_TOY_HEALTH_PORT": "8801", "SALUR_TOY_SECRET": "s3cret"}


class Toy(ServiceSettings):
    service: ClassVar[str] = "toy"
    secret: SecretStr = Field(description="of the toy")
    lanes: dict[str, int] = Field(default_factory=dict, description="limits")


def test_what_is_set_is_read_and_converted() -> None:
    settings = Toy.load(GOOD | {"SALUR_TOY_LANES": '{"bca": 4}', "SALUR_LOG_LEVEL": "DEBUG"})

    assert (settings.health_port, settings.lanes, settings.log_level) == (8801, {"bca": 4}, "DEBUG")


def test_a_misspelt_variable_stops_the_start_with_its_name() -> None:
    with pytest.raises(SettingsError, match="SALUR_TOY_HEALTH_PROT"):
        Toy.load(GOOD | {"SALUR_TOY_HEALTH_PROT": "1"})


def test_another_services_variables_are_none_of_our_business() -> None:
    assert Toy.load(GOOD | {"SALUR_LEDGER_X": "1", "HOME": "/"}).health_port == 8801


def test_a_missing_variable_stops_the_start_with_its_name() -> None:
    with pytest.raises(SettingsError, match="SALUR_TOY_SECRET"):
        Toy.load({"SALUR_TOY_HEALTH_PORT": "8801"})


def test_a_missing_shared_variable_is_named_as_it_is_shared() -> None:
    class Platform(PlatformSettings):
        service: ClassVar[str] = "toy"

    with pytest.raises(SettingsError, match=r"KAFKA_URL.*MONGO_URL"):
        Platform.load({"SALUR_TOY_HEALTH_PORT": "1", "SALUR_TOPIC_REPLICATION": "1"})


def test_a_wrong_value_is_named_and_never_shown() -> None:
    with pytest.raises(SettingsError, match="SALUR_TOY_HEALTH_PORT") as error:
        Toy.load(GOOD | {"SALUR_TOY_HEALTH_PORT": "hush"})

    assert "hush" not in str(error.value)


def test_a_secret_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from a file\n")

    settings = Toy.load({"SALUR_TOY_HEALTH_PORT": "1", "SALUR_TOY_SECRET_FILE": str(file)})

    assert settings.secret.get_secret_value() == "from a file"
    assert "from a file" not in repr(settings)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")

    with pytest.raises(SettingsError, match="SALUR_TOY_SECRET_FILE"):
        Toy.load({"SALUR_TOY_HEALTH_PORT": "1", "SALUR_TOY_SECRET_FILE": gone})


def test_a_value_and_its_file_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="both set"):
        Toy.load(GOOD | {"SALUR_TOY_SECRET_FILE": str(tmp_path)})


def test_a_list_that_is_no_json_is_named() -> None:
    with pytest.raises(SettingsError, match="SALUR_TOY_LANES: not JSON"):
        Toy.load(GOOD | {"SALUR_TOY_LANES": "{bca"})


def test_settings_never_change() -> None:
    settings = Toy.load(GOOD)

    with pytest.raises(ValueError, match="frozen"):
        settings.health_port = 1  # type: ignore[misc]
