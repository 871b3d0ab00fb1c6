"""What a service brings to its process, and what the process hands to it."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pymongo import IndexModel

from services._kit.errands import Lane, Performer
from services._kit.handlers import Handlers
from services._kit.kafka import KafkaPublisher
from services._kit.mongo import MongoStore
from services._kit.settings import PlatformSettings

Book = TypeVar("Book")


@dataclass
class Parts:
    """What a service may build on once the process has connected."""

    settings: PlatformSettings
    store: MongoStore
    publisher: KafkaPublisher
    client: Any


@dataclass
class Service(Generic[Book]):
    """A service as the process needs it; ``app.py`` of each service fills this in.

    ``performers`` makes the errand performers from the connected parts; ``resources`` are entered
    before and left after them. ``ages`` gives the age in seconds of the oldest of each kind.
    """

    settings: PlatformSettings
    handlers: Handlers[Book]
    indices: Mapping[str, Sequence[IndexModel]] = field(default_factory=dict)
    performers: (
        Callable[[Parts], contextlib.AbstractAsyncContextManager[Mapping[str, Performer]]] | None
    ) = None
    lane: Callable[[str], Lane] = lambda _name: Lane(limit=64, lease_s=60)
    errands_max: int = 200
    ages: Callable[[MongoStore], Awaitable[Mapping[str, float]]] | None = None
