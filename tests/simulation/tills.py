"""Customers with codes and the tills they go to: wrong, late, silent, impatient, twice.

A till asks, waits until ``answer_by``, and gives cash only if it heard yes in time. If it heard
nothing it reverses, again and again until it is answered, and gives no cash.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from contracts.cashout import v1 as cashout
from contracts.cashout.keys import store_correlation
from contracts.envelope import decode
from contracts.phones import normalised
from services._kit.ports import Record
from tests.simulation.partners import at, moment, opened, order_cash
from tests.simulation.world import World

CHAINS = ("indomaret", "alfamart")
ANSWER_WITHIN = timedelta(seconds=25)
REVERSES_AFTER_S = 30.0
PHONES = [f"0812345678{n:02d}" for n in range(12)]

Answer = cashout.RedemptionAnswered | cashout.ReversalAnswered


@dataclass(frozen=True)
class Slip:
    """What a till asks about, and under which reference."""

    chain: str
    ref: str
    code: str
    phone: str
    amount: int


@dataclass
class Tail:
    """The gateway's ears: waiters by correlation. What is older than what a reference has said
    already is dropped, as the view drops it.
    """

    world: World
    codes: dict[str, asyncio.Future[cashout.CodeIssued]] = field(default_factory=dict)
    waiters: dict[str, list[asyncio.Future[Answer]]] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)

    def hear(self, record: Record) -> None:
        if record.topic != "cashout.events":
            return
        said = decode(record.value)
        message = said.message
        if isinstance(message, cashout.CodeIssued):
            self._tell(self.code(message.cashout), message)
        elif isinstance(message, Answer):
            sequence = said.sequence or 0
            if sequence < self.newest.get(message.key, 0):
                return
            self.newest[message.key] = sequence
            for waiter in self.waiters.pop(message.correlation, ()):
                self._tell(waiter, message)

    @staticmethod
    def _tell(waiter: "asyncio.Future[Any]", message: Any) -> None:
        if not waiter.done():
            waiter.set_result(message)

    def code(self, life: str) -> "asyncio.Future[cashout.CodeIssued]":
        if life not in self.codes:
            self.codes[life] = asyncio.get_running_loop().create_future()
        return self.codes[life]

    def waiter(self, correlation: str) -> "asyncio.Future[Answer]":
        made: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.waiters.setdefault(correlation, []).append(made)
        return made


@dataclass
class Tills:
    """``cash`` is what was paid out, by (chain, reference): the life on the receipt, the amount.
    ``asked`` has the correlation of everything that must be answered.
    """

    world: World
    tail: Tail
    cash: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    lives: list[str] = field(default_factory=list)
    stories: set[str] = field(default_factory=set)
    _refs: int = 0

    # --- a customer -----------------------------------------------------------------------------

    async def customer(self) -> None:
        """Orders cash, and goes to a till if a code comes."""
        world, rng = self.world, self.world.rng
        await at(world, moment(world, rng.uniform(5, 3600)))
        phone = rng.choice(PHONES)
        life = await order_cash(world, phone)
        self.lives.append(life)
        issued = await self.tail.code(life)
        slip = self._slip(issued, phone)
        story = rng.choice(_STORIES)
        self.stories.add(story)
        await self._walk(issued)
        await getattr(self, f"_{story}")(slip)

    def _slip(self, issued: cashout.CodeIssued, phone: str) -> Slip:
        chain = f"{self.world.rng.choice(CHAINS)}.{issued.order.environment}"
        code = opened(self.world.sealer, issued)
        return Slip(chain, self._ref(), code, phone, issued.order.amount)

    def _ref(self) -> str:
        self._refs += 1
        return f"T{self._refs:05d}"

    async def _walk(self, issued: cashout.CodeIssued) -> None:
        """To the till: at once, or so that the code expires on the way, or just then."""
        rng, expires_at = self.world.rng, issued.order.expires_at
        if rng.random() < 0.3:
            nearly = timedelta(milliseconds=rng.choice((-2000, -31, -10, -1, 0, 1, 5000)))
            await at(self.world, expires_at + nearly)
        else:
            await asyncio.sleep(rng.uniform(0, 60))

    # --- stories --------------------------------------------------------------------------------

    async def _plain(self, slip: Slip) -> None:
        await self._pay(slip)

    async def _never(self, _slip: Slip) -> None:
        """The code expires."""

    async def _silent(self, slip: Slip) -> None:
        """The till hears nothing, whatever is said."""
        await self._pay(slip, deaf=True)
        if self.world.rng.random() < 0.5:
            await self._reverse(slip)
            await self._ask(slip)

    async def _insists(self, slip: Slip) -> None:
        """The same request again and again, also after the answer."""
        first = await self._ask(slip)
        for _ in range(self.world.rng.randint(1, 3)):
            await asyncio.sleep(self.world.rng.choice((0, 0.01, 40)))
            again = await self._ask(slip)
            first = first or again
        await self._conclude(slip, first)

    async def _reverses_first(self, slip: Slip) -> None:
        await self._reverse(slip, wait=self.world.rng.random() < 0.5)
        await self._ask(slip)
        await self._reverse(slip)
        if self.world.rng.random() < 0.5:
            await self._pay(self._again(slip))

    async def _at_once(self, slip: Slip) -> None:
        """Redemption and reversal meet in the log."""
        await asyncio.gather(self._ask(slip), self._reverse(slip))
        await self._pay(self._again(slip))

    async def _late(self, slip: Slip) -> None:
        """The request arrives when the store has given up."""
        await self._ask(slip, delay_s=self.world.rng.choice((20, 24.99, 26, 60)))
        await self._reverse(slip)

    async def _two_tills(self, slip: Slip) -> None:
        await asyncio.gather(self._pay(slip), self._pay(self._again(slip)))

    async def _guesses(self, slip: Slip) -> None:
        for by in range(self.world.rng.randint(1, 6)):
            wrong = f"{(int(slip.code) + by + 1) % 10**10:010d}"
            await self._pay(self._again(slip, code=wrong))
        await self._pay(slip)

    async def _mistypes(self, slip: Slip) -> None:
        """Wrong amounts, then the right one: under the same reference, or each under its own."""
        same = self.world.rng.random() < 0.5
        for by in range(self.world.rng.randint(1, 6)):
            wrong = slip.amount + 1000 * (by + 1)
            ref = slip.ref if same else self._ref()
            await self._pay(Slip(slip.chain, ref, slip.code, slip.phone, wrong))
        await self._pay(slip)

    async def _asks_only(self, slip: Slip) -> None:
        world = self.world
        look = cashout.InquireCode(
            phone_hash=world.phones.phone_hash(normalised(slip.phone)),
            inquiry=f"inq-{slip.ref}",
            chain=slip.chain,
            code=world.sealer.seal(slip.code, cashout.CODE),
            amount=slip.amount,
        )
        await world.say(look)
        await self._pay(slip)

    async def _mistyped_reversals(self, slip: Slip) -> None:
        """Reversals of one reference under several phones stand in several lines of the log."""
        await self._ask(slip)
        phones = [slip.phone, *self.world.rng.sample(PHONES, 2)]
        slips = [Slip(slip.chain, slip.ref, slip.code, one, slip.amount) for one in phones]
        await asyncio.gather(*(self._reverse(one) for one in slips))

    async def _other_chain(self, slip: Slip) -> None:
        """Another chain reverses the same reference: nothing of this one is touched."""
        await self._pay(slip)
        other = CHAINS[1 - CHAINS.index(slip.chain.partition(".")[0])]
        chain = f"{other}.{slip.chain.partition('.')[2]}"
        await self._reverse(Slip(chain, f"{slip.ref}", slip.code, slip.phone, slip.amount))

    def _again(self, slip: Slip, code: str = "") -> Slip:
        """Under a new reference."""
        return Slip(slip.chain, self._ref(), code or slip.code, slip.phone, slip.amount)

    # --- a till ---------------------------------------------------------------------------------

    async def _pay(self, slip: Slip, *, deaf: bool = False) -> None:
        answer = await self._ask(slip)
        await self._conclude(slip, None if deaf else answer)

    async def _conclude(self, slip: Slip, answer: cashout.RedemptionAnswered | None) -> None:
        if answer is None:
            await asyncio.sleep(REVERSES_AFTER_S - ANSWER_WITHIN.total_seconds())
            await self._reverse(slip)
        elif answer.receipt is not None:
            told = answer.receipt
            assert told.amount == slip.amount, "another amount than the customer asked for"
            self.cash[slip.chain, slip.ref] = (told.reference, told.amount)

    async def _ask(self, slip: Slip, delay_s: float = 0) -> cashout.RedemptionAnswered | None:
        """What the till hears until ``answer_by``; None: nothing."""
        world, phone = self.world, normalised(slip.phone)
        fingerprint = world.phones.redemption(slip.code, phone, slip.amount)
        answer_by = world.clock() + ANSWER_WITHIN
        request = cashout.RedeemCode(
            phone_hash=world.phones.phone_hash(phone),
            chain=slip.chain,
            store_ref=slip.ref,
            fingerprint=fingerprint,
            code=world.sealer.seal(slip.code, cashout.CODE),
            amount=slip.amount,
            store_id="TDKB",
            terminal_id=slip.phone[-4:],
            answer_by=answer_by,
        )
        await asyncio.sleep(delay_s)
        correlation = store_correlation(slip.chain, slip.ref, "redemption", fingerprint)
        left_s = (answer_by - world.clock()).total_seconds()
        answer = await self._hears(request, correlation, max(left_s, 0))
        assert not isinstance(answer, cashout.ReversalAnswered)
        return answer

    async def _reverse(self, slip: Slip, *, wait: bool = True) -> None:
        """Until it is answered."""
        world, phone = self.world, normalised(slip.phone)
        code = world.rng.choice((slip.code, None))
        fingerprint = world.phones.reversal(phone, code)
        request = cashout.ReverseRedemption(
            phone_hash=world.phones.phone_hash(phone),
            chain=slip.chain,
            store_ref=slip.ref,
            fingerprint=fingerprint,
            reason="timeout",
        )
        correlation = store_correlation(slip.chain, slip.ref, "reversal", fingerprint)
        while await self._hears(request, correlation, 60.0 if wait else 0) is None and wait:
            await asyncio.sleep(1)

    async def _hears(self, request: Any, correlation: str, within_s: float) -> Answer | None:
        self.asked.add(correlation)
        waiter = self.tail.waiter(correlation)
        await self.world.say(request, correlation)
        done, _ = await asyncio.wait({waiter}, timeout=within_s)
        return waiter.result() if done else None


_STORIES: Sequence[str] = (
    "plain", "plain", "never", "silent", "silent", "insists", "reverses_first", "at_once", "late",
    "two_tills", "guesses", "mistypes", "asks_only", "other_chain",
    "mistyped_reversals",
)  # fmt: skip
