"""Small words that several services use."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

Environment = Literal["sandbox", "production"]
Scheme = Literal["deposit", "invoice"]
NameCheck = Literal["off", "strict"]
DestinationType = Literal["bank_account", "e_wallet"]

Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]
AccountId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}\.(sandbox|production)$")]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Text = Annotated[str, StringConstraints(max_length=500)]
Moment = AwareDatetime
# Reasons in events are open strings: a new one must not break an old reader.
Reason = Annotated[str, Field(min_length=1, max_length=64)]
