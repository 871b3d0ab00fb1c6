"""A shop to try cash-outs in: the cash-out service and the real ledger, in memory, on one clock.

``say`` puts a message into the log, ``pump`` lets both services work until nothing is left.
"""

import base64
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from contracts import catalog
from contracts.cashout import v1 as cashout
from contracts.cashout.keys import PhoneKey, reference_key, store_correlation
from contracts.envelope import Envelope, decode
from contracts.ids import public_id, uuid7
from contracts.ledger import v1 as ledger
from contracts.message import Message
from contracts.phones import masked_phone, normalised
from contracts.sealed import Sealer, new_key
from services._kit.errands import Lane
from services._kit.life import Changes, Document
from services._kit.memory import MemoryErrands, MemoryLog, MemoryStore
from services._kit.ports import Record
from services._kit.records import record_of
from services._kit.shell import Shell
from services._kit.worker import Worker
from services.cashout.codes import CodeKeys
from services.cashout.handlers import CashoutHandlers
from services.cashout.life import Terms
from services.ledger.handlers import LedgerHandlers

NOW = datetime(2026, 3, 2, 3, 4, 5, 678000, tzinfo=UTC)
PHONE, OTHER_PHONE = "081234567890", "085711112222"
CHAIN, OTHER_CHAIN = "indomaret.sandbox", "alfamart.sandbox"
DEPOSIT = 1_000_000_000
AMOUNT, FEE = 100_000, 5_000
SEAL_KEY, PHONE_KEY = new_key(), new_key("p1")
CODE_KEY = f"c1:{base64.b64encode(bytes(range(32))).decode()}"
SEALER, PHONES = Sealer(SEAL_KEY), PhoneKey(PHONE_KEY)

M = TypeVar("M", bound=Message)


def handlers(
    terms: Terms | None = None,
    keys: str = CODE_KEY,
    entropy: Callable[[int], bytes] = os.urandom,
) -> CashoutHandlers:
    return CashoutHandlers(terms or Terms(), CodeKeys(keys), SEALER, entropy)


def record(message: Message, at: datetime, correlation: str = "", key: str = "") -> Record:
    """``message`` as another service or the gateway puts it into the log."""
    row = catalog.row(message.type)
    name = str(uuid7(int(at.timestamp() * 1000)))
    return record_of(
        Envelope.model_construct(
            id=name,
            type=message.type,
            source="/salur/test",
            key=key or getattr(message, row.key),
            occurred_at=at,
            correlation=correlation or name,
            cause=None,
            sequence=None,
            message=message,
        )
    )


@dataclass
class Meanwhile:
    """A store in whose commit something else happens first, once."""

    store: Any
    then: Callable[[], Awaitable[Any]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def commit(self, changes: Changes, *rest: Any) -> None:
        if self.then is not None:
            then, self.then = self.then, None
            await then()
        await self.store.commit(changes, *rest)


class Shop:
    """One platform without a gateway: its tests are the gateway, and the stores."""

    def __init__(self, terms: Terms | None = None) -> None:
        self.now = NOW
        self.terms = terms or Terms()
        self.log = MemoryLog(partitions=3)
        self.store = MemoryStore(MemoryErrands(lambda: self.now))
        self.ledger_store = MemoryStore()
        self.cashout = self.shell(handlers(self.terms))
        self.ledger = Shell(
            LedgerHandlers(), self.ledger_store, self.log, patience_s=1, clock=lambda: self.now
        )
        self._refs = 0

    def shell(self, made: CashoutHandlers, store: Any = None) -> Shell[Any]:
        """One more process of the service."""
        return Shell(made, store or self.store, self.log, patience_s=1, clock=lambda: self.now)

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    # --- the gateway ----------------------------------------------------------------------------

    async def open(self, account: str = "toko.sandbox", deposit: int = DEPOSIT) -> None:
        await self.say(ledger.OpenAccount(account=account, scheme="deposit"))
        await self.say(
            ledger.CreditDeposit(account=account, amount=deposit, external_reference="grant")
        )
        await self.pump()

    async def say(self, message: Message, correlation: str = "") -> Record:
        said = record(message, self.now, correlation)
        await self.log.publish([said])
        return said

    def order(self, phone: str = PHONE, **changes: Any) -> cashout.Order:
        environment = changes.get("environment", "sandbox")
        fields: dict[str, Any] = {
            "partner": "toko",
            "environment": environment,
            "account": f"toko.{environment}",
            "reference": "refund-1",
            "amount": AMOUNT,
            "fee": FEE,
            "phone": SEALER.seal(normalised(phone), cashout.PHONE),
            "phone_masked": masked_phone(phone),
            "recipient_name": "Budi",
            "expires_at": self.now + timedelta(hours=24),
        }
        return cashout.Order.model_validate(fields | changes)

    async def requested(self, phone: str = PHONE, **order: Any) -> str:
        """A request that nobody has handled yet."""
        life = public_id("cash", uuid7(int(self.now.timestamp() * 1000)))
        made = cashout.RequestCashout(
            cashout=life, phone_hash=hash_of(phone), order=self.order(phone, **order)
        )
        await self.say(made, life)
        return life

    async def active(self, phone: str = PHONE, **order: Any) -> tuple[str, str]:
        """A life whose code can be redeemed, and its code."""
        life = await self.requested(phone, **order)
        await self.pump()
        return life, self.code(life)

    async def cancel(self, life: str, phone: str = PHONE) -> Record:
        return await self.say(cashout.CancelCashout(cashout=life, phone_hash=hash_of(phone)))

    async def expire(self, life: str, phone: str = PHONE) -> Record:
        """The alarm clock rings."""
        return await self.say(cashout.ExpireCode(cashout=life, phone_hash=hash_of(phone)), life)

    # --- a store --------------------------------------------------------------------------------

    def redemption(self, code: str, **changes: Any) -> cashout.RedeemCode:
        """What the gateway makes of ``POST /v1/retail/redemptions``; a reference of its own."""
        phone = normalised(changes.pop("phone", PHONE))
        self._refs += 1
        amount = changes.pop("amount", AMOUNT)
        fields: dict[str, Any] = {
            "phone_hash": hash_of(phone),
            "chain": CHAIN,
            "store_ref": f"T{self._refs:05d}",
            "fingerprint": PHONES.redemption(code, phone, amount),
            "code": SEALER.seal(code, cashout.CODE),
            "amount": amount,
            "store_id": "TDKB",
            "terminal_id": "1",
            "cashier_at": self.now,
            "answer_by": self.now + timedelta(seconds=25),
        }
        return cashout.RedeemCode.model_validate(fields | changes)

    def reversal(self, store_ref: str, **changes: Any) -> cashout.ReverseRedemption:
        phone = normalised(changes.pop("phone", PHONE))
        fields: dict[str, Any] = {
            "phone_hash": hash_of(phone),
            "chain": CHAIN,
            "store_ref": store_ref,
            "fingerprint": PHONES.reversal(phone, changes.pop("code", None)),
            "reason": "timeout",
        }
        return cashout.ReverseRedemption.model_validate(fields | changes)

    def inquiry(self, code: str, **changes: Any) -> cashout.InquireCode:
        self._refs += 1
        fields: dict[str, Any] = {
            "phone_hash": hash_of(changes.pop("phone", PHONE)),
            "inquiry": f"inq-{self._refs}",
            "chain": CHAIN,
            "code": SEALER.seal(code, cashout.CODE),
            "amount": AMOUNT,
        }
        return cashout.InquireCode.model_validate(fields | changes)

    async def ask(self, message: cashout.RedeemCode | cashout.ReverseRedemption) -> None:
        """Into the log, as the gateway does it."""
        kind: Any = "redemption" if isinstance(message, cashout.RedeemCode) else "reversal"
        about = (message.chain, message.store_ref, kind, message.fingerprint)
        await self.say(message, store_correlation(*about))

    async def redeem(self, code: str, **changes: Any) -> cashout.RedemptionAnswered:
        """Ask, and hear the answer."""
        asked = self.redemption(code, **changes)
        await self.ask(asked)
        await self.pump()
        said = self.said(cashout.RedemptionAnswered)
        return [one for one in said if one.key == reference_key(asked.chain, asked.store_ref)][-1]

    async def reverse(self, store_ref: str, **changes: Any) -> cashout.ReversalAnswered:
        asked = self.reversal(store_ref, **changes)
        await self.ask(asked)
        await self.pump()
        said = self.said(cashout.ReversalAnswered)
        return [one for one in said if one.key == reference_key(asked.chain, asked.store_ref)][-1]

    async def inquire(self, code: str, **changes: Any) -> cashout.InquiryAnswered:
        asked = self.inquiry(code, **changes)
        await self.say(asked)
        await self.pump()
        [answer] = [o for o in self.said(cashout.InquiryAnswered) if o.inquiry == asked.inquiry]
        return answer

    # --- work -----------------------------------------------------------------------------------

    async def pump(self) -> None:
        """Both services work until nothing is left."""
        while await self._step(self.cashout) or await self._step(self.ledger):
            pass

    async def _step(self, shell: Shell[Any]) -> bool:
        batch = self.log.read(shell.service, catalog.heard_by(shell.service), 500)
        if batch:
            await shell.handle(batch)
            self.log.commit(shell.service, batch)
        return bool(batch)

    async def ring(self) -> int:
        """Errands that are due are performed."""
        worker = Worker(
            "cashout",
            self.store.errands,
            self.log,
            performers={},
            lane=lambda _name: Lane(limit=500, lease_s=45),
        )
        return await worker.once()

    # --- eyes -----------------------------------------------------------------------------------

    def envelopes(self, *models: type[Message]) -> list[Envelope[Any]]:
        """All that was said of these types, in the order of its publication per partition."""
        found = []
        for topic in {catalog.row(model.type).topic for model in models}:
            found += [decode(one.value) for one in self.log.all(topic)]
        types = {model.type for model in models}
        wanted = [one for one in found if one.type in types]
        return sorted(wanted, key=lambda one: one.occurred_at)

    def said(self, model: type[M]) -> list[M]:
        return [one.message for one in self.envelopes(model)]

    def life(self, life: str) -> Document:
        return self.store.collections["cashouts"][life]

    def status(self, life: str) -> str:
        return str(self.life(life)["status"])

    def code(self, life: str) -> str:
        [issued] = [one for one in self.said(cashout.CodeIssued) if one.cashout == life]
        return SEALER.open(issued.code, cashout.CODE)

    def told(self, life: str) -> list[str]:
        """What the partner was told of a life, in order."""
        models = [
            row.model
            for row in catalog.CATALOG
            if row.model.__module__ == cashout.__name__ and "callbacks" in row.heard_by
        ]
        told = [one for one in self.envelopes(*models) if one.message.cashout == life]
        told.sort(key=lambda one: one.sequence or 0)
        return [type(one.message).__name__ for one in told]

    def money(self, account: str = "toko.sandbox") -> tuple[int, int]:
        """Available and held, as the ledger has them."""
        row = self.ledger_store.collections["accounts"][account]
        return row["available"], row["held"]

    def parked(self) -> list[str]:
        rows = [*self.store.inbox.values(), *self.ledger_store.inbox.values()]
        return [f"{row.type}: {row.parked}" for row in rows if row.parked]


def hash_of(phone: str) -> str:
    return PHONES.phone_hash(normalised(phone))


def wrong(code: str, by: int = 1) -> str:
    """Another code: its last digits are moved on."""
    return f"{(int(code) + by) % 10**10:010d}"
