"""Banks are found by what people write, and a near miss is met with a suggestion."""

import pytest

from contracts.banks import UnknownBank, all_banks, by_bic, find


@pytest.mark.parametrize(
    "text",
    ["BCA", "bca", " Bca ", "Bank BCA", "PT. Bank BCA Tbk", "CENAIDJA", "cenaidja",
     "CENAIDJAXXX", "014"],
)  # fmt: skip
def test_a_bank_is_found_by_name_bic_or_code(text: str) -> None:
    assert find(text).bic == "CENAIDJA"


def test_every_bank_is_found_by_its_own_name_and_bic() -> None:
    for bank in all_banks():
        assert find(bank.short_name) == bank
        assert find(bank.bic) == bank
        assert by_bic(bank.bic) == bank


def test_a_code_shared_with_a_sharia_unit_means_the_conventional_bank() -> None:
    for bank in all_banks():
        found = find(bank.code)

        assert found.code == bank.code
        assert not found.sharia_unit


def test_the_table_is_complete_and_unambiguous() -> None:
    banks = all_banks()

    assert len(banks) == 112
    assert len({bank.bic for bank in banks}) == len(banks)
    assert len({bank.short_name.lower() for bank in banks}) == len(banks)
    conventional = [bank.code for bank in banks if not bank.sharia_unit]
    assert len(set(conventional)) == len(conventional)
    assert {bank.code for bank in banks} == set(conventional)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Mandri", "Mandiri"),
        ("cimb", "CIMB Niaga"),
        ("Niaga", "CIMB Niaga"),
        ("jenius", "SMBC Indonesia (ex BTPN/Jenius)"),
        ("blu", "BCA Digital (blu)"),
        ("BCD", "BCA"),
    ],
)
def test_an_unknown_bank_is_answered_with_what_was_meant(text: str, first: str) -> None:
    with pytest.raises(UnknownBank) as caught:
        find(text)

    assert caught.value.suggestions[0] == first
    assert len(caught.value.suggestions) <= 3
    assert f"did you mean {first}" in str(caught.value)


@pytest.mark.parametrize("text", ["", "   ", "999", "qqqqqq", "٠١٤", "x" * 100_000])
def test_a_bank_that_is_like_no_other_has_no_suggestion(text: str) -> None:
    with pytest.raises(UnknownBank) as caught:
        find(text)

    assert caught.value.suggestions == ()
    assert len(str(caught.value)) < 200
