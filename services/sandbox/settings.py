"""What the sandbox can be told; see ``services._kit.settings`` for how."""

from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import AfterValidator, ValidationInfo, field_validator

from services._kit.settings import AnyUrl, Field, SecretStr, ServiceSettings


@cache
def public_key(pem: str) -> rsa.RSAPublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError
    return key


@cache
def private_key(pem: str) -> rsa.RSAPrivateKey:
    # Cached, because the check of an RSA key takes a tenth of a second.
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError
    return key


def _public_pem(pem: str) -> str:
    try:
        public_key(pem)
    except (ValueError, TypeError):
        raise ValueError("not an RSA public key in PEM") from None
    return pem


def _private_pem(pem: SecretStr) -> SecretStr:
    try:
        private_key(pem.get_secret_value())
    except (ValueError, TypeError):
        raise ValueError("not an RSA private key in PEM, without a password") from None
    return pem


class Settings(ServiceSettings):
    """The defaults are the ones that the documentation of the magic accounts speaks of."""

    service: ClassVar[str] = "sandbox"

    host: str = Field(default="127.0.0.1", description="address of the bank and the merchant")
    port: int = Field(ge=0, le=65535, description="port of the bank and the merchant; 0: any")
    data_dir: Path = Field(description="folder of the journals; they outlive the process")

    client_id: str = Field(min_length=1, max_length=36, description="the bank's only client")
    client_secret: SecretStr = Field(description="the client's secret, for HMAC-SHA512")
    client_public_key: Annotated[str, AfterValidator(_public_pem)] = Field(
        description="RSA public key (PEM) that checks the client's token requests"
    )
    bank_private_key: Annotated[SecretStr, AfterValidator(_private_pem)] = Field(
        description="RSA private key (PEM) with which the bank signs its return notices"
    )

    token_life_s: int = Field(default=900, ge=1, description="life of an access token")
    timestamp_tolerance_s: float = Field(
        default=300, gt=0, description="how far X-TIMESTAMP may be from the bank's clock"
    )
    latency_ms: float = Field(default=20, ge=0, description="how long the bank thinks")
    pending_s: float = Field(default=8, ge=0, description="131313…: pending this long")
    return_after_s: float = Field(default=10, ge=0, description="654321…: returned after this")
    hang_s: float = Field(default=30, ge=0, description="141414…, 151515…: silent this long")
    opening_balance: int = Field(
        default=1_000_000_000_000_000, ge=0, description="rupiah on each source account at first"
    )
    body_bytes_max: int = Field(default=262_144, ge=1024, description="a longer body is refused")

    notify: bool = Field(
        default=True, description="whether returns are notified; if not, only the statement tells"
    )
    notify_url: AnyUrl | None = Field(
        default=None,
        validate_default=True,
        description="base URL for return notices, before /snap/<rail>/…; needed while notify is on",
    )
    notify_rail: str = Field(
        default="sandbox", pattern=r"^[A-Za-z0-9_-]+$", description="the rail's name in that URL"
    )
    notify_timeout_s: float = Field(default=5, gt=0, description="deadline of one notice")
    notify_backoff_s: float = Field(
        default=0.5, gt=0, description="before the second notice; doubled each time"
    )
    notify_backoff_max_s: float = Field(default=30, gt=0, description="longest wait between two")
    notify_give_up_s: float = Field(
        default=86_400, gt=0, description="after this only the statement tells"
    )

    till_silent_s: float = Field(
        default=30, ge=0.1, description="a till that hears nothing for this long reverses by itself"
    )
    till_late_s: float = Field(
        default=30, ge=0, description="`late`: the same is asked again after this"
    )
    till_reversal_timeout_s: float = Field(
        default=10, gt=0, description="how long a reversal waits for its answer"
    )
    till_reversal_every_s: float = Field(
        default=2, ge=0, description="between a reversal without an answer and the next"
    )
    till_give_up_s: float = Field(
        default=86_400, gt=0, description="after this a reversal without an answer is given up"
    )
    till_kept: int = Field(
        default=10_000, ge=1, description="conversations that the till shows; older are dropped"
    )

    callbacks_kept: int = Field(
        default=100_000, ge=1, description="callbacks that the merchant shows; older are dropped"
    )

    @field_validator("notify_url")
    @classmethod
    def _url_while_notifying(cls, url: AnyUrl | None, info: ValidationInfo) -> AnyUrl | None:
        if url is None and info.data.get("notify"):
            raise ValueError("needed while SALUR_SANDBOX_NOTIFY is on")
        return url
