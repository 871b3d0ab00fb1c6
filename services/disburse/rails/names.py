"""Whether the name a partner expects is the name that the bank found.

``exact``: the same but for case, punctuation, spaces and titles; what ``name_check: strict`` asks
for. ``close``: probably the same person (a name left out, an initial, a typing error, a name cut
off by a bank's field length); a person should look. ``none``: somebody else.
"""

import re
import unicodedata
from typing import Final, Literal

Match = Literal["exact", "close", "none"]

# Forms of address and academic degrees that banks keep or drop as they like. "PT" and "CV" are not
# here: a person and a company of one name are two owners.
# fmt: off
_BEFORE: Final = frozenset({
    "bapak", "bpk", "pak", "ibu", "sdr", "sdri", "tn", "ny", "nn", "haji", "hajjah", "h", "hj",
    "kh", "dr", "drs", "dra", "drg", "drh", "ir", "prof",
})
_BEHIND: Final = frozenset({
    "se", "sh", "st", "ssi", "skom", "ssos", "spd", "sip", "spt", "sp", "skep", "sked",
    "amd", "md", "mba", "mm", "mh", "mt", "msi", "mkom", "mpd", "mkes", "phd",
})
# fmt: on
_BETWEEN_WORDS = re.compile(r"[\s,;/&()_-]+")
_WORD_MIN, _CUT_MIN, _LETTERS_PER_ERROR = 3, 3, 6


def match(expected: str, found: str, *, wallet: str | None = None) -> Match:
    """Compares two names; an empty one matches nothing.

    Args:
        expected: by the partner.
        found: by the bank.
        wallet: whose name banks print before the owner's: ``GOPAY ANI``.
    """
    left, right = words(expected), words(found)
    if wallet is not None and right[:1] == (wallet.casefold(),) and len(right) > 1:
        right = right[1:]
    if not left or not right:
        return "none"
    if left == right:
        return "exact"
    return "close" if _reordered_or_shorter(left, right) or _mistyped(left, right) else "none"


def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, without accents, punctuation and titles."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    chunks = _BETWEEN_WORDS.split(decomposed)
    return _without_titles([word for chunk in chunks for word in _dotted(chunk)])


def _dotted(chunk: str) -> list[str]:
    """``s.kom`` is one title, ``h.ahmad`` a title and a name, ``nur'aini`` one name."""
    parts = ["".join(filter(str.isalnum, part)) for part in chunk.split(".")]
    joined = "".join(parts)
    if joined in _BEFORE | _BEHIND:
        return [joined]
    return [part for part in parts if part]


def _without_titles(found: list[str]) -> tuple[str, ...]:
    """A name that is nothing but titles keeps its last word: ``H`` alone is a name."""
    start, end = 0, len(found)
    while start < end - 1 and found[start] in _BEFORE:
        start += 1
    while end > start + 1 and found[end - 1] in _BEHIND:
        end -= 1
    return tuple(found[start:end])


def _reordered_or_shorter(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Each word of the shorter name stands for one of the longer, and one of them in full."""
    short, rest = sorted((left, right), key=len)
    remaining, in_full = list(rest), False
    for word in sorted(short, key=len, reverse=True):
        other = next((w for w in remaining if w == word), None)
        if other is not None:
            in_full |= len(word) >= _WORD_MIN
        else:
            other = next((w for w in remaining if _stands_for(word, w)), None)
        if other is None:
            return False
        remaining.remove(other)
    return in_full


def _stands_for(word: str, other: str) -> bool:
    """An initial, a word cut off, or one typing error in a word of some length."""
    short, long = sorted((word, other), key=len)
    cut = long.startswith(short) and (len(short) == 1 or len(short) >= _CUT_MIN)
    return cut or (len(short) > _WORD_MIN and _distance(short, long) <= 1)


def _mistyped(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Spaces in other places, or about one wrong letter in six."""
    one, two = "".join(left), "".join(right)
    return _distance(one, two) <= min(len(one), len(two)) // _LETTERS_PER_ERROR


def _distance(one: str, two: str) -> int:
    """Levenshtein's; both are names, so the table is small."""
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(two, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]
