"""Our signatures against those of another author."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from services.callbacks import signature
from tests.support.callbacks import SECRET


@pytest.mark.parametrize("body", [b"{}", '{"name":"Ibu Äni 💸"}'.encode(), b'{"a": 1.50}\n', b""])
def test_a_merchants_library_accepts_what_we_sign(body: bytes) -> None:
    at = datetime.now(UTC)

    headers = signature.headers(SECRET, "evt_1", int(at.timestamp()), body)

    Webhook(SECRET).verify(body, headers, json_parse=False)
    assert headers["webhook-signature"] == Webhook(SECRET).sign("evt_1", at, body.decode())


def test_the_example_of_the_specification() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'

    headers = signature.headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", SECRET[6:], "whsec_§§§§" * 9])
def test_a_secret_that_is_none_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(signature.SecretError) as caught:
        signature.headers(secret, "evt_1", 1, b"{}")

    assert not secret.removeprefix("whsec_") or secret not in str(caught.value)
