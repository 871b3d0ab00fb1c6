"""What the service can be told; see ``services._kit.settings`` for how."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, IPvAnyNetwork, field_validator

from contracts.cashout.keys import PhoneKey
from contracts.money import Amount, Rupiah
from contracts.sealed import Sealer, SealError
from services._kit.settings import Field, PlatformSettings, SecretStr
from services._kit.snap_signature import SnapKeyError, public_key_from
from services.gateway.tariff import Band, Tariff

_TOKEN_CHARS_MIN = 16


def _seal_key(key: SecretStr) -> SecretStr:
    try:
        Sealer(key.get_secret_value())
    except (SealError, ValueError):
        # Without the value: it is a secret.
        raise ValueError("not id:base64 of 32 bytes, comma separated") from None
    return key


def _phone_key(key: SecretStr) -> SecretStr:
    try:
        PhoneKey(key.get_secret_value())
    except ValueError:
        raise ValueError("not id:base64 of 32 bytes, one only") from None
    return key


SealKey = Annotated[SecretStr, AfterValidator(_seal_key)]


class Settings(PlatformSettings):
    service: ClassVar[str] = "gateway"

    host: str = Field(default="127.0.0.1", description="address for partners and banks")
    port: int = Field(ge=0, le=65535, description="port for partners and banks")
    admin_host: str = Field(default="127.0.0.1", description="address for operators")
    admin_port: int = Field(ge=0, le=65535, description="port for operators")
    admin_token: SecretStr = Field(
        min_length=_TOKEN_CHARS_MIN, description="operators send it as Authorization: Bearer"
    )
    seal_key: SealKey = Field(description="seals account numbers and partners' secrets")
    phone_key: Annotated[SecretStr, AfterValidator(_phone_key)] = Field(
        description="hashes phones: id:base64 of 32 bytes; never changed, it orders what is said"
    )
    callback_seal_key: SealKey = Field(
        description="seals endpoint secrets; shared with the callbacks"
    )
    proxy_networks: tuple[str, ...] = Field(
        default=(), description="networks of proxies whose X-Forwarded-For is believed"
    )
    bank_public_keys: dict[str, str] = Field(
        default_factory=dict, description="rail to the bank's RSA public key (PEM or its path)"
    )
    tariffs: tuple[Band, ...] = Field(
        default=(), description="fees and limits per partner, channel and amount band"
    )
    closed_channels: tuple[str, ...] = Field(
        default=(), description="BICs, wallets, chains and CASHOUT that take no new requests now"
    )
    sandbox_grant: Amount = Field(default=1_000_000_000, description="of each new sandbox, rupiah")
    credit_limit_max: Rupiah = Field(
        default=10**12, description="most that an operator may set, rupiah"
    )
    problems_url: str = Field(
        default="https://salur.example/problems/", description="before each problem type's name"
    )
    body_bytes_max: int = Field(default=65_536, ge=1024, description="of a request's body")
    in_flight_max: int = Field(default=500, ge=1, description="requests at once in one process")
    rate_limit_per_s: float = Field(
        default=1000, gt=0, description="requests of one partner's environment, each process"
    )
    instruct_ahead_days: int = Field(default=365, ge=1, description="latest instruct_at")
    signature_tolerance_s: int = Field(default=300, ge=1, description="of Salur-Timestamp")
    key_cache_s: float = Field(
        default=5, ge=0, description="how long a revoked key may still work in another process"
    )
    republish_after_s: float = Field(
        default=10, gt=0, description="a remembered request without an event is said again"
    )
    cancel_wait_s: float = Field(
        default=5, ge=0, le=20, description="for the life's answer, then 202"
    )
    inquiry_wait_s: float = Field(
        default=10, ge=0, le=20, description="for the bank's answer, then 504"
    )
    cashout_wait_s: float = Field(
        default=5, ge=0, le=20, description="for a code, of a request that does not say Prefer"
    )
    code_life_s: int = Field(default=86_400, ge=1, description="of a code without expires_at")
    code_lives_s: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="the same of a partner, or of <partner>.<environment>"
    )
    code_life_max_days: int = Field(default=30, ge=1, description="latest expires_at")
    redemption_wait_s: float = Field(
        default=25, gt=0, le=25, description="answer_by of a redemption; a store reverses at 30 s"
    )
    reversal_wait_s: float = Field(default=25, gt=0, le=25, description="for its answer, then 504")
    till_again_s: float = Field(
        default=3, gt=0, description="a store's request without an answer is said again"
    )
    operator_wait_s: float = Field(
        default=5, ge=0, le=20, description="for a command's event, then 202"
    )
    events_days: int = Field(default=90, ge=1, description="how long GET /v1/events remembers")
    # Shorter than other services': a caller waits for this ack.
    publish_timeout_s: float = Field(default=5, gt=0, description="a slower ack is answered 503")

    @field_validator("bank_public_keys")
    @classmethod
    def _readable(cls, keys: dict[str, str]) -> dict[str, str]:
        for rail, key in keys.items():
            try:
                public_key_from(key)
            except SnapKeyError as error:
                raise ValueError(f"{rail}: {error}") from None
        return keys

    @field_validator("tariffs")
    @classmethod
    def _without_gaps(cls, bands: tuple[Band, ...]) -> tuple[Band, ...]:
        Tariff(bands)
        return bands

    @field_validator("proxy_networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            # "*" would believe a forged header from anywhere.
            IPvAnyNetwork(network)  # type: ignore[operator] # pydantic's type is callable
        return networks
