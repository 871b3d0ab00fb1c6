"""disburse in memory: real handlers and workers, a bank that answers as told, a turned clock."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import catalog
from contracts.disburse import v1 as disburse
from contracts.envelope import Envelope, decode
from contracts.ids import derived_id
from contracts.ledger import v1 as ledger
from contracts.message import Message
from contracts.sealed import Sealer, new_key
from services._kit.errands import Lane
from services._kit.life import Received
from services._kit.memory import MemoryErrands, MemoryLog, MemoryStore
from services._kit.records import record_of
from services._kit.shell import Shell
from services._kit.worker import Worker
from services.disburse.errands import Courier
from services.disburse.handlers import DisburseHandlers
from services.disburse.inquiries import Inquirer
from services.disburse.life import Life, Terms, Transfer, Way
from services.disburse.rails import (
    Beneficiary,
    Confirmed,
    InquiryAnswer,
    Named,
    Order,
    RailUnavailable,
    Request,
    SendAnswer,
    SignedRequest,
    StatementLine,
    StatusAnswer,
)
from services.disburse.statements import Reading, StatementReader, statement_errand
from services.disburse.store import LIVES, TRANSFERS, MemoryNotes, life_of, transfer_of

NOON = datetime(2026, 3, 2, 5, 0, 0, tzinfo=UTC)
LIFE = "disb_01JQ5V7W3N8K2M4P6R8T0V2X4Z"
ACCOUNT = "acme.sandbox"
SEALER = Sealer(new_key())
NOT_FOUND_AFTER_S = 1200.0
LEASE_S = 60.0
PAID = Confirmed("BANK-1", "TRACE-1", NOON)


def order(**changes: Any) -> disburse.Order:
    values: dict[str, Any] = {
        "partner": "acme",
        "environment": "sandbox",
        "account": ACCOUNT,
        "reference": "payroll-7-ani",
        "amount": 1_500_000,
        "fee": 2_500,
        "destination": destination(),
    }
    return disburse.Order.model_validate(values | changes)


def destination(**changes: Any) -> disburse.Destination:
    values: dict[str, Any] = {
        "type": "bank_account",
        "bank": "CENAIDJA",
        "number": SEALER.seal("0123456789", "account_number"),
        "masked": "****6789",
        "account_name": "ANI",
    }
    return disburse.Destination.model_validate(values | changes)


def wallet(phone: str = "6281234567890") -> disburse.Destination:
    return destination(
        type="e_wallet",
        bank=None,
        wallet="GOPAY",
        number=SEALER.seal(phone, "account_number"),
        masked="0812****7890",
    )


def received(message: Message, at: datetime = NOON, name: str = "1") -> Received:
    """``message`` as a handler gets it; ``name`` tells apart messages of one kind."""
    key = getattr(message, catalog.row(message.type).key)
    message_id = derived_id(type(message).__name__, at, name)
    return Envelope.model_construct(
        id=message_id, type=message.type, source="/test", key=key, occurred_at=at,
        correlation=LIFE, cause=None, sequence=None, message=message,
    )  # fmt: skip


def funds_held(life: str = LIFE) -> ledger.FundsHeld:
    return ledger.FundsHeld(
        account=ACCOUNT, available=0, held=0, hold=life, holder="disburse", amount=1, fee=0
    )


def hold_refused(reason: str = "INSUFFICIENT_BALANCE") -> ledger.HoldRefused:
    return ledger.HoldRefused(
        account=ACCOUNT, available=0, held=0, hold=LIFE, holder="disburse", reason=reason
    )


def terms(**changes: Any) -> Terms:
    values: dict[str, Any] = {
        "choose": lambda _environment, to: Way("bca", to.bank or "CENAIDJA"),
        "not_found_after_s": {"bca": NOT_FOUND_AFTER_S},
    }
    return Terms(**(values | changes))


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def ticks(self) -> float:
        return self.now.timestamp()

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class FakeRail:
    """Answers in the order of its lists, the last one for ever; an exception is raised."""

    sends: list[Any] = field(default_factory=lambda: [PAID])
    asks: list[Any] = field(default_factory=lambda: [PAID])
    inquiries: list[Any] = field(default_factory=lambda: [Named("ANI")])
    lines: list[StatementLine] = field(default_factory=list)
    signs: list[Exception | None] = field(default_factory=lambda: [None])
    name: str = "bca"
    dedupes_reference: bool = False
    concurrency: int = 10
    not_found_after_s: float = NOT_FOUND_AFTER_S
    attempt_deadline_s: float = 30.0
    # Called while it signs, for a worker that stalls there.
    while_signing: Callable[[], None] = lambda: None
    called: list[Order] = field(default_factory=list)
    asked: list[Order] = field(default_factory=list)
    inquired: list[Beneficiary] = field(default_factory=list)
    statements_asked: list[tuple[datetime, datetime]] = field(default_factory=list)
    closed: bool = False

    async def sign(self, order: Order) -> SignedRequest:
        self.while_signing()
        self._next(self.signs)
        request = Request("18", "/", f"external-{len(self.called)}", NOON, "token", (), b"")
        return SignedRequest(order, request)

    async def call(self, signed: SignedRequest) -> SendAnswer:
        self.called.append(signed.order)
        answer: SendAnswer = self._next(self.sends)
        return answer

    async def ask(self, order: Order) -> StatusAnswer:
        self.asked.append(order)
        answer: StatusAnswer = self._next(self.asks)
        return answer

    async def inquire(self, destination: Beneficiary, reference: str) -> InquiryAnswer:
        self.inquired.append(destination)
        answer: InquiryAnswer = self._next(self.inquiries)
        return answer

    async def statement(self, since: datetime, until: datetime) -> list[StatementLine]:
        self.statements_asked.append((since, until))
        return [line for line in self.lines if since <= line.at <= until]

    async def aclose(self) -> None:
        self.closed = True

    @staticmethod
    def _next(answers: list[Any]) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


NO_TOKEN = RailUnavailable("no token")


class World:
    """One service in memory. ``ledger_says_yes`` answers holds as the ledger would."""

    def __init__(self, rail: FakeRail | None = None, **changes: Any) -> None:
        self.clock = Clock()
        self.rail = rail or FakeRail()
        self.rails = {self.rail.name: self.rail}
        self.errands = MemoryErrands(self.clock)
        self.store = MemoryStore(self.errands)
        self.notes = MemoryNotes(self.store)
        self.log = MemoryLog()
        self.shell = Shell(
            DisburseHandlers(terms(**changes)), self.store, self.log,
            patience_s=1, clock=self.clock,
        )  # fmt: skip
        self.worker = self.new_worker()

    def new_worker(self) -> Worker:
        """Another process."""
        courier = Courier(
            self.rails, self.notes, self.errands, SEALER, self.lane,
            clock=self.clock, ticks=self.clock.ticks,
        )  # fmt: skip
        reader = StatementReader(self.rails, self.notes, self.log, Reading(), clock=self.clock)
        return Worker(
            "disburse", self.errands, self.log,
            performers={
                "send": courier.pursue,
                "ask": courier.pursue,
                "inquire": Inquirer(self.rails, SEALER, clock=self.clock).inquire,
                "statement": reader.read,
            },
            lane=self.lane,
        )  # fmt: skip

    @staticmethod
    def lane(_name: str) -> Lane:
        return Lane(limit=10, lease_s=LEASE_S)

    async def hear(self, *messages: Message, name: str = "1") -> None:
        """The messages in one batch."""
        await self.shell.handle([record_of(received(one, self.clock(), name)) for one in messages])

    async def requested(self, **changes: Any) -> None:
        """A life whose funds are held and that is about to be sent."""
        await self.hear(disburse.RequestDisbursement(disbursement=LIFE, order=order(**changes)))
        await self.hear(funds_held())

    async def work(self, rounds: int = 1) -> None:
        """What is due now, and all that follows from it at once."""
        for _ in range(rounds):
            await self.worker.once()
            await self.own_commands()

    async def own_commands(self) -> None:
        records = self.log.read("disburse", ["disburse.commands"], 1000)
        if records:
            await self.shell.handle(records)
            self.log.commit("disburse", records)

    async def live(self, seconds: float, step_s: float = 5.0) -> None:
        """Let time pass and do what falls due on the way."""
        until = self.clock() + timedelta(seconds=seconds)
        while self.clock() < until:
            await self.work()
            self.clock.pass_s(step_s)
        await self.work()

    @property
    def life(self) -> Life:
        return life_of(self.store.collections[LIVES][LIFE])

    @property
    def status(self) -> str:
        return self.life.status

    @property
    def transfer(self) -> Transfer:
        return transfer_of(self.store.collections[TRANSFERS][LIFE])

    def plant_statement(self) -> None:
        self.errands.insert([statement_errand("bca", self.clock())])

    def said(self, topic: str) -> list[Received]:
        return [decode(record.value) for record in self.log.all(topic)]

    def names(self, topic: str) -> list[str]:
        return [type(one.message).__name__ for one in self.said(topic)]


def line(kind: Any, at: datetime, amount: int = 1_500_000) -> StatementLine:
    return StatementLine(kind, amount, LIFE, "BANK-1", at)


def life_in(status: Any, **changes: Any) -> Life:
    """A life as it would be, for the table's tests."""
    bare = Life(LIFE, order(), status, NOON, NOON, NOON, sequence=3, version=2)
    way = Way("bca", "CENAIDJA") if status not in ("holding", "scheduled", "cancelled") else None
    failure = disburse.Failure(code="X") if status in ("failed", "reversed") else None
    ask = 2 if status == "unclear" else 0
    return replace(bare, **({"way": way, "failure": failure, "ask": ask} | changes))


def transfer_for(status: str, **changes: Any) -> Transfer | None:
    if status in ("holding", "scheduled", "cancelled"):
        return None
    closed = NOON if status in ("succeeded", "failed", "reversed") else None
    sent = Transfer(LIFE, sending=2, sent_at=NOON, closed=closed, version=3)
    return replace(sent, **changes)
