"""Phones in one form inside, and never whole where people look."""

import pytest

from contracts.phones import PhoneError, local_form, masked_account, masked_phone, normalised


@pytest.mark.parametrize(
    "text",
    ["081234567890", "6281234567890", "+6281234567890", "+62 812-3456-7890", "0812 3456 7890",
     "(0812) 3456.7890"],
)  # fmt: skip
def test_every_way_of_writing_a_phone_is_one_phone(text: str) -> None:
    assert normalised(text) == "6281234567890"
    assert local_form(text) == "081234567890"
    assert masked_phone(text) == "0812****7890"
    assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize("digits", range(10, 14))
def test_a_mobile_number_has_ten_to_thirteen_digits(digits: int) -> None:
    text = "0812345678901"[:digits]

    assert local_form(text) == text
    assert len(masked_phone(text)) == 12


@pytest.mark.parametrize(
    "text",
    ["", "0", "62", "08", "081234567", "08123456789012", "0211234567", "81234567890",
     "+6581234567", "08123456789x", "٠٨١٢٣٤٥٦٧٨٩٠", "080234567890", "6262812345678",
     "+62081234567890", "0812\n34567890\n" + " " * 90],
)  # fmt: skip
def test_what_is_not_an_indonesian_mobile_number_is_refused_unseen(text: str) -> None:
    with pytest.raises(PhoneError) as caught:
        normalised(text)

    assert "812" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("0123456789", "****6789"),
        ("70001081234567890", "****7890"),
        ("123456", "****456"),
        ("123", "****3"),
        ("1", "****"),
        ("", "****"),
    ],
)
def test_an_account_shows_its_last_four_at_most_and_never_more_than_half(
    number: str, masked: str
) -> None:
    assert masked_account(number) == masked
