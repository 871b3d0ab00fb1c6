"""How a code is made and recognised: ten digits, the last one a check digit, kept as a keyed hash.

The check digit is Damm's (H. M. Damm, 2004): it finds every wrong digit and every swap of two
neighbours, which are nine of ten typing errors. It is no secret, so 10^9 codes are left to guess;
the limits of ``tills`` are made for that.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final

CODE_DIGITS: Final = 10
RANDOM_BYTES: Final = 16
KEYS_MAX: Final = 2
_KEY_BYTES_MIN = 32
_FREE: Final = CODE_DIGITS - 1

# A totally anti-symmetric quasigroup of order 10 with zeros on its diagonal.
_DAMM: Final = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)


def draw(random: bytes) -> str:
    """A code from ``RANDOM_BYTES`` of a secure source.

    128 bits onto 10^9: no code is likelier than another by more than 2^-98.
    """
    assert len(random) == RANDOM_BYTES, "a code is drawn from all of its random bytes"
    free = f"{int.from_bytes(random, 'big') % 10**_FREE:0{_FREE}d}"
    return free + check_digit(free)


def check_digit(digits: str) -> str:
    """The digit to append; of digits with their check digit it is 0."""
    interim = 0
    for digit in digits:
        interim = _DAMM[interim][int(digit)]
    return str(interim)


class CodeKeys:
    """Keyed hashes of (environment, phone, code), under a key that is rotated.

    Args:
        keys: ``"id:base64"``, comma separated, newest first, at most two: the first one hashes
            new codes, both recognise. The old one may go when its last code has expired.
    """

    def __init__(self, keys: str) -> None:
        self._keys: Mapping[str, bytes] = dict(_key(part) for part in keys.split(","))
        if len(self._keys) != keys.count(",") + 1 or len(self._keys) > KEYS_MAX:
            raise ValueError("one or two keys with different ids")

    def __repr__(self) -> str:
        return f"CodeKeys({list(self._keys)})"

    def digests(self, place: str, code: str) -> tuple[str, ...]:
        """One for each live key, the newest first; ``place`` is ``life.place``'s."""
        return tuple(
            f"{name}.{hmac.new(key, f'{place}/{code}'.encode(), hashlib.sha256).hexdigest()}"
            for name, key in self._keys.items()
        )


def same(digest: str | None, shown: Iterable[str]) -> bool:
    """Whether a kept digest is one of the ``shown``, in a time that does not tell which."""
    kept = (digest or "").encode()
    found = False
    for one in shown:
        found |= hmac.compare_digest(kept, one.encode())
    return found


def _key(part: str) -> tuple[str, bytes]:
    name, _, text = part.strip().partition(":")
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if not name.isalnum() or not name.islower() or len(raw) < _KEY_BYTES_MIN:
        raise ValueError("a code key is written id:base64, with a lower-case id and 32 bytes")
    return name, raw
