"""Which rail takes which destination. The first that serves it wins, in the order of the settings.

A wallet is paid as a transfer to a virtual account (prefix + phone in 08… form) at one of the
banks that issue such accounts for it; the rail's own bank is preferred, because a transfer inside
one bank is one party fewer that can fall silent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from contracts.phones import local_form
from contracts.terms import Environment
from services.disburse.rails import Beneficiary

Bic = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{8}$")]
Wallet = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,20}$")]
Digits = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}$")]

# A token lives 900 s (SNAP BI). A request that stalled on its way can be accepted for so long, so
# "not found" proves nothing earlier; the rest is for clocks that disagree.
_NOT_FOUND_AFTER_S_MIN: Final = 960

# In order of preference. Prefixes are published by the wallets; a bank that changes one is a
# setting, not a release.
WALLET_PREFIXES: Final[Mapping[str, Mapping[str, str]]] = {
    "DANA": {
        "CENAIDJA": "3901",
        "BMRIIDJA": "89508",
        "BRINIDJA": "88810",
        "BNINIDJA": "8810",
        "BNIAIDJA": "8059",
        "BBBAIDJA": "8528",
    },
    "GOPAY": {"CENAIDJA": "70001"},
    "OVO": {"CENAIDJA": "39358"},
    "SHOPEEPAY": {"CENAIDJA": "122"},
    "LINKAJA": {"CENAIDJA": "09110"},
}

WalletPrefixes = Mapping[Wallet, Mapping[Bic, Digits]]


class RailConfig(BaseModel):
    """One rail, as one object in the JSON list of ``SALUR_DISBURSE_RAILS``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="in clearing:<name> and notice paths"
    )
    kind: Literal["snap"] = "snap"
    environments: tuple[Environment, ...] = Field(min_length=1)
    destinations: Literal["*"] | tuple[Bic | Wallet, ...] = Field(
        default="*", description="BICs and wallets that it serves; * is all"
    )
    base_url: AnyHttpUrl = Field(description="what comes before /v1.0/…")
    client_id: str = Field(min_length=1, max_length=64)
    client_secret: SecretStr = Field(min_length=8)
    private_key: SecretStr = Field(description="ours, RSA: PEM text or the path of a PEM file")
    bank_public_key: str = Field(description="the bank's, RSA: PEM text or path; signs notices")
    partner_id: str = Field(min_length=1, max_length=36)
    channel_id: str = Field(min_length=1, max_length=5)
    bank_bic: Bic = Field(description="the rail's own bank: transfers to it are intrabank")
    source_account: Digits = Field(max_length=19, description="money leaves from here")
    unnamed_beneficiary: str = Field(
        default="PENERIMA", min_length=1, max_length=100, description="if no name was given"
    )
    first_page: Literal[0, 1] = Field(
        default=0, description="the number of a statement's first page; banks differ"
    )
    dedupes_reference: bool = Field(
        default=False, description="the bank promises to refuse every repeated reference"
    )
    concurrency: int = Field(default=50, ge=1, le=1000, description="calls at once, all processes")
    token_timeout_s: float = Field(default=5, gt=0, le=60)
    call_timeout_s: float = Field(default=15, gt=0, le=120)
    not_found_after_s: float = Field(default=1200, gt=0)

    @model_validator(mode="after")
    def _safe_in_production(self) -> Self:
        if "production" not in self.environments:
            return self
        if self.not_found_after_s < _NOT_FOUND_AFTER_S_MIN:
            raise ValueError(f"not_found_after_s below {_NOT_FOUND_AFTER_S_MIN} in production")
        if self.base_url.scheme != "https":
            raise ValueError("base_url is not https in production")
        return self

    def serves(self, environment: Environment, destination: str) -> bool:
        """Whether it pays to a BIC or wallet in an environment."""
        return environment in self.environments and (
            self.destinations == "*" or destination in self.destinations
        )


def _unique(rails: tuple[RailConfig, ...]) -> tuple[RailConfig, ...]:
    names = [rail.name for rail in rails]
    if len(names) != len(set(names)):
        raise ValueError("two rails have the same name")
    return rails


# The type of a settings field: all rails of a process.
RailConfigs = Annotated[tuple[RailConfig, ...], AfterValidator(_unique)]


@dataclass(frozen=True, slots=True)
class Route:
    """The rail, and the account that it is to pay. Keep it with the life: asks go the same way."""

    rail: str
    destination: Beneficiary


def choose(rails: Sequence[RailConfig], environment: Environment, destination: str) -> str | None:
    """The name of the first rail that serves a BIC in an environment."""
    return next((rail.name for rail in rails if rail.serves(environment, destination)), None)


def route_to_bank(
    rails: Sequence[RailConfig], environment: Environment, destination: Beneficiary
) -> Route | None:
    name = choose(rails, environment, destination.bank_bic)
    return Route(name, destination) if name is not None else None


def route_to_wallet(
    rails: Sequence[RailConfig],
    environment: Environment,
    wallet: str,
    phone: str,
    *,
    account_name: str | None = None,
    prefixes: Mapping[str, Mapping[str, str]] = WALLET_PREFIXES,
) -> Route | None:
    """The first rail that reaches the wallet, and the virtual account behind the phone.

    Args:
        rails: in order of preference.
        environment: the partner's.
        wallet: ``GOPAY``, in any case.
        phone: normalised (62…) or as written (08…).
        account_name: the wallet's owner, if known.
        prefixes: wallet to bank to prefix, the preferred bank first.

    Raises:
        ValueError: not an Indonesian mobile number.
    """
    by_bank = prefixes.get(wallet.upper(), {})
    for rail in rails:
        bank = _bank_for_wallet(rail, environment, wallet.upper(), by_bank)
        if bank is not None:
            number = by_bank[bank] + local_form(phone)
            return Route(rail.name, Beneficiary(bank, number, account_name))
    return None


def _bank_for_wallet(
    rail: RailConfig, environment: Environment, wallet: str, banks: Iterable[str]
) -> str | None:
    """A rail that lists the wallet pays through any bank; else through a bank that it lists."""
    listed = rail.serves(environment, wallet)
    reached = [bank for bank in banks if listed or rail.serves(environment, bank)]
    if rail.bank_bic in reached:
        return rail.bank_bic
    return next(iter(reached), None)
