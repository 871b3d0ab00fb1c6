"""What the gateway decides by itself: fees, limits, times, waits, pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.disburse.v1 import Order
from contracts.sealed import Sealer, new_key
from services._kit.settings import SettingsError
from services.gateway.http.creating import preferred_wait_s, reference_of
from services.gateway.http.models import DisbursementRequest, field_errors
from services.gateway.http.orders import Orders
from services.gateway.http.paging import Page
from services.gateway.http.problems import Problem
from services.gateway.limits import Limits
from services.gateway.partners import Caller
from services.gateway.settings import Settings
from services.gateway.store import publish_again_at
from services.gateway.tariff import Band, Refused, Tariff

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
CALLER = Caller("toko", "sandbox", "key_1", b"", ())


def band(partner: str, start: int, end: int, fee: int, **changes: Any) -> Band:
    return Band(
        partner=partner,
        channel="bank_account",
        amount_from=start,
        amount_to=end,
        fee=fee,
        **changes,
    )


def test_the_most_specific_bands_replace_all_others() -> None:
    tariff = Tariff(
        [
            band("toko", 1, 99, 1),
            band("toko", 100, 1_000, 2),
            band("toko", 5, 10, 3, environment="production"),
        ]
    )

    assert tariff.terms("toko", "sandbox", "bank_account").fee(99) == 1
    assert tariff.terms("toko", "sandbox", "bank_account").fee(100) == 2
    assert tariff.terms("toko", "production", "bank_account").fee(7) == 3
    assert tariff.terms("warung", "sandbox", "bank_account").fee(10_000) == 2_500
    assert tariff.terms("toko", "sandbox", "e_wallet").fee(10_000) == 1_500


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (49_999, "AMOUNT_BELOW_MINIMUM"),
        (50_001, "AMOUNT_NOT_A_MULTIPLE"),
        (2_550_000, "AMOUNT_ABOVE_MAXIMUM"),
    ],
)
def test_an_amount_outside_is_refused_with_its_reason(amount: int, code: str) -> None:
    refused = Tariff().terms("toko", "sandbox", "cashout").fee(amount)

    assert isinstance(refused, Refused)
    assert refused.code == code


@pytest.mark.parametrize(
    "bands", [[(1, 10), (12, 20)], [(1, 10), (10, 20)], [(10, 1)]], ids=["gap", "overlap", "turned"]
)
def test_bands_with_a_gap_stop_the_start(bands: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="gap or overlap"):
        Tariff([band("toko", start, end, 1) for start, end in bands])


def asked(**changes: Any) -> DisbursementRequest:
    body = {
        "reference": "r",
        "amount": 10_000,
        "currency": "IDR",
        "destination": {"type": "bank_account", "bank": "bca", "account_number": "0123456789"},
    }
    return DisbursementRequest.model_validate(body | changes)


def orders(*closed: str) -> Orders:
    return Orders(Tariff(), Sealer(new_key()), closed, 365)


def test_an_order_carries_the_fee_and_no_open_account_number() -> None:
    order = orders().order(CALLER, asked(), NOW)

    assert isinstance(order, Order)
    assert order.fee == 2_500
    assert order.destination.bank == "CENAIDJA"
    assert "0123456789" not in order.model_dump_json()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"instruct_at": NOW}, "instruct_at"),
        ({"instruct_at": NOW + timedelta(days=366)}, "instruct_at"),
        ({"instruct_at": datetime.max.replace(tzinfo=UTC)}, "instruct_at"),
        ({"instruct_at": datetime.min.replace(tzinfo=UTC)}, "instruct_at"),
        ({"send_before": NOW}, "send_before"),
        (
            {"instruct_at": NOW + timedelta(hours=2), "send_before": NOW + timedelta(hours=1)},
            "send_before",
        ),
        ({"name_check": "strict"}, "destination.account_name"),
    ],
)
def test_what_cannot_be_kept_is_refused(changes: dict[str, Any], field: str) -> None:
    errors = orders().order(CALLER, asked(**changes), NOW)

    assert isinstance(errors, list)
    assert [error.field for error in errors] == [field]


def test_all_that_is_wrong_is_told_at_once() -> None:
    wallet = {"type": "e_wallet", "wallet": "PAYPAL", "phone": "1"}

    errors = orders().order(CALLER, asked(destination=wallet, amount=1), NOW)

    assert isinstance(errors, list)
    assert {error.field for error in errors} == {
        "destination.wallet",
        "destination.phone",
        "amount",
    }


def test_an_error_never_repeats_what_was_sent() -> None:
    raw = b'{"reference": "r", "destination": {"type": "bank_account", "account_number": "12 345"}}'

    with pytest.raises(ValidationError) as wrong:
        DisbursementRequest.model_validate_json(raw)

    assert "12 345" not in str(field_errors(wrong.value))


@pytest.mark.parametrize(
    "moment",
    ['"2026-01-31"', "1767225600", "true", '"1767225600"', '"2026-01-31T09:00:00"', '"T"'],
)
def test_a_time_is_iso_8601_with_an_offset(moment: str) -> None:
    raw = asked().model_dump_json().replace('"instruct_at":null', f'"instruct_at":{moment}')

    with pytest.raises(ValidationError):
        DisbursementRequest.model_validate_json(raw)


def test_a_time_keeps_the_offset_in_which_it_was_written() -> None:
    moment = "2099-01-31T09:00:00+07:00"
    raw = asked().model_dump_json().replace('"instruct_at":null', f'"instruct_at":"{moment}"')

    read = DisbursementRequest.model_validate_json(raw)

    assert read.instruct_at == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    ("prefer", "wait_s"),
    [
        ("wait=5", 5),
        ("wait=99", 20),
        ("respond-async, wait=10", 10),
        ("wait = 3", 3),
        ("", 0),
        ("wait=-1", 0),
        ("wait=x", 0),
        ("await=5", 0),
    ],
)
def test_a_preferred_wait_is_at_most_twenty_seconds(prefer: str, wait_s: int) -> None:
    assert preferred_wait_s(prefer) == wait_s


def test_a_reference_is_found_in_a_body_that_is_wrong_elsewhere() -> None:
    assert reference_of(b'{"reference": "r", "amount": -1}') == "r"
    assert reference_of(b'{"reference": 5}') is None
    assert reference_of(b"[]") is None
    assert reference_of(b"{") is None


def test_a_cursor_of_another_list_is_refused() -> None:
    page = Page({"limit": "1"}, "disb")
    lives = ["disb_" + "0" * 25 + end for end in "21"]
    cursor = page.answer([1, 2], lives)["next_cursor"]

    assert Page({"cursor": cursor}, "disb").before == lives[0]
    with pytest.raises(Problem):
        Page({"cursor": cursor}, "evt")


def test_a_rate_fills_up_again() -> None:
    now = [0.0]
    limits = Limits(1, 2, lambda: now[0])

    taken = [limits.take("a") for _ in range(3)]
    now[0] = 0.5
    later = limits.take("a")

    assert taken == [0, 0, 0.5]
    assert later == 0
    assert limits.take("b") == 0


def test_what_stays_unheard_is_said_less_and_less_often() -> None:
    pauses = [publish_again_at(NOW, n, 10) - NOW for n in (1, 2, 3, 9, 99)]

    assert [pause.total_seconds() for pause in pauses] == [10, 20, 40, 300, 300]


ENVIRON = {
    "KAFKA_URL": "k",
    "MONGO_URL": "m",
    "SALUR_TOPIC_REPLICATION": "1",
    "SALUR_SEAL_KEY": new_key(),
    "SALUR_CALLBACK_SEAL_KEY": new_key(),
    "SALUR_PHONE_KEY": new_key(),
    "SALUR_GATEWAY_PORT": "1",
    "SALUR_GATEWAY_ADMIN_PORT": "2",
    "SALUR_GATEWAY_HEALTH_PORT": "3",
    "SALUR_GATEWAY_ADMIN_TOKEN": "x" * 16,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SALUR_SEAL_KEY", "k1:short"),
        ("SALUR_PHONE_KEY", "short"),
        ("SALUR_GATEWAY_REDEMPTION_WAIT_S", "30"),
        ("SALUR_GATEWAY_CODE_LIVES_S", '{"toko": 0}'),
        ("SALUR_GATEWAY_ADMIN_TOKEN", "short"),
        ("SALUR_GATEWAY_PROXY_NETWORKS", '["*"]'),
        ("SALUR_GATEWAY_BANK_PUBLIC_KEYS", '{"bca": "no key"}'),
        (
            "SALUR_GATEWAY_TARIFFS",
            '[{"channel": "e_wallet", "amount_from": 2, "amount_to": 1, "fee": 0}]',
        ),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(name: str, value: str) -> None:
    Settings.load(ENVIRON)

    with pytest.raises(SettingsError, match=name) as error:
        Settings.load(ENVIRON | {name: value})

    assert "short" not in str(error.value).replace("shorter", "")
