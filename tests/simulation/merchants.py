"""Merchants that are told what happened, fail now and then, and remember every call."""

import random
from collections import Counter
from dataclasses import dataclass, field

import orjson

from services.callbacks.posting import Answer, UnansweredError
from tests.simulation.machine import Process

FAILURES_MOST = 3


@dataclass
class Merchants:
    """``told`` has the bodies by (endpoint, webhook-id): each call of one must be the same."""

    rng: random.Random
    told: dict[tuple[str, str], bytes] = field(default_factory=dict)
    accepted: set[tuple[str, str]] = field(default_factory=set)
    altered: list[str] = field(default_factory=list)
    _failed: Counter[tuple[str, str]] = field(default_factory=Counter)

    def poster(self, process: Process) -> "SeamPoster":
        return SeamPoster(process, self)

    async def receive(self, endpoint: str, headers: dict[str, str], body: bytes) -> Answer:
        event = endpoint, headers["webhook-id"]
        if self.told.setdefault(event, body) != body:
            self.altered.append(headers["webhook-id"])
        if self._failed[event] < FAILURES_MOST and self.rng.random() < 0.3:
            self._failed[event] += 1
            if self.rng.random() < 0.5:
                raise UnansweredError("no answer in time")
            return Answer(500, "answered 500")
        self.accepted.add(event)
        return Answer(200)

    def types(self, endpoint: str, about: str) -> list[str]:
        """What an endpoint accepted about one life, by webhook-id, without order."""
        bodies = [
            orjson.loads(self.told[one]) for one in sorted(self.accepted) if one[0] == endpoint
        ]
        return [body["type"] for body in bodies if body["data"].get("id") == about]


class SeamPoster:
    def __init__(self, process: Process, merchants: Merchants) -> None:
        self._process, self._merchants = process, merchants

    async def post(self, endpoint: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        assert url
        return await self._process.cross(
            "post", lambda: self._merchants.receive(endpoint, headers, body), UnansweredError
        )
