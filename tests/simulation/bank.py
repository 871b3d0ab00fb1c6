"""Banks with moods: they confirm, refuse, wait, execute and fall silent, lose, give back.

One bank refuses every repeated reference, the other executes each request that it gets: there, a
second sending is a second payment.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from services.disburse.rails import (
    Beneficiary,
    Confirmed,
    InquiryAnswer,
    InquiryRefused,
    InquiryUnclear,
    Named,
    NotFound,
    Order,
    RailUnavailable,
    Refused,
    Request,
    Returned,
    SendAnswer,
    SignedRequest,
    StatementLine,
    StatusAnswer,
    TokenExpired,
    Unclear,
)
from tests.simulation.machine import Process
from tests.support.simulated import Clock

NOT_FOUND_AFTER_S = 1200.0
TOKEN_LIVES = timedelta(seconds=900)
RIGHT_NAME, WRONG_NAME = "ANI WIJAYA", "BUDI SANTOSO"
_REFUSED = Refused("REJECTED_BY_BANK", "do not honour", "4031805")

Fate = Literal["executes", "refuses"]


@dataclass
class Mood:
    """How the bank treats one reference."""

    fate: Fate = "executes"
    lost: int = 0  # so many requests never arrive
    late_s: float = 0  # the request arrives later, nobody hears of it
    pending_s: float = 0  # accepted, decided later
    silent: bool = False  # no answer to the request
    mute: bool = False  # and none to any question, nor a line in the statement
    flaky: float = 0  # questions without an answer
    unseen_s: float = 0  # how long it is "not found" after it was executed
    bad_tokens: int = 0
    no_token_s: float = 0
    returns_after_s: float | None = None
    notice: bool = True
    name: str = RIGHT_NAME

    @classmethod
    def any(cls, rng: random.Random) -> "Mood":
        story = rng.choice(_STORIES)
        made = cls(**{name: value(rng) for name, value in story.items()})
        if made.fate == "executes" and rng.random() < 0.25:
            made.returns_after_s = rng.choice((0.05, 1, 8, 60, 900, 4000))
            made.notice = rng.random() < 0.6
        made.flaky = rng.choice((0, 0, 0.4))
        return made


_STORIES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {},
    {},
    {"fate": lambda _r: "refuses"},
    {"fate": lambda _r: "refuses", "silent": lambda _r: True},
    {"pending_s": lambda r: r.uniform(1, 4000)},
    {"fate": lambda _r: "refuses", "pending_s": lambda r: r.uniform(1, 4000)},
    {"silent": lambda _r: True, "unseen_s": lambda r: r.choice((0, 20, 300))},
    {"lost": lambda r: r.choice((1, 1, 2, 9))},
    {"late_s": lambda r: r.choice((2, 60, 300, 850))},
    {"late_s": lambda r: r.choice((6, 100)), "lost": lambda _r: 1},
    {"bad_tokens": lambda r: r.choice((1, 1, 9))},
    {"no_token_s": lambda r: r.choice((5, 100, 2000, 9000))},
    {"fate": lambda r: r.choice(("executes", "refuses")), "silent": lambda _r: True,
     "mute": lambda _r: True},
    {"name": lambda r: r.choice((RIGHT_NAME, WRONG_NAME, "", "?"))},
)  # fmt: skip


@dataclass
class Bank:
    """The truth about money outside. ``paid`` counts executions by reference."""

    name: str
    dedupes_reference: bool
    clock: Clock
    rng: random.Random
    moods: dict[str, Mood] = field(default_factory=dict)
    paid: Counter[str] = field(default_factory=Counter)
    amounts: dict[str, int] = field(default_factory=dict)
    executed_at: dict[str, datetime] = field(default_factory=dict)
    returned_at: dict[str, datetime] = field(default_factory=dict)
    seen_at: dict[str, datetime] = field(default_factory=dict)
    asked_at: dict[str, datetime] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    gave_back: Any = None

    # --- what it is asked -----------------------------------------------------------------------

    async def sign(self, order: Order) -> SignedRequest:
        mood, now = self.moods[order.reference], self.clock()
        asked_first = self.asked_at.setdefault(order.reference, now)
        if now < asked_first + timedelta(seconds=mood.no_token_s):
            raise RailUnavailable("no token")
        request = Request("18", "/", "x", now + TOKEN_LIVES, "token", (), b"")
        return SignedRequest(order, request)

    async def call(self, signed: SignedRequest) -> SendAnswer:
        order = signed.order
        mood = self.moods[order.reference]
        await asyncio.sleep(self.rng.choice((0.02, 0.02, 0.5, 4)))
        if self.clock() > signed.request.expires_at:
            return TokenExpired("4011801")
        self.calls[order.reference] += 1
        if mood.bad_tokens:
            mood.bad_tokens -= 1
            return TokenExpired("4011801")
        if mood.lost:
            mood.lost -= 1
            return Unclear("timed out")
        visible = signed.request.expires_at + timedelta(seconds=30)
        if mood.late_s:
            late_s, mood.late_s = mood.late_s, 0
            left = (signed.request.expires_at - self.clock()).total_seconds()
            asyncio.get_running_loop().call_later(min(late_s, left), self._take, order, visible)
            return Unclear("timed out")
        answer = self._take(order, visible)
        return Unclear("timed out") if mood.silent else answer

    def _take(self, order: Order, visible: datetime) -> SendAnswer:
        """The request is there: from now on the bank knows the reference."""
        reference, mood = order.reference, self.moods[order.reference]
        if self.dedupes_reference and reference in self.seen_at:
            return Unclear("duplicate reference", "4091801")
        now = self.clock()
        self.seen_at[reference] = min(now + timedelta(seconds=mood.unseen_s), visible)
        if mood.pending_s:
            loop = asyncio.get_running_loop()
            loop.call_later(mood.pending_s, self._settle, order)
            return Unclear("in progress", "2021800")
        return self._settle(order)

    def _settle(self, order: Order) -> SendAnswer:
        reference, mood, now = order.reference, self.moods[order.reference], self.clock()
        if mood.fate == "refuses":
            self.refused.add(reference)
            return _REFUSED
        self.paid[reference] += 1
        self.amounts[reference] = order.amount
        self.executed_at[reference] = now
        if mood.returns_after_s is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(mood.returns_after_s, self._give_back, reference)
        return Confirmed(f"B-{reference[-6:]}", "T1", now)

    def _give_back(self, reference: str) -> None:
        if reference not in self.returned_at:
            self.returned_at[reference] = self.clock()
            if self.moods[reference].notice:
                self.gave_back(self.name, reference)

    async def ask(self, order: Order) -> StatusAnswer:
        reference, mood = order.reference, self.moods[order.reference]
        await asyncio.sleep(self.rng.choice((0.02, 0.5)))
        if mood.mute or self.rng.random() < mood.flaky:
            return Unclear("no answer")
        if reference not in self.seen_at or self.clock() < self.seen_at[reference]:
            return NotFound("4043601")
        if reference in self.returned_at and self.rng.random() < 0.5:
            return Returned(f"B-{reference[-6:]}", self.returned_at[reference], "refunded")
        if reference in self.executed_at:
            return Confirmed(f"B-{reference[-6:]}", None, self.executed_at[reference])
        return _REFUSED if reference in self.refused else Unclear("pending", "2003600")

    async def inquire(self, reference: str) -> InquiryAnswer:
        name = self.moods[reference.removesuffix("-name")].name
        if not name:
            return InquiryRefused("INVALID_DESTINATION", "no such account", "4041511")
        if name == "?" and self.rng.random() < 0.5:
            return InquiryUnclear("timed out")
        return Named(RIGHT_NAME if name == "?" else name)

    async def statement(self, since: datetime, until: datetime) -> list[StatementLine]:
        kinds: tuple[tuple[Literal["DEBIT", "CREDIT"], dict[str, datetime]], ...] = (
            ("DEBIT", self.executed_at),
            ("CREDIT", self.returned_at),
        )
        return [
            StatementLine(kind, self.amounts[one], one, f"B-{one[-6:]}", at)
            for kind, booked in kinds
            for one, at in booked.items()
            if since <= at <= until and not self.moods[one].mute
        ]


class SeamRail:
    """A process's way to a bank."""

    concurrency = 10
    not_found_after_s = NOT_FOUND_AFTER_S
    attempt_deadline_s = 30.0

    def __init__(self, process: Process, bank: Bank) -> None:
        self._process, self._bank = process, bank
        self.name, self.dedupes_reference = bank.name, bank.dedupes_reference

    async def sign(self, order: Order) -> SignedRequest:
        return await self._process.cross("sign", lambda: self._bank.sign(order), RailUnavailable)

    async def call(self, signed: SignedRequest) -> SendAnswer:
        return await self._process.cross("call", lambda: self._bank.call(signed), None)

    async def ask(self, order: Order) -> StatusAnswer:
        return await self._process.cross("ask", lambda: self._bank.ask(order), None)

    async def inquire(self, destination: Beneficiary, reference: str) -> InquiryAnswer:
        assert destination.account_number
        return await self._process.cross("inquire", lambda: self._bank.inquire(reference), None)

    async def statement(self, since: datetime, until: datetime) -> list[StatementLine]:
        return await self._process.cross(
            "statement", lambda: self._bank.statement(since, until), RailUnavailable
        )

    async def aclose(self) -> None:
        return
