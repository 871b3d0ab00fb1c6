"""The whole platform but for HTTP, in one process of the test, on one clock and one seed."""

import asyncio
import base64
import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from contracts import catalog
from contracts.cashout.keys import PhoneKey
from contracts.envelope import Envelope
from contracts.ids import uuid7
from contracts.message import Message
from services._kit.errands import Lane
from services._kit.memory import MemoryErrands, MemoryLog, MemoryStore
from services._kit.ports import Record
from services._kit.records import record_of
from services.callbacks import store as callbacks_store
from services.callbacks.domain import DELIVER
from services.callbacks.handlers import CallbackHandlers
from services.callbacks.sender import Endpoints, Lanes, Sender
from services.callbacks.state import Policy
from services.cashout.codes import CodeKeys
from services.cashout.handlers import CashoutHandlers
from services.cashout.life import Terms as CashoutTerms
from services.disburse.errands import Courier
from services.disburse.handlers import DisburseHandlers
from services.disburse.life import Terms, Way
from services.disburse.statements import Reading, StatementReader, statement_errand
from services.ledger.handlers import LedgerHandlers
from tests.simulation.bank import NOT_FOUND_AFTER_S, Bank, SeamRail
from tests.simulation.dice import BATCHES, Dice
from tests.simulation.machine import Made, Process, Seat
from tests.simulation.merchants import Merchants
from tests.support.simulated import Clock, SeededSealer

SERVICES = ("ledger", "disburse", "callbacks", "cashout")
RAILS = {"CENAIDJA": "bca", "BRINIDJA": "bri"}
PERSON_AFTER_S = 4 * 3600.0
PARTITIONS = 3
_KEY = base64.b64encode(bytes(32)).decode()

Line = tuple[str, int]


class World:
    """Services, banks, merchants and the log; ``bugs`` is what should never have been raised."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - a game, no secret
        self.clock = clock
        self.dice = Dice(self.rng)
        self.sealer = SeededSealer(self.rng)
        self.phones = PhoneKey(f"p1:{_KEY}")
        self.log = MemoryLog(PARTITIONS)
        self.bugs: list[BaseException] = []
        self.heard: list[Callable[[Record], None]] = []
        self.merchants = Merchants(self.rng)
        self.banks = {name: Bank(name, name == "bri", clock, self.rng) for name in RAILS.values()}
        self.stores = {name: MemoryStore(MemoryErrands(clock)) for name in SERVICES}
        self._topics = {name: list(catalog.heard_by(name)) for name in SERVICES}
        self._batch = self.rng.choice(BATCHES)
        self._owners: dict[tuple[str, Line], int] = {}
        self._actors: list[asyncio.Task[None]] = []
        self.seats = [
            Seat(name, number, self.stores[name], getattr(self, f"_{name}"))
            for name in SERVICES
            for number in range(2)
        ]

    def open(self) -> None:
        for bank in self.banks.values():
            self.stores["disburse"].errands.insert([statement_errand(bank.name, self.clock())])
        for name in SERVICES:
            self.rebalance(name)
        for seat in self.seats:
            seat.process = Process(seat, self)

    # --- services -------------------------------------------------------------------------------

    def _ledger(self, _process: Process) -> Made:
        return LedgerHandlers(), {}, lambda _name: Lane(10, 30)

    def _disburse(self, process: Process) -> Made:
        terms = Terms(
            choose=lambda _environment, to: (
                Way(RAILS[to.bank or "CENAIDJA"], to.bank or "CENAIDJA")
                if to.wallet or to.bank in RAILS
                else None
            ),
            not_found_after_s=dict.fromkeys(self.banks, NOT_FOUND_AFTER_S),
            person_after_s=PERSON_AFTER_S,
        )
        rails = {name: SeamRail(process, bank) for name, bank in self.banks.items()}
        lane = self._bank_lane
        courier = Courier(
            rails, process.notes, process.errands, self.sealer, lane,
            clock=self.clock, ticks=self.clock.ticks,
        )  # fmt: skip
        reader = StatementReader(
            rails, process.notes, process, Reading(1800, 1800, 86_400), clock=self.clock
        )
        performers = {"send": courier.pursue, "ask": courier.pursue, "statement": reader.read}
        return DisburseHandlers(terms), performers, lane

    @staticmethod
    def _bank_lane(name: str) -> Lane:
        return Lane(1, 600) if name.startswith("statement") else Lane(10, 60)

    def _callbacks(self, process: Process) -> Made:
        lanes = Lanes(16, 30)
        read = partial(callbacks_store.endpoint, process.store)
        poster: Any = self.merchants.poster(process)
        sender = Sender(Endpoints(read), self.sealer, poster, lanes, self.clock)
        policy = Policy((5, 30, 60, 120, 300, 300, 600, 600, 900, 900), 3600, 50)
        return CallbackHandlers(policy), {DELIVER: sender.deliver}, lanes

    def _cashout(self, _process: Process) -> Made:
        keys = CodeKeys(f"c1:{_KEY}")
        made = CashoutHandlers(CashoutTerms(), keys, self.sealer, self.rng.randbytes)
        return made, {}, lambda _name: Lane(limit=500, lease_s=45)

    # --- processes come and go ------------------------------------------------------------------

    def died(self, seat: Seat) -> None:
        self.rebalance(seat.service)
        pause_s = self.rng.choice((0.5, 5, 30, 90))
        asyncio.get_running_loop().call_later(pause_s, self._replace, seat)

    def _replace(self, seat: Seat) -> None:
        seat.process = Process(seat, self)
        self.rebalance(seat.service)

    def rebalance(self, service: str) -> None:
        """Lines get new owners, whatever is in flight; the dead get none."""
        seats = [one for one in self.seats if one.service == service]
        alive = [one.number for one in seats if one.process and not one.process.is_dead]
        for topic in self._topics[service]:
            for number in range(PARTITIONS):
                self._owners[service, (topic, number)] = self.rng.choice(alive or [0])
        self._ring(service)

    def _ring(self, service: str) -> None:
        for seat in self.seats:
            if seat.service == service and seat.process:
                seat.process.news.set()

    def wake(self, service: str) -> None:
        for seat in self.seats:
            if seat.service == service and seat.process:
                seat.process.work.set()

    # --- the log --------------------------------------------------------------------------------

    async def publish(self, records: Sequence[Record]) -> None:
        """Some are in the log again later, as a slow process would say them again."""
        await self.log.publish(records)
        topics = {record.topic for record in records}
        for record in records:
            for hear in self.heard:
                hear(record)
            if self.dice.falls(self.dice.again, "said again"):
                delay_s = self.rng.choice((0.001, 1, 45, 2000))
                again = partial(self._say_again, record)
                asyncio.get_running_loop().call_later(delay_s, again)
        for service in SERVICES:
            if topics & set(self._topics[service]):
                self._ring(service)

    def _say_again(self, record: Record) -> None:
        self.act(self.publish([record]))

    def take(self, seat: Seat) -> list[Record]:
        """A batch from this seat's lines: any lines, any number of each, any order between them;
        the order of each line is kept.
        """
        if self.dice.falls(self.dice.rebalance, "rebalance"):
            self.rebalance(seat.service)
        queues = []
        for line in self.waiting(seat.service, seat.number):
            most = self.rng.randint(1, self._batch)
            queues.append(line[:most])
        if len(queues) > 1 and self.rng.random() < 0.3:
            queues = self.rng.sample(queues, self.rng.randint(1, len(queues)))
        batch: list[Record] = []
        while queues:
            queue = self.rng.choice(queues)
            batch.append(queue[0])
            queues = [rest for one in queues if (rest := one[1:] if one is queue else one)]
        return batch

    def waiting(self, service: str, number: int | None = None) -> list[list[Record]]:
        """What lies before a service, by line; of one seat, or of all."""
        found = []
        for topic in self._topics[service]:
            for partition, line in enumerate(self.log.topics.get(topic, ())):
                mine = number is None or self._owners[service, (topic, partition)] == number
                done = self.log.positions.get((service, topic, partition), 0)
                if mine and done < len(line):
                    found.append(line[done:])
        return found

    def let_go(self, seat: Seat, batch: Sequence[Record]) -> None:
        self.log.commit(seat.service, batch)

    # --- people ---------------------------------------------------------------------------------

    def act(self, deed: Awaitable[None]) -> None:
        """Somebody outside does something; what they raise fails the run."""

        async def watched() -> None:
            try:
                await deed
            except Exception as bug:  # noqa: BLE001 - found at the end of the run
                self.bugs.append(bug)

        self._actors.append(asyncio.create_task(watched()))

    async def say(self, message: Message, correlation: str = "", source: str = "gateway") -> Record:
        """As the gateway does it, under a new id; returned so that it may be said again."""
        row = catalog.row(message.type)
        now = self.clock()
        name = str(uuid7(int(now.timestamp() * 1000), self.rng.randbytes(10)))
        record = record_of(
            Envelope.model_construct(
                id=name,
                type=message.type,
                source=f"/salur/{source}",
                key=getattr(message, row.key),
                occurred_at=now,
                correlation=correlation or name,
                cause=None,
                sequence=None,
                message=message,
            )
        )
        await self.publish([record])
        return record

    def minutes(self, least: float, most: float) -> timedelta:
        return timedelta(seconds=round(self.rng.uniform(least, most) * 60, 3))

    def trace(self) -> str:
        """All that was ever said, where and in which order, as one hash."""
        digest = hashlib.sha256()
        for topic in sorted(self.log.topics):
            for record in self.log.all(topic):
                place = replace(record, headers=())
                digest.update(repr((place, record.headers)).encode())
        return digest.hexdigest()
