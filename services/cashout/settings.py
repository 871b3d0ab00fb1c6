"""What cashout can be told; see ``services._kit.settings`` for how."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator

from contracts.sealed import Sealer, SealError
from services._kit.settings import Field, PlatformSettings, SecretStr
from services.cashout.codes import CodeKeys
from services.cashout.life import Terms


def _seal_key(key: SecretStr) -> SecretStr:
    try:
        Sealer(key.get_secret_value())
    except (SealError, ValueError):
        raise ValueError("not written as id:base64 of 32 bytes") from None
    return key


def _code_key(key: SecretStr) -> SecretStr:
    try:
        CodeKeys(key.get_secret_value())
    except ValueError:
        raise ValueError("not one or two of id:base64 of 32 bytes, comma separated") from None
    return key


class Settings(PlatformSettings):
    service: ClassVar[str] = "cashout"

    batch_gather_ms: float = Field(
        default=10,
        ge=0,
        le=1000,
        description="shortest time from one full batch to the next; a cashier waits meanwhile",
    )
    seal_key: Annotated[SecretStr, AfterValidator(_seal_key)] = Field(
        description="opens and seals codes: id:base64, comma separated, newest first"
    )
    code_key: Annotated[SecretStr, AfterValidator(_code_key)] = Field(
        description="hashes codes: id:base64, newest first, and the one before while its codes live"
    )
    wrong_codes_max: int = Field(default=5, ge=1, description="of one phone, then it is refused")
    wrong_codes_window_s: float = Field(default=3600, gt=0, description="in which they are counted")
    phone_block_s: float = Field(default=3600, gt=0, description="how long a phone is refused")
    wrong_amounts_max: int = Field(
        default=5, ge=1, description="with a right code, then the code is blocked"
    )
    terminal_phones_max: int = Field(
        default=10, ge=2, le=100, description="phones with wrong codes at a terminal: it is slowed"
    )
    terminal_window_s: float = Field(default=600, gt=0, description="in which they are counted")
    terminal_pause_s: float = Field(
        default=5, gt=0, description="first pause of a slowed terminal; each next one is doubled"
    )
    terminal_pause_most_s: float = Field(default=300, gt=0, description="its longest pause")
    # Measured: each lane more costs the lease of each round, and none makes it faster.
    expiry_lanes: int = Field(default=1, ge=1, le=64, description="lanes of codes that expire")
    errands_max: int = Field(default=2000, ge=1, description="codes that expire at once, here")

    def terms(self) -> Terms:
        return Terms(
            wrong_codes_max=self.wrong_codes_max,
            wrong_codes_window_s=self.wrong_codes_window_s,
            phone_block_s=self.phone_block_s,
            wrong_amounts_max=self.wrong_amounts_max,
            terminal_phones_max=self.terminal_phones_max,
            terminal_window_s=self.terminal_window_s,
            terminal_pause_s=self.terminal_pause_s,
            terminal_pause_most_s=self.terminal_pause_most_s,
            expiry_lanes=self.expiry_lanes,
        )
