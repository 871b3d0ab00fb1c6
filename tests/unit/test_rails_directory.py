"""Rails are chosen by destination and environment, always the same way."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.disburse.rails import Beneficiary
from services.disburse.rails.directory import (
    WALLET_PREFIXES,
    RailConfig,
    RailConfigs,
    Route,
    choose,
    route_to_bank,
    route_to_wallet,
)
from tests.support.snap_bank import SECRET, config, our_key, private_pem

PHONE = "6281234567890"
BCA_ALL = config(name="bca")
BRI_ONLY = config(name="bri", bank_bic="BRINIDJA", destinations=["BRINIDJA"])
LIVE = config(name="live", environments=["production"], base_url="https://bank.test")


def rails(*configs: RailConfig) -> tuple[RailConfig, ...]:
    return configs


def test_the_first_rail_that_serves_a_bank_wins() -> None:
    assert choose(rails(BRI_ONLY, BCA_ALL), "sandbox", "BRINIDJA") == "bri"
    assert choose(rails(BCA_ALL, BRI_ONLY), "sandbox", "BRINIDJA") == "bca"
    assert choose(rails(BRI_ONLY, BCA_ALL), "sandbox", "BMRIIDJA") == "bca"


def test_a_rail_never_serves_another_environment() -> None:
    assert choose(rails(BCA_ALL), "production", "BRINIDJA") is None
    assert choose(rails(BCA_ALL, LIVE), "production", "BRINIDJA") == "live"
    assert route_to_wallet(rails(BCA_ALL), "production", "GOPAY", PHONE) is None


def test_a_bank_that_no_rail_serves_has_no_route() -> None:
    assert choose(rails(BRI_ONLY), "sandbox", "BMRIIDJA") is None
    assert route_to_bank(rails(BRI_ONLY), "sandbox", Beneficiary("BMRIIDJA", "1")) is None
    assert choose((), "sandbox", "BMRIIDJA") is None


@pytest.mark.parametrize(
    ("wallet", "number"),
    [
        ("DANA", "3901081234567890"),
        ("GOPAY", "70001081234567890"),
        ("ovo", "39358081234567890"),
        ("SHOPEEPAY", "122081234567890"),
        ("LINKAJA", "09110081234567890"),
    ],
)
@pytest.mark.parametrize("phone", [PHONE, "081234567890", "+62 812-3456-7890"])
def test_a_wallet_is_a_virtual_account_behind_the_phone(
    wallet: str, number: str, phone: str
) -> None:
    route = route_to_wallet(rails(BCA_ALL), "sandbox", wallet, phone, account_name="ANI")

    assert route == Route("bca", Beneficiary("CENAIDJA", number, "ANI"))


def test_a_wallet_is_paid_within_the_rails_own_bank_if_it_issues_accounts_for_it() -> None:
    route = route_to_wallet(rails(BRI_ONLY, BCA_ALL), "sandbox", "DANA", PHONE)

    assert route == Route("bri", Beneficiary("BRINIDJA", "88810081234567890"))


def test_a_rail_may_name_the_wallets_that_it_serves() -> None:
    only_gopay = config(name="only", bank_bic="BRINIDJA", destinations=["GOPAY"])

    route = route_to_wallet(rails(only_gopay), "sandbox", "GOPAY", PHONE)

    assert route == Route("only", Beneficiary("CENAIDJA", "70001081234567890"))
    assert route_to_wallet(rails(only_gopay), "sandbox", "OVO", PHONE) is None
    assert choose(rails(only_gopay), "sandbox", "CENAIDJA") is None


def test_an_unknown_wallet_has_no_route_and_a_bad_phone_is_refused() -> None:
    assert route_to_wallet(rails(BCA_ALL), "sandbox", "PAYPAL", PHONE) is None
    with pytest.raises(ValueError, match="mobile number"):
        route_to_wallet(rails(BCA_ALL), "sandbox", "GOPAY", "0211234567")


def test_every_wallet_account_fits_into_snaps_34_characters() -> None:
    for banks in WALLET_PREFIXES.values():
        for prefix in banks.values():
            assert prefix.isdecimal()
            assert len(prefix + "0" + "8" * 12) <= 34


def test_all_rails_are_one_json_list() -> None:
    values = json.loads(BCA_ALL.model_dump_json()) | {
        "client_secret": SECRET,
        "private_key": private_pem(our_key()),
    }

    found = TypeAdapter(RailConfigs).validate_json(json.dumps([values]))

    assert found == (BCA_ALL,)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Not A Name"},
        {"environments": []},
        {"environments": ["staging"]},
        {"destinations": ["bca"]},
        {"client_secret": "short"},
        {"channel_id": "123456"},
        {"bank_bic": "014"},
        {"base_url": "bank.test"},
        {"concurrency": 0},
        {"call_timeout_s": 0},
        {"unknown": 1},
        {"kind": "ftp"},
        {"environments": ["production"]},
        {
            "environments": ["production"],
            "base_url": "https://bank.test",
            "not_found_after_s": 900,
        },
    ],
)
def test_a_wrong_rail_stops_the_start_without_showing_its_secrets(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError) as caught:
        config(**changes)

    assert SECRET not in str(caught.value)
    assert "PRIVATE KEY" not in str(caught.value)


def test_two_rails_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="same name"):
        TypeAdapter(RailConfigs).validate_python((BCA_ALL, BCA_ALL))


def test_a_rails_secrets_do_not_show() -> None:
    assert SECRET not in repr(BCA_ALL)
    assert "PRIVATE KEY" not in repr(BCA_ALL)
