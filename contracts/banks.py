"""The banks of Indonesia, keyed by BIC (``banks.csv`` beside this file).

A sharia unit shares the 3-digit code of its conventional bank, so a code alone means the latter.
"""

import csv
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

_CODE = re.compile(r"[0-9]{3}", re.ASCII)
_WORD = re.compile(r"[a-z0-9]+")
# "PT Bank BCA" and "Bank BCA" are BCA.
_NOISE = frozenset({"bank", "pt", "tbk", "persero"})
_HEAD_OFFICE = 3 * "X"  # ISO 9362: the branch code of a head office
_BIC_WITH_BRANCH_CHARS = 11
_SUGGESTIONS_MAX = 3
_LIKENESS_MIN = 0.6
_ASKED_MAX = 64


@dataclass(frozen=True, slots=True)
class Bank:
    code: str
    bic: str
    short_name: str
    sharia_unit: bool


class UnknownBank(ValueError):  # noqa: N818 - read aloud: raise UnknownBank
    """No bank has this name, BIC or code; ``suggestions`` are short names that come near."""

    def __init__(self, asked: str, suggestions: tuple[str, ...]) -> None:
        self.asked = asked[:_ASKED_MAX]
        self.suggestions = suggestions
        hint = f"; did you mean {' or '.join(suggestions)}?" if suggestions else ""
        super().__init__(f"no bank is known as {self.asked!r}{hint}")


def find(text: str) -> Bank:
    """The bank behind a short name (in any case), a BIC or a 3-digit code.

    Raises:
        UnknownBank: none; with suggestions.
    """
    asked = text.strip()
    bic = asked.upper()
    if len(bic) == _BIC_WITH_BRANCH_CHARS:
        bic = bic.removesuffix(_HEAD_OFFICE)
    bank = _by_code().get(asked) or _by_bic().get(bic) or _by_name().get(_plain(asked))
    if bank is None:
        raise UnknownBank(asked, _near(asked))
    return bank


def by_bic(bic: str) -> Bank:
    """The bank of a BIC that has been looked up before.

    Raises:
        KeyError: not one of ours.
    """
    return _by_bic()[bic]


@cache
def all_banks() -> tuple[Bank, ...]:
    """In the order of their codes."""
    text = resources.files("contracts").joinpath("banks.csv").read_text(encoding="utf-8")
    return tuple(
        Bank(row["code"], row["bic"], row["short_name"], row["sharia_unit"] == "1")
        for row in csv.DictReader(text.splitlines())
    )


@cache
def _by_bic() -> Mapping[str, Bank]:
    return {bank.bic: bank for bank in all_banks()}


@cache
def _by_code() -> Mapping[str, Bank]:
    return {bank.code: bank for bank in all_banks() if not bank.sharia_unit}


@cache
def _by_name() -> Mapping[str, Bank]:
    """By each spelling of a short name; of what two banks share, neither."""
    names: dict[str, set[Bank]] = {}
    for bank in all_banks():
        for name in _spellings(bank.short_name):
            names.setdefault(name, set()).add(bank)
    return {name: next(iter(banks)) for name, banks in names.items() if len(banks) == 1}


def _spellings(short_name: str) -> set[str]:
    """``SMBC Indonesia (ex BTPN/Jenius)`` is also known by what stands before the parenthesis."""
    return {_plain(short_name), _plain(short_name.partition("(")[0])}


def _plain(text: str) -> str:
    words = _WORD.findall(text.lower())
    return " ".join(word for word in words if word not in _NOISE) or " ".join(words)


def _near(asked: str) -> tuple[str, ...]:
    """Short names that are alike, or hold a word that was asked for."""
    if _CODE.fullmatch(asked):
        return ()
    plain = _plain(asked)
    words = set(plain.split())
    found = [b.short_name for b in all_banks() if words & set(_plain(b.short_name).split())]
    alike = difflib.get_close_matches(plain[:_ASKED_MAX], _by_name(), 9, _LIKENESS_MIN)
    found += [_by_name()[name].short_name for name in alike]
    return tuple(dict.fromkeys(found))[:_SUGGESTIONS_MAX]
