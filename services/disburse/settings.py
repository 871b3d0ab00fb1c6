"""What disburse can be told; see ``services._kit.settings`` for how."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator

from contracts.sealed import Sealer, SealError
from services._kit.settings import Field, PlatformSettings, SecretStr
from services.disburse.life import Terms
from services.disburse.rails.directory import RailConfigs
from services.disburse.statements import Reading
from services.disburse.ways import chooser


def _seal_key(key: SecretStr) -> SecretStr:
    try:
        Sealer(key.get_secret_value())
    except (SealError, ValueError):
        raise ValueError("not written as id:base64 of 32 bytes") from None
    return key


def _growing(seconds: tuple[float, ...]) -> tuple[float, ...]:
    if list(seconds) != sorted(set(seconds)) or (seconds and seconds[0] <= 0):
        raise ValueError("must grow, and begin above 0")
    return seconds


class Settings(PlatformSettings):
    service: ClassVar[str] = "disburse"

    seal_key: Annotated[SecretStr, AfterValidator(_seal_key)] = Field(
        description="opens account numbers: id:base64, comma separated, newest first"
    )
    rails: RailConfigs = Field(
        description="ways to banks, a JSON list; the first that serves a destination wins"
    )
    errands_max: int = Field(
        default=200, ge=1, description="calls to banks at once, in this process"
    )
    lease_margin_s: float = Field(
        default=20,
        gt=0,
        description="by how much a lease outlives the sum of all deadlines of one attempt",
    )

    ask_after_s: Annotated[tuple[float, ...], AfterValidator(_growing)] = Field(
        default=(5, 30, 120, 600, 3600),
        description="when a bank is asked about an unclear transfer, after it became unclear",
    )
    ask_every_s: float = Field(default=3600, gt=0, description="and then again and again")
    person_after_s: float = Field(
        default=86_400, gt=0, description="unclear for longer: a person is paged at each ask"
    )
    send_within_s: float = Field(
        default=3600,
        gt=0,
        description="without send_before: what was not sent by then, after instruct_at, fails",
    )
    inquire_within_s: float = Field(
        default=10, gt=0, description="an older account inquiry is not asked any more"
    )

    statement_every_s: float = Field(default=300, gt=0, description="between two statements")
    statement_overlap_s: float = Field(
        default=21_600, ge=0, description="read again each time, for lines that are booked late"
    )
    statement_first_s: float = Field(
        default=259_200, gt=0, description="how far back the first statement of a rail goes"
    )
    statement_lease_s: float = Field(
        default=600, gt=0, description="the longest that reading one statement may take"
    )

    def terms(self) -> Terms:
        return Terms(
            choose=chooser(self.rails),
            not_found_after_s={rail.name: rail.not_found_after_s for rail in self.rails},
            ask_after_s=self.ask_after_s,
            ask_every_s=self.ask_every_s,
            person_after_s=self.person_after_s,
            send_within_s=self.send_within_s,
            inquire_within_s=self.inquire_within_s,
        )

    def reading(self) -> Reading:
        return Reading(self.statement_every_s, self.statement_overlap_s, self.statement_first_s)
