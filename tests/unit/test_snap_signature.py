"""Signatures against vectors that were computed here with the standard library alone."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from services._kit.snap_signature import (
    NoticeRefused,
    SnapKeyError,
    notice_signature,
    private_key_from,
    public_key_from,
    service_signature,
    timestamp,
    token_signature,
    verify_notice,
    verify_service_signature,
    verify_token_signature,
)
from tests.support.snap_bank import NOON, bank_key, our_key, private_pem, public_pem

PATH = "/snap/bca/v1.0/transfer/notify"
BODY = b'{"originalPartnerReferenceNo":"disb_1",  "note":"spaces stay"}'
AT = "2026-03-02T12:00:00+07:00"


def signed_notice(body: bytes = BODY, at: str = AT, path: str = PATH) -> dict[str, str]:
    text = f"POST:{path}:{hashlib.sha256(body).hexdigest().lower()}:{at}"
    raw = bank_key().sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return {"X-Timestamp": at, "x-signature": base64.b64encode(raw).decode()}


def check(headers: dict[str, str], body: bytes = BODY, now: datetime = NOON) -> None:
    key = bank_key().public_key()
    verify_notice(key, method="POST", path=PATH, body=body, headers=headers, now=now)


def test_a_timestamp_is_twenty_five_characters_of_jakarta_time() -> None:
    assert timestamp(NOON) == AT
    assert timestamp(datetime(2026, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC)) == (
        "2026-01-02T06:59:59+07:00"
    )


def test_a_service_signature_is_the_hmac_of_the_standard() -> None:
    body = b'{"amount":{"value":"10000.00","currency":"IDR"}}'
    text = f"POST:/v1.0/transfer-interbank:tok:{hashlib.sha256(body).hexdigest()}:{AT}"
    expected = base64.b64encode(hmac.new(b"s3cret", text.encode(), hashlib.sha512).digest())

    signature = service_signature(
        "s3cret", method="POST", path="/v1.0/transfer-interbank", token="tok", body=body, at=AT
    )

    assert signature == expected.decode()


@pytest.mark.parametrize("change", ["method", "path", "token", "body", "at", "secret"])
def test_each_part_of_a_service_call_is_signed(change: str) -> None:
    parts = {"method": "POST", "path": "/v1.0/x", "token": "t", "at": AT}
    signature = service_signature("secret", body=BODY, **parts)
    changed = {k: v + ("x" if k == change else "") for k, v in parts.items()}
    body = BODY + b" " if change == "body" else BODY
    secret = "other" if change == "secret" else "secret"

    assert verify_service_signature("secret", body=BODY, signature=signature, **parts)
    assert not verify_service_signature(secret, body=body, signature=signature, **changed)


def test_a_signature_with_letters_outside_ascii_is_refused_not_a_crash() -> None:
    parts = {"method": "POST", "path": "/v1.0/x", "token": "t", "at": AT}

    assert not verify_service_signature("secret", body=BODY, signature="é", **parts)
    assert not verify_token_signature(our_key().public_key(), "c", AT, "é")


def test_a_token_signature_is_checked_by_the_other_half_of_the_key() -> None:
    signature = token_signature(our_key(), "client-1", AT)

    our_key().public_key().verify(
        base64.b64decode(signature),
        f"client-1|{AT}".encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    assert verify_token_signature(our_key().public_key(), "client-1", AT, signature)
    assert not verify_token_signature(our_key().public_key(), "client-2", AT, signature)


def test_a_notice_of_the_bank_is_believed() -> None:
    check(signed_notice())
    ours = notice_signature(bank_key(), method="POST", path=PATH, body=BODY, at=AT)
    check({"X-TIMESTAMP": AT, "X-SIGNATURE": ours})


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "missing"),
        ({"X-TIMESTAMP": AT}, "missing"),
        ({"X-TIMESTAMP": AT, "X-SIGNATURE": "bm8="}, "does not fit"),
        ({"X-TIMESTAMP": AT, "X-SIGNATURE": "not base64!"}, "does not fit"),
        ({"X-TIMESTAMP": "yesterday", "X-SIGNATURE": "bm8="}, "ISO-8601"),
        ({"X-TIMESTAMP": "2" * 4000, "X-SIGNATURE": "bm8="}, "ISO-8601"),
        ({"X-TIMESTAMP": "2026-03-02T12:00:00", "X-SIGNATURE": "bm8="}, "no offset"),
        (signed_notice(path="/snap/other/v1.0/transfer/notify"), "does not fit"),
        (signed_notice(body=BODY.replace(b"  ", b" ")), "does not fit"),
    ],
)
def test_a_notice_that_is_not_the_banks_is_refused(headers: dict[str, str], text: str) -> None:
    with pytest.raises(NoticeRefused, match=text):
        check(headers)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_replayed_notice_is_refused_by_its_time(seconds: int) -> None:
    with pytest.raises(NoticeRefused, match="away"):
        check(signed_notice(), now=NOON + timedelta(seconds=seconds))


def test_a_key_may_be_pem_or_the_name_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(private_pem(our_key()))

    assert private_key_from(str(file)).key_size == 2048
    assert private_key_from(f"\n{private_pem(our_key())}\n").key_size == 2048
    assert public_key_from(public_pem(our_key())).key_size == 2048


def test_a_key_that_cannot_be_used_is_refused_without_being_shown() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - too short: the arrangement
    curve = ec.generate_private_key(ec.SECP256R1())
    curve_pem = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    damaged = private_pem(our_key()).replace("-----BEGIN", "----BEGIN")

    for text in (private_pem(short), curve_pem, damaged, "", "/no/such/file", "a\0b"):
        with pytest.raises(SnapKeyError) as caught:
            private_key_from(text)
        assert text[:40] not in str(caught.value) or not text
        with pytest.raises(SnapKeyError):
            public_key_from(text)
