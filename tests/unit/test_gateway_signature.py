import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from contracts.sealed import Sealer, new_key
from services.gateway.auth import Gate, Signed, signature
from services.gateway.http.problems import Problem
from services.gateway.partners import Caller, Partners

DOCS = Path(__file__).parents[2] / "docs" / "api"
KEY = "key_" + "0" * 26
SECRET = b"sk_sandbox_secret"
NOW = 1_767_225_600


class Known(Partners):
    """Partners without a database: one key."""

    def __init__(self, environment: Any = "sandbox") -> None:
        super().__init__(None, Sealer(new_key()), 0)
        self._environment = environment

    async def caller(self, key: str) -> Caller | None:
        return Caller("toko", self._environment, KEY, SECRET, ()) if key == KEY else None


def signed(body: bytes = b"{}", **changes: Any) -> Signed:
    """A good request, of which ``changes`` are what arrives instead."""
    digest = hashlib.sha256(b"{}").hexdigest()
    text = signature(SECRET, "POST", "/v1/disbursements", str(NOW), "k", digest)
    headers = {
        "salur-key": KEY,
        "salur-timestamp": str(NOW),
        "salur-signature": text,
        "idempotency-key": "k",
    }
    headers |= changes.pop("headers", {})
    asked = {
        "method": "POST",
        "target": "/v1/disbursements",
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "address": "203.0.113.7",
    }
    return Signed(headers=headers, **(asked | changes))


def test_the_published_vectors_hold() -> None:
    published = json.loads((DOCS / "signature-vectors.json").read_text())
    page = (DOCS / "signature.md").read_text()

    for one in published["vectors"]:
        digest = hashlib.sha256(one["body"].encode()).hexdigest()
        made = signature(
            published["secret"].encode(),
            one["method"],
            one["target"],
            published["timestamp"],
            one["idempotency_key"],
            digest,
        )
        assert made == one["signature"]
        assert made in page


async def test_a_good_signature_lets_its_partner_in() -> None:
    caller = await Gate(Known(), 300).admit(signed(), NOW + 299)

    assert caller.account == "toko.sandbox"
    assert "secret" not in repr(caller)


async def test_one_of_several_signatures_may_fit() -> None:
    good = signed().headers["salur-signature"]

    caller = await Gate(Known(), 300).admit(
        signed(headers={"salur-signature": f"v1=00, {good}"}), NOW
    )

    assert caller.partner == "toko"


@pytest.mark.parametrize(
    "asked",
    [
        signed(b'{"amount": 2}'),
        signed(method="PUT"),
        signed(target="/v1/disbursements?x=1"),
        signed(headers={"idempotency-key": "other"}),
        signed(headers={"salur-timestamp": str(NOW + 1)}),
        signed(headers={"salur-signature": "v1=" + "0" * 64}),
        signed(headers={"salur-signature": "\xff"}),
        signed(headers={"salur-key": "key_" + "1" * 26}),
        signed(headers={"salur-key": "$ne"}),
    ],
)
async def test_whatever_was_changed_after_signing_is_refused(asked: Signed) -> None:
    with pytest.raises(Problem) as refused:
        await Gate(Known(), 300).admit(asked, NOW)

    assert refused.value.code == "SIGNATURE_INVALID"


@pytest.mark.parametrize("away_s", [-301, 301])
async def test_an_old_or_future_request_is_refused(away_s: int) -> None:
    with pytest.raises(Problem) as refused:
        await Gate(Known(), 300).admit(signed(), NOW + away_s)

    assert refused.value.code == "TIMESTAMP_OUT_OF_RANGE"


@pytest.mark.parametrize("header", ["salur-key", "salur-timestamp", "salur-signature"])
async def test_each_of_the_three_headers_is_needed(header: str) -> None:
    with pytest.raises(Problem) as refused:
        await Gate(Known(), 300).admit(signed(headers={header: ""}), NOW)

    assert refused.value.type.status == 401


def password(text: str) -> Signed:
    encoded = base64.b64encode(text.encode()).decode()
    return Signed("GET", "/v1/balance", {"authorization": f"Basic {encoded}"}, "", "::1")


async def test_a_sandbox_key_may_be_a_password_and_a_production_key_never() -> None:
    asked = password(f"{KEY}:{SECRET.decode()}")

    caller = await Gate(Known(), 300).admit(asked, NOW)
    with pytest.raises(Problem) as production:
        await Gate(Known("production"), 300).admit(asked, NOW)

    assert caller.environment == "sandbox"
    assert production.value.code == "ENVIRONMENT_NOT_ALLOWED"


@pytest.mark.parametrize("text", [f"{KEY}:", f"{KEY}:wrong", "key_unknown:", ":", ""])
async def test_a_wrong_password_is_refused(text: str) -> None:
    with pytest.raises(Problem) as refused:
        await Gate(Known(), 300).admit(password(text), NOW)

    assert refused.value.code == "SIGNATURE_INVALID"


@pytest.mark.parametrize("value", ["Basic !!!", "Basic /////w==", "Bearer x", "Basic", ""])
async def test_what_is_no_password_is_refused(value: str) -> None:
    with pytest.raises(Problem) as refused:
        await Gate(Known(), 300).admit(
            Signed("GET", "/v1/balance", {"authorization": value}, "", ""), NOW
        )

    assert refused.value.type.status == 401
