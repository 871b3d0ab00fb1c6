"""Ids, money, sealed values and the public names of statuses."""

import string
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts import public
from contracts.cashout import v1 as cashout
from contracts.disburse import v1 as disburse
from contracts.failures import FAILURES, failure
from contracts.ids import derived_id, new_public_id, parse_public_id, public_id, uuid7
from contracts.money import RUPIAH_MAX, Amount, Rupiah, from_snap_value, snap_value
from contracts.sealed import Sealer, SealError, new_key

MOMENT = datetime(2026, 3, 2, 2, 15, 30, 123000, tzinfo=UTC)


# --- ids ---------------------------------------------------------------------------------------


def test_a_lives_id_is_a_uuid_of_version_7_with_its_time_in_front() -> None:
    value = uuid7(now_ms=0x019CABCDEF01)

    assert (value.version, value.variant) == (7, RFC_4122)
    assert value.int >> 80 == 0x019CABCDEF01


def test_the_example_of_rfc_9562_comes_out() -> None:
    random = (0xCC3 << 62 | 0x18C4DC0C0C07398F).to_bytes(10, "big")

    assert str(uuid7(0x017F22E279B0, random)) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_a_derived_id_is_a_uuid_of_version_8_with_its_causes_time_in_front() -> None:
    value = UUID(derived_id("cause", MOMENT, "ledger/0"))

    assert (value.version, value.variant) == (8, RFC_4122)
    assert value.int >> 80 == int(MOMENT.timestamp() * 1000)


def test_a_derived_id_never_changes() -> None:
    first = derived_id("cause", MOMENT, "ledger/0")

    assert (
        first == "019cac54-464b-85d8-8373-8796610f39dc" == derived_id("cause", MOMENT, "ledger/0")
    )


@pytest.mark.parametrize(
    "other",
    [
        ("another", MOMENT, "ledger/0"),
        ("cause", MOMENT, "ledger/1"),
        ("cause", MOMENT, "disburse/0"),
        ("cause", MOMENT + timedelta(milliseconds=1), "ledger/0"),
    ],
)
def test_another_cause_name_or_time_gives_another_id(other: tuple[str, datetime, str]) -> None:
    assert derived_id(*other) != derived_id("cause", MOMENT, "ledger/0")


@given(st.integers(0, 2**47), st.integers(1, 1000))
def test_ids_sort_by_time(ms: int, later: int) -> None:
    assert uuid7(ms).int < uuid7(ms + later).int
    assert public_id("disb", uuid7(ms)) < public_id("disb", uuid7(ms + later))


@given(st.uuids())
def test_a_public_id_is_26_letters_of_crockford_and_comes_back(value: UUID) -> None:
    text = public_id("disb", value)

    assert parse_public_id("disb", text) == value
    assert len(text) == len("disb_") + 26
    assert set(text.removeprefix("disb_")) <= set(string.digits + string.ascii_uppercase) - set(
        "ILOU"
    )


@pytest.mark.parametrize(
    "text",
    ["", "disb_", "cash_" + "0" * 26, "disb_" + "0" * 25, "disb_" + "U" * 26, "disb_" + "a" * 26,
     "disb" + "0" * 26, "disb_" + "Z" * 26],
)  # fmt: skip
def test_what_is_no_public_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        parse_public_id("disb", text)


def test_two_new_ids_differ() -> None:
    assert new_public_id("disb") != new_public_id("disb")


# --- money -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, -1, 1.0, 1.5, "1", True, None, RUPIAH_MAX + 1])
def test_an_amount_is_a_positive_whole_number_of_rupiah(bad: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Amount).validate_python(bad)


def test_a_fee_may_be_nothing() -> None:
    assert TypeAdapter(Rupiah).validate_python(0) == 0


@given(st.integers(0, RUPIAH_MAX))
def test_an_amount_as_a_bank_writes_it_comes_back(amount: int) -> None:
    assert from_snap_value(snap_value(amount)) == amount


@pytest.mark.parametrize(
    "bad", ["", ".00", "1.5", "1.01", "-1.00", "1e3", "\u0661.00", "1,00", " 1"]
)
def test_what_a_bank_writes_otherwise_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="whole rupiah"):
        from_snap_value(bad)


# --- sealed ------------------------------------------------------------------------------------


def test_what_was_sealed_with_the_old_key_opens_while_both_are_there() -> None:
    old, new = new_key("k1"), new_key("k2")
    sealed = Sealer(old).seal("6281234567890", "phone")
    rotated = Sealer(f"{new},{old}")

    assert rotated.open(sealed, "phone") == "6281234567890"
    assert rotated.seal("x", "phone").startswith("k2.")
    with pytest.raises(SealError, match="not configured"):
        Sealer(new).open(sealed, "phone")


def test_a_sealed_phone_cannot_be_opened_as_a_code() -> None:
    sealer = Sealer(new_key())

    with pytest.raises(SealError, match="code"):
        sealer.open(sealer.seal("6281234567890", "phone"), "code")


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: s[:-6] + ("A" if s[-6] != "A" else "B") + s[-5:],
        lambda s: s[:10],
        lambda s: s[:-3],
        lambda _: "k1.",
        lambda _: "k1.A",
        lambda _: "",
        lambda _: "k1.ä",
    ],
)
def test_a_damaged_value_is_refused_and_nothing_else_happens(damage: object) -> None:
    sealer = Sealer(new_key("k1"))
    sealed = sealer.seal("6281234567890", "phone")
    assert callable(damage)

    with pytest.raises(SealError):
        sealer.open(damage(sealed), "phone")


def test_the_same_value_is_never_sealed_the_same_way() -> None:
    sealer = Sealer(new_key())

    assert sealer.seal("x", "phone") != sealer.seal("x", "phone")


def test_neither_a_key_nor_a_sealed_value_shows_in_a_repr() -> None:
    key = new_key("k1")
    number = Sealer(key).seal("0123456789", "account_number")
    destination = disburse.Destination(
        type="bank_account", bank="CENAIDJA", number=number, masked="****6789"
    )

    assert key.partition(":")[2] not in repr(Sealer(key))
    assert number not in repr(destination)


@given(st.text(max_size=200))
def test_any_text_comes_back(text: str) -> None:
    sealer = Sealer(new_key())

    sealed = sealer.seal(text, "name")

    assert sealer.open(sealed, "name") == text
    disburse.ConcludeInquiry(inquiry="i", account_name=sealed, match="none")


@pytest.mark.parametrize("bad", ["", "k1", "K1:AAAA", "k1:AAAA", "k 1:AAAA", "k1:***"])
def test_a_key_of_another_form_is_refused_without_showing_it(bad: str) -> None:
    with pytest.raises(SealError) as error:
        Sealer(bad)

    assert "AAAA" not in str(error.value)


# --- names that partners see --------------------------------------------------------------------


def test_each_status_of_a_disbursement_has_a_public_name() -> None:
    assert set(public.DISBURSEMENT_STATUSES) == set(get_args(disburse.Status))
    assert set(public.DISBURSEMENT_STATUSES) >= public.DISBURSEMENT_ENDS


def test_each_status_of_a_code_has_a_public_name() -> None:
    assert set(public.CASHOUT_STATUSES) == set(get_args(cashout.Status))
    assert set(public.CASHOUT_STATUSES) >= public.CASHOUT_ENDS


def test_each_failure_code_says_whether_to_try_again_and_an_unknown_one_is_no_error() -> None:
    assert all(code.isupper() and known.message for code, known in FAILURES.items())
    assert failure(f"NEW_{uuid4().hex}").retry == "later"
