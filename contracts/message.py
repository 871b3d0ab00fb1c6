"""What every message is: a frozen sentence with a versioned type."""

import re
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A piece of a message. Unknown fields are ignored: a newer sender may know more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def altered(self, **changes: object) -> Self:
        """A copy with other values; they are not checked again, so take them from checked parts."""
        return self.model_copy(update=changes)


class Message(Part):
    """A sentence. ``type`` (``ledger.funds_held.v1``) is derived from module and class name."""

    type: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        *_, service, version = cls.__module__.split(".")
        if re.fullmatch(r"v\d+", version):
            cls.type = f"{service}.{_snake(cls.__name__)}.{version}"


class Command(Message):
    """An order (``HoldFunds``): who is addressed may not ignore it."""


class Event(Message):
    """Something past (``FundsHeld``): anyone may listen."""


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
