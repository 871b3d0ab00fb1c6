"""Old versions are lifted to the newest one at the edge, once, so that no domain knows them.

To release a version: keep the old model, add the new one with its sample and schema, and register
``upcasts[old type] = function from old message to new``.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

from contracts.message import Message

upcasts: dict[str, Callable[[Any], Message]] = {}


@cache
def models() -> Mapping[str, type[Message]]:
    """Every type that was ever released, old versions included."""
    from contracts import catalog  # noqa: PLC0415 - the catalogue imports the envelope's users

    return {row.model.type: row.model for row in catalog.CATALOG}


def with_older(types: Collection[str]) -> set[str]:
    """``types`` and the older versions that are lifted to them."""
    names = {one.rpartition(".")[0] for one in types}
    return {*types, *(old for old in upcasts if old.rpartition(".")[0] in names)}


def newest(envelope: Any) -> Any:
    """``envelope`` with its message lifted step by step to the newest version."""
    while (lift := upcasts.get(envelope.type)) is not None:
        message = lift(envelope.message)
        envelope = envelope.model_copy(update={"type": message.type, "message": message})
    return envelope
