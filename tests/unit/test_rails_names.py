"""Names: who is the same, who is probably the same, and who is somebody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.disburse.rails.names import match

NAMES = st.text(st.characters(max_codepoint=0x2FF), max_size=30)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("Budi Santoso", "BUDI SANTOSO"),
        ("  Budi   Santoso ", "Budi Santoso"),
        ("Budi-Santoso", "BUDI SANTOSO"),
        ("H. Ahmad", "AHMAD"),
        ("Drs.Budi, S.Kom.", "BUDI"),
        ("Prof. Dr. Ir. Siti Aminah, M.Kes", "SITI AMINAH"),
        ("Ibu Ani", "Sdri. Ani"),
        ("Nur'aini", "NURAINI"),
        ("José", "JOSE"),
        ("H", "H."),
        ("Ani S.E.", "ANI SE"),
    ],
)
def test_case_punctuation_and_titles_do_not_matter(expected: str, found: str) -> None:
    assert match(expected, found) == "exact"
    assert match(found, expected) == "exact"


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("ANI", "ANI SUSANTI"),
        ("Muhammad Ali", "M ALI"),
        ("Santoso Budi", "BUDI SANTOSO"),
        ("Budi Santosa", "BUDI SANTOSO"),
        ("Muhammad Rizky Pratama", "MUHAMMAD RIZKY PRATA"),
        ("Dewi Lestari", "DEWILESTARI"),
        ("PT Maju Jaya", "MAJU JAYA PT"),
        ("PT Maju", "MAJU"),
        ("Muhamad Ali", "MUHAMMAD ALI"),
    ],
)
def test_a_name_left_out_cut_off_or_mistyped_is_close(expected: str, found: str) -> None:
    assert match(expected, found) == "close"
    assert match(found, expected) == "close"


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("Ani", "BUDI"),
        ("Budi Santoso", "BUDI HARTONO"),
        ("A B", "ANDI BUDI"),
        ("Siti", "SITA"),
        ("Ani", ""),
        ("", ""),
        ("...", "ANI"),
        ("Li", "LIM SIOE LIONG"),
    ],
)
def test_somebody_else_is_none(expected: str, found: str) -> None:
    assert match(expected, found) == "none"
    assert match(found, expected) == "none"


def test_a_wallets_name_before_the_owners_is_the_banks_habit() -> None:
    assert match("Ani", "GOPAY ANI", wallet="GOPAY") == "exact"
    assert match("Ani", "GOPAY ANI") == "close"
    assert match("Dana Putra", "DANA PUTRA", wallet="DANA") == "close"
    assert match("Dana", "DANA", wallet="DANA") == "exact"


@given(one=NAMES, two=NAMES)
def test_it_does_not_matter_who_is_asked_first(one: str, two: str) -> None:
    assert match(one, two) == match(two, one)


@given(name=NAMES)
def test_a_name_is_its_own_or_nobodys(name: str) -> None:
    assert match(name, name) in {"exact", "none"}
