"""A code: ten digits from a secure source, with a check digit, kept as a keyed hash."""

import base64
import os
from itertools import pairwise

import pytest

from contracts.cashout.keys import CodeError, PhoneKey, plain_code, spaced_code
from contracts.phones import normalised
from services.cashout.codes import RANDOM_BYTES, CodeKeys, check_digit, draw, same

PLACE = "sandbox/" + "ab" * 32


def key(name: str) -> str:
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


def test_a_code_is_ten_digits_of_which_the_last_checks_the_others() -> None:
    drawn = [draw(os.urandom(RANDOM_BYTES)) for _ in range(500)]

    assert all(len(code) == 10 and code.isdigit() for code in drawn)
    assert all(check_digit(code) == "0" for code in drawn)
    assert len(set(drawn)) > 490


def test_each_draw_uses_all_of_its_random_bytes() -> None:
    first, last = b"\x01" + bytes(15), bytes(15) + b"\x01"

    assert draw(first) != draw(bytes(16)) != draw(last)
    with pytest.raises(AssertionError):
        draw(bytes(8))


def test_the_check_digit_finds_every_wrong_digit_and_every_swap_of_neighbours() -> None:
    code = draw(os.urandom(RANDOM_BYTES))

    for place, right in enumerate(code):
        for digit in set("0123456789") - {right}:
            assert check_digit(code[:place] + digit + code[place + 1 :]) != "0"
    for place, (left, right) in enumerate(pairwise(code)):
        if left != right:
            assert check_digit(code[:place] + right + left + code[place + 2 :]) != "0"


def test_the_check_digit_is_damms() -> None:
    assert check_digit("572") == "4"


def test_the_first_key_hashes_and_both_recognise() -> None:
    old, new = key("c1"), key("c2")
    [kept] = CodeKeys(old).digests(PLACE, "4821093756")

    rotated = CodeKeys(f"{new},{old}").digests(PLACE, "4821093756")

    assert rotated[0].startswith("c2.")
    assert same(kept, rotated)
    assert not same(kept, CodeKeys(new).digests(PLACE, "4821093756"))


def test_the_same_code_of_another_phone_or_environment_has_another_hash() -> None:
    keys = CodeKeys(key("c1"))

    [kept] = keys.digests(PLACE, "4821093756")

    assert not same(kept, keys.digests("sandbox/" + "cd" * 32, "4821093756"))
    assert not same(kept, keys.digests(PLACE.replace("sandbox", "production"), "4821093756"))
    assert "4821093756" not in kept


def test_no_code_at_all_is_the_same_as_none() -> None:
    assert not same(None, CodeKeys(key("c1")).digests(PLACE, "4821093756"))
    assert not same("c1.00", ())


def test_every_candidate_is_compared_in_full_and_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[bytes] = []

    def counting(kept: bytes, shown: bytes) -> bool:
        compared.append(shown)
        return kept == shown

    monkeypatch.setattr("services.cashout.codes.hmac.compare_digest", counting)

    assert same("c1.aa", ("c1.aa", "c0.bb"))
    assert len(compared) == 2


@pytest.mark.parametrize(
    "text",
    ["", "c1", "c1:short", "c1:" + "A" * 44 + "!", "C1:" + base64.b64encode(bytes(32)).decode()],
)
def test_a_key_that_is_written_wrongly_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        CodeKeys(text)


def test_two_keys_may_live_at_once_and_no_more() -> None:
    one = key("c1")

    CodeKeys(f"{key('c2')},{one}")
    with pytest.raises(ValueError, match="key"):
        CodeKeys(",".join((one, key("c2"), key("c3"))))
    with pytest.raises(ValueError, match="key"):
        CodeKeys(f"{one},{one}")


def test_a_phone_has_one_hash_however_it_is_spelled() -> None:
    phones = PhoneKey(key("p1"))

    spelled = ("081234567890", "6281234567890", "+62 812-3456-7890")

    assert len({phones.phone_hash(normalised(one)) for one in spelled}) == 1


def test_a_try_is_the_same_only_with_the_same_code_phone_and_amount() -> None:
    phones = PhoneKey(key("p1"))
    tries = [
        phones.redemption("4821093756", "6281234567890", 100_000),
        phones.redemption("4821093757", "6281234567890", 100_000),
        phones.redemption("4821093756", "6281234567891", 100_000),
        phones.redemption("4821093756", "6281234567890", 150_000),
        phones.reversal("6281234567890", "4821093756"),
        phones.reversal("6281234567890", None),
        phones.phone_hash("6281234567890"),
    ]

    assert len(set(tries)) == len(tries)


def test_a_code_is_read_with_its_spaces_and_shown_with_them() -> None:
    assert plain_code("4821 0937 56") == plain_code("4821-093756") == "4821093756"
    assert spaced_code("4821093756") == "4821 0937 56"
    for text in ("482109375", "48210937561", "4821o93756", "٤٨٢١٠٩٣٧٥٦", ""):
        with pytest.raises(CodeError) as error:
            plain_code(text)
        assert not text or text not in str(error.value)
