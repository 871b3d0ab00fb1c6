"""What the gateway decides by itself about cash-outs and tills."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.cashout import v1 as cashout
from contracts.cashout.keys import PhoneKey
from contracts.disburse import v1 as disburse
from contracts.message import Command, Event
from contracts.sealed import Sealer, new_key
from services.gateway.http.cashout_models import CashoutRequest
from services.gateway.http.cashouts import CHANNEL, CashoutOrders
from services.gateway.http.creating import preferred_wait_s
from services.gateway.http.retail_models import RedemptionRequest
from services.gateway.lives import CASHOUT, DISBURSEMENT, View
from services.gateway.partners import Caller, owner
from services.gateway.requests import Requests, request_record
from services.gateway.store import picture, view
from services.gateway.tariff import Band, Tariff

NOW = datetime(2026, 1, 31, 9, 0, 0, 123_000, tzinfo=UTC)
CALLER = Caller("toko", "sandbox", "key_1", b"", ())
SEALER = Sealer(new_key())
PHONE_KEY = PhoneKey(new_key())
CODE = "4821093756"


def asked(**changes: Any) -> CashoutRequest:
    body = {"reference": "r", "amount": 100_000, "phone": "081234567890", "recipient_name": "ANI"}
    return CashoutRequest.model_validate(body | changes)


def orders(**changes: Any) -> CashoutOrders:
    tariff = changes.pop("tariff", Tariff())
    return CashoutOrders(tariff, SEALER, PHONE_KEY, **changes)


def life(**changes: Any) -> cashout.Cashout:
    found = orders().life(CALLER, asked(**changes), NOW)
    assert isinstance(found, cashout.Cashout)
    return found


def issued(status: str = "active") -> cashout.CodeIssued:
    fields = life().model_dump() | {"status": status, "code": SEALER.seal(CODE, cashout.CODE)}
    return cashout.CodeIssued.model_validate(fields)


def shelf() -> Requests[cashout.Cashout]:
    return Requests(CASHOUT, {"cashouts": None}, None, SEALER, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("phone", ["081234567890", "6281234567890", "+62 812-3456-7890"])
def test_a_phone_is_one_however_it_is_spelled(phone: str) -> None:
    made = life(phone=phone)

    assert made.phone_hash == PHONE_KEY.phone_hash("6281234567890")
    assert made.order.phone_masked == "0812****7890"
    assert SEALER.open(made.order.phone, cashout.PHONE) == "6281234567890"


def test_fee_and_limits_are_those_of_the_partners_tariff() -> None:
    band = Band(
        partner="toko", channel="cashout", amount_from=10_000, amount_to=20_000, fee=1, step=10_000
    )
    own = orders(tariff=Tariff([band]))

    cheap = own.life(CALLER, asked(amount=20_000), NOW)
    wrong = own.life(CALLER, asked(amount=15_000), NOW)

    assert isinstance(cheap, cashout.Cashout)
    assert cheap.order.fee == 1
    assert isinstance(wrong, list)
    assert [one.code for one in wrong] == ["AMOUNT_NOT_A_MULTIPLE"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    errors = orders().life(CALLER, asked(amount=1, phone="12", expires_at=NOW), NOW)

    assert isinstance(errors, list)
    assert {one.field for one in errors} == {"amount", "phone", "expires_at"}


@pytest.mark.parametrize(
    ("away", "fits"),
    [
        (timedelta(0), False),
        (timedelta(milliseconds=1), True),
        (timedelta(days=30), True),
        (timedelta(days=30, milliseconds=1), False),
    ],
)
def test_a_code_expires_in_the_time_that_is_allowed(away: timedelta, *, fits: bool) -> None:
    found = orders().life(CALLER, asked(expires_at=NOW + away), NOW)

    assert isinstance(found, cashout.Cashout) is fits


def test_an_expiry_is_kept_to_the_millisecond_as_the_database_keeps_it() -> None:
    found = life(expires_at=NOW + timedelta(hours=1, microseconds=999))

    assert found.order.expires_at == NOW + timedelta(hours=1)


def test_a_closed_channel_takes_nothing() -> None:
    errors = orders(closed=(CHANNEL,)).life(CALLER, asked(), NOW)

    assert isinstance(errors, list)
    assert [one.code for one in errors] == ["CHANNEL_NOT_SUPPORTED"]


def test_a_code_is_shown_spaced_while_it_is_active_and_never_later() -> None:
    active, late = issued(), issued("expired")

    shown = shelf().show(View.of(active, 2))
    gone = shelf().show(View.of(late, 3))

    assert shown["code"] == "4821 0937 56"
    assert "code" not in gone


def test_a_row_holds_a_code_sealed_and_the_next_picture_takes_it_away() -> None:
    row = picture(issued(), 2)
    paid = cashout.CodeRedeemed.model_validate(life().model_dump() | {"status": "paid"})

    assert SEALER.open(row["code"], cashout.CODE) == CODE
    assert CODE not in str(row)
    assert row["code"] not in row["life"]
    assert picture(paid, 3)["code"] is None
    assert view(CASHOUT, row).code == row["code"]
    assert row["code"] not in repr(view(CASHOUT, row))


def test_a_remembered_request_is_the_same_bytes_whoever_says_it() -> None:
    made = life()

    one, other = request_record(CASHOUT, made), request_record(CASHOUT, made)

    assert one == other
    assert one.key == made.phone_hash


def test_every_event_of_a_life_that_partners_hear_of_wakes_who_waits() -> None:
    for kind, module in ((CASHOUT, cashout), (DISBURSEMENT, disburse)):
        told = {
            found
            for found in vars(module).values()
            if isinstance(found, type)
            and issubclass(found, kind.model)
            and issubclass(found, Event)
        }
        silent = {"_Picture", "CashoutAccepted", "DisbursementAccepted", "DisbursementInstructed"}
        assert set(kind.wakes) == {one for one in told if one.__name__ not in silent}
        assert kind.ends <= kind.rests <= set(kind.statuses)
        assert kind.done <= kind.rests
        assert issubclass(kind.cancelled, Event)
        assert not issubclass(kind.cancelled, Command)


def test_a_request_that_says_nothing_waits_as_long_as_its_kind() -> None:
    waits = [preferred_wait_s(prefer, 5) for prefer in ("", "wait=0", "wait=2", "respond-async")]

    assert waits == [5, 0, 2, 5]


def test_a_chain_may_be_called_like_a_partner_and_owns_nothing_of_it() -> None:
    assert owner("partner", "toko.sandbox") == CALLER.owner
    assert owner("store", "toko.sandbox") != CALLER.owner


@pytest.mark.parametrize("code", ["4821093756", "4821 0937 56", "48-21-09-37-56"])
def test_spaces_in_a_code_are_as_the_cashier_likes(code: str) -> None:
    assert tried(code).code == code


@pytest.mark.parametrize(
    "code",
    ["482109375", "48210937567", "4821  093756", " 4821093756", "٤٨٢١٠٩٣٧٥٦", "", "48210937x6"],
)
def test_what_is_no_code_is_refused_without_showing_it(code: str) -> None:
    with pytest.raises(ValidationError):
        tried(code)


def tried(code: str) -> RedemptionRequest:
    return RedemptionRequest(
        store_ref="r", store_id="s", terminal_id="t", code=code, phone="0812", amount=1
    )
