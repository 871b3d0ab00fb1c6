"""The settings of disburse, and what follows from them: ways, lanes, leases."""

import json
from typing import Any

import pytest

from contracts.sealed import new_key
from services._kit.settings import SettingsError
from services.disburse.app import lanes, rails_of, service
from services.disburse.errands import Job
from services.disburse.life import Way
from services.disburse.settings import Settings
from services.disburse.ways import beneficiary, chooser
from tests.support.disburse_world import SEALER, FakeRail, destination, wallet
from tests.support.snap_bank import config

KEY = new_key()


def rails_json(**changes: Any) -> str:
    values = json.loads(config().model_dump_json())
    values |= {
        "client_secret": config().client_secret.get_secret_value(),
        "private_key": config().private_key.get_secret_value(),
    }
    return json.dumps([values | changes])


def environ(**changes: str) -> dict[str, str]:
    return {
        "KAFKA_URL": "kafka.test:9092",
        "MONGO_URL": "mongodb://mongo.test",
        "SALUR_TOPIC_REPLICATION": "1",
        "SALUR_SEAL_KEY": KEY,
        "SALUR_DISBURSE_HEALTH_PORT": "0",
        "SALUR_DISBURSE_RAILS": rails_json(),
        **changes,
    }


def test_the_schedule_of_questions_is_the_documented_one_unless_told() -> None:
    terms = Settings.load(environ()).terms()

    assert terms.ask_after_s == (5, 30, 120, 600, 3600)
    assert terms.ask_every_s == 3600
    assert terms.person_after_s == 86_400
    assert terms.send_within_s == 3600
    assert terms.not_found_after_s == {"bca": 1200}


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"SALUR_SEAL_KEY": "k1:short"}, "SALUR_SEAL_KEY"),
        ({"SALUR_DISBURSE_ASK_AFTER_S": "[5, 3]"}, "SALUR_DISBURSE_ASK_AFTER_S"),
        ({"SALUR_DISBURSE_ASK_AFTER_S": "[0]"}, "SALUR_DISBURSE_ASK_AFTER_S"),
        ({"SALUR_DISBURSE_RAILS": "[{}]"}, "SALUR_DISBURSE_RAILS"),
        ({"SALUR_DISBURSE_RAILS": rails_json(private_key="no key")}, "SALUR_DISBURSE_RAILS"),
        ({"SALUR_DISBURSE_RIALS": "[]"}, "SALUR_DISBURSE_RIALS"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(
    changes: dict[str, str], variable: str
) -> None:
    with pytest.raises(SettingsError, match=variable) as stopped:
        service(environ(**changes))

    assert "short" not in str(stopped.value)
    assert config().client_secret.get_secret_value() not in str(stopped.value)


async def test_a_lease_outlives_all_deadlines_of_an_attempt() -> None:
    settings = Settings.load(environ())
    rails = rails_of(settings)
    lane = lanes(rails, settings)

    for name, rail in rails.items():
        assert lane(f"bank:{name}").lease_s > rail.attempt_deadline_s
        assert lane(f"bank:{name}").limit == rail.concurrency
        assert lane(f"statement:{name}").limit == 1
        await rail.aclose()


def test_every_kind_of_errand_has_its_lane() -> None:
    lane = lanes({"bca": FakeRail()}, Settings.load(environ()))

    assert all(lane(name).lease_s > 0 for name in ("clock", "bank:none", "bank:removed"))


def test_a_way_goes_to_a_bank_or_through_a_bank_that_issues_the_wallets_accounts() -> None:
    way_to = chooser([config(destinations=["CENAIDJA", "BRINIDJA"])])

    assert way_to("sandbox", destination(bank="BRINIDJA")) == Way("bca", "BRINIDJA")
    assert way_to("sandbox", destination(bank="BMRIIDJA")) is None
    assert way_to("production", destination(bank="BRINIDJA")) is None
    assert way_to("sandbox", wallet()) == Way("bca", "CENAIDJA")


def test_a_wallets_account_is_its_prefix_and_the_phone() -> None:
    assert beneficiary("CENAIDJA", "GOPAY", "6281234567890", None).account_number == (
        "70001081234567890"
    )


def test_what_is_logged_of_a_job_shows_no_number() -> None:
    data: dict[str, Any] = {
        "disbursement": "disb_1", "ask": 0, "rail": "bca", "bank": "CENAIDJA", "wallet": None,
        "number": SEALER.seal("0123456789", "account_number"), "account_name": "ANI",
        "amount": 1, "name_check": "off", "send_before": "2026-03-02T05:00:00+00:00",
    }  # fmt: skip

    text = repr(Job.of(data))

    assert data["number"] not in text
    assert "ANI" not in text
