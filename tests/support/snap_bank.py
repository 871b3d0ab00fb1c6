"""A bank in a few lines for the rail's tests: it checks signatures with its own code."""

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from services.disburse.rails import Beneficiary, Order
from services.disburse.rails.directory import RailConfig
from services.disburse.rails.snap import SnapRail

SECRET = "a-made-up-client-secret"
NOON = datetime(2026, 3, 2, 5, 0, 0, tzinfo=UTC)
REFERENCE = "disb_01JQ5V7W3N8K2M4P6R8T0V2X4Z"
TOKEN_PATH = "/v1.0/access-token/b2b"

Answer = Callable[[httpx.Request], httpx.Response]


@cache
def our_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def bank_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def config(**changes: Any) -> RailConfig:
    values: dict[str, Any] = {
        "name": "bca",
        "environments": ["sandbox"],
        "base_url": "http://bank.test/openapi",
        "client_id": "client-1",
        "client_secret": SECRET,
        "private_key": private_pem(our_key()),
        "bank_public_key": public_pem(bank_key()),
        "partner_id": "PARTNER01",
        "channel_id": "95051",
        "bank_bic": "CENAIDJA",
        "source_account": "1234567890",
        "token_timeout_s": 0.5,
        "call_timeout_s": 0.5,
    }
    return RailConfig.model_validate(values | changes)


def order(bank: str = "BRINIDJA", amount: int = 10_000, name: str | None = "ANI") -> Order:
    return Order(REFERENCE, amount, Beneficiary(bank, "0123456789", name), NOON)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class FakeBank:
    """Answers each path as told; everything that comes is kept in ``requests``."""

    def __init__(self, **answers: Answer | httpx.Response | Exception) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []
        self.tokens = Counter[str]()
        self.expires_in: object = "900"
        self.clock = Clock()

    def rail(self, **changes: Any) -> SnapRail:
        return SnapRail(
            config(**changes), transport=httpx.MockTransport(self._answer), clock=self.clock
        )

    def calls(self, name: str) -> list[httpx.Request]:
        return [r for r in self.requests if r.url.path.endswith(name)]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path.endswith(TOKEN_PATH):
            return self._token(request)
        name = request.url.path.rpartition("/")[2].replace("-", "_")
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def _token(self, request: httpx.Request) -> httpx.Response:
        if "token" in self.answers:
            answer = self.answers["token"]
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, httpx.Response) else answer(request)
        check_token_request(request)
        token = f"token-{len(self.calls(TOKEN_PATH))}"
        body = {"responseCode": "2007300", "accessToken": token, "expiresIn": self.expires_in}
        return httpx.Response(200, json=body)


def check_token_request(request: httpx.Request) -> None:
    """As the standard says it, by other means than ours."""
    text = f"{request.headers['X-CLIENT-KEY']}|{request.headers['X-TIMESTAMP']}"
    our_key().public_key().verify(
        base64.b64decode(request.headers["X-SIGNATURE"]),
        text.encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    assert json.loads(request.content) == {"grantType": "client_credentials"}


def expected_signature(request: httpx.Request, relative_url: str) -> str:
    token = request.headers["Authorization"].removeprefix("Bearer ")
    digest = hashlib.sha256(request.content).hexdigest().lower()
    text = f"POST:{relative_url}:{token}:{digest}:{request.headers['X-TIMESTAMP']}"
    signed = hmac.new(SECRET.encode(), text.encode(), hashlib.sha512).digest()
    return base64.b64encode(signed).decode()


def said(code: str, **fields: Any) -> httpx.Response:
    """An answer whose HTTP status fits its code."""
    body = {"responseCode": code, "responseMessage": "as told", **fields}
    return httpx.Response(int(code[:3]), json=body)
