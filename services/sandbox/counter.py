"""What the bank does with a call whose signature was right. The magic accounts come true here."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.sandbox.banks import BANKS
from services.sandbox.books import Books, Line, Transfer
from services.sandbox.magic import Magic, magic_of
from services.sandbox.names import holder_of
from services.sandbox.settings import Settings
from services.sandbox.snap import STATUS_TEXTS, Fields, RefusalError, answer, money, shown

INTRABANK = "17"
INTERBANK = "18"
PAGE_LINES_MAX = 1000

Answer = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Call:
    """A service call; ``service`` is its two-digit code."""

    service: str
    external_id: str
    fields: Fields
    now: datetime


class Counter:
    """Answers out of the books; tells ``returning`` of each transfer that will be returned."""

    def __init__(
        self, settings: Settings, books: Books, returning: Callable[[Transfer], None]
    ) -> None:
        self._settings = settings
        self._books = books
        self._returning = returning

    async def transfer(self, call: Call) -> Answer:
        """Nothing is awaited between the look at the books and the entry: one reference, one win.

        A known reference is refused before all else, also before a re-used X-EXTERNAL-ID, because
        409xx01 tells the client what it needs to know: that the first one stands.
        """
        reference = call.fields.text("partnerReferenceNo", 64)
        if reference in self._books.transfers:
            self._books.repeats[reference] = self._books.repeats.get(reference, 0) + 1
            raise RefusalError("409xx01")
        try:
            magic = magic_of(call.fields.optional("beneficiaryAccountNo", 34))
            if magic.behaviour == "lose_and_hang":
                return await self._silence(call)
            transfer = self._taken(call, reference, magic)
        except RefusalError as refusal:
            refused = self._blank(call, reference)
            refused.refused = refusal.case.replace("xx", call.service)
            self._books.enter(refused)
            raise
        self._books.enter(transfer)
        if transfer.returns_at:
            self._returning(transfer)
        if magic.behaviour == "execute_then_hang":
            return await self._silence(call)
        return answer(magic.case, call.service, **_facts(transfer))

    async def _silence(self, call: Call) -> Answer:
        await asyncio.sleep(self._settings.hang_s)
        return answer("504xx00", call.service)

    def _taken(self, call: Call, reference: str, magic: Magic) -> Transfer:
        """The transfer that the bank agrees to; a RefusalError if it does not."""
        self._use_external_id(call)
        body = call.fields
        transfer = self._blank(call, reference)
        transfer.amount = body.rupiah("amount")
        transfer.account = body.text("beneficiaryAccountNo", 34, r"[0-9]+")
        transfer.source = body.text("sourceAccountNo", 19)
        transfer.remark = body.optional("remark", 256)
        body.time("transactionDate")
        if call.service == INTERBANK:
            body.text("beneficiaryAccountName", 100)
            transfer.bank_code = body.text("beneficiaryBankCode", 11)
            _known_bank(transfer.bank_code)
        if magic.behaviour == "refuse":
            raise RefusalError(magic.case)
        if self._books.balance(transfer.source, call.now) < transfer.amount:
            raise RefusalError("403xx14")
        wait_s = self._settings.pending_s if magic.behaviour == "pend" else 0
        transfer.executes_at = call.now + timedelta(seconds=wait_s)
        if magic.behaviour == "return":
            transfer.returns_at = call.now + timedelta(seconds=self._settings.return_after_s)
        return transfer

    def _blank(self, call: Call, reference: str) -> Transfer:
        number = len(self._books.transfers) + 1
        return Transfer(
            reference=reference,
            reference_no=f"{call.now:%Y%m%d%H%M%S}{number:010d}",
            trace_no=f"{number:012d}",
            external_id=call.external_id,
            service=call.service,
            received_at=call.now,
        )

    def _use_external_id(self, call: Call) -> None:
        if not self._books.use_external_id(call.external_id, call.now):
            raise RefusalError("409xx00")

    async def status(self, call: Call) -> Answer:
        self._use_external_id(call)
        reference = call.fields.text("originalPartnerReferenceNo", 64)
        service = call.fields.text("serviceCode", 2, r"[0-9]{2}")
        transfer = self._books.transfers.get(reference)
        if transfer is None:
            raise RefusalError("404xx01")
        # "Not found" would be a lie that makes a careless client pay again.
        if transfer.service != service:
            raise RefusalError("404xx18", "{serviceCode}")
        status = transfer.status(call.now)
        facts = _facts(transfer)
        return answer(
            "200xx00",
            call.service,
            originalPartnerReferenceNo=facts.pop("partnerReferenceNo"),
            originalReferenceNo=facts.pop("referenceNo"),
            originalExternalId=transfer.external_id,
            originalResponseCode=transfer.refused or f"200{transfer.service}00",
            serviceCode=transfer.service,
            latestTransactionStatus=status,
            transactionStatusDesc=STATUS_TEXTS[status],
            **facts,
        )

    async def inquiry(self, call: Call) -> Answer:
        self._use_external_id(call)
        account = call.fields.text("beneficiaryAccountNo", 34, r"[0-9]+")
        facts = {}
        if call.service == "16":
            bic = call.fields.text("beneficiaryBankCode", 11)
            facts = {"beneficiaryBankCode": bic, "beneficiaryBankName": _known_bank(bic)}
        if magic_of(account).case == "404xx11":
            raise RefusalError("404xx11")
        return answer(
            "200xx00",
            call.service,
            referenceNo=f"{call.now:%Y%m%d%H%M%S%f}",
            partnerReferenceNo=call.fields.optional("partnerReferenceNo", 64),
            beneficiaryAccountName=holder_of(account),
            beneficiaryAccountNo=account,
            beneficiaryAccountStatus="Rekening aktif",
            currency="IDR",
            **facts,
        )

    async def balance(self, call: Call) -> Answer:
        self._use_external_id(call)
        account = call.fields.text("accountNo", 19)
        left = money(self._books.balance(account, call.now))
        info = {"balanceType": "Cash", "amount": left, "availableBalance": left}
        return answer("200xx00", call.service, accountNo=account, accountInfos=[info])

    async def statement(self, call: Call) -> Answer:
        """Lines in [fromDateTime, toDateTime); lines that happened never move between pages."""
        self._use_external_id(call)
        body = call.fields
        account = body.optional("accountNo", 19)
        size = body.number("pageSize", least=1, most=PAGE_LINES_MAX, default=100)
        page = body.number("pageNumber", least=0, most=1_000_000, default=0)
        lines = self._books.statement(body.time("fromDateTime"), body.time("toDateTime"), call.now)
        lines = [line for line in lines if account in ("", line.transfer.source)]
        return answer(
            "200xx00",
            call.service,
            totalDebitEntries=_total(lines, "DEBIT"),
            totalCreditEntries=_total(lines, "CREDIT"),
            pageNumber=page,
            hasMore=len(lines) > (page + 1) * size,
            detailData=[_detail(line) for line in lines[page * size : (page + 1) * size]],
        )


def _known_bank(bic: str) -> str:
    name = BANKS.get(bic)
    if name is None:
        raise RefusalError("404xx03")
    return name


def _facts(transfer: Transfer) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "referenceNo": transfer.reference_no,
        "partnerReferenceNo": transfer.reference,
        "traceNo": transfer.trace_no,
    }
    if transfer.executes_at:
        facts |= {
            "amount": money(transfer.amount),
            "beneficiaryAccountNo": transfer.account,
            "beneficiaryAccountName": holder_of(transfer.account),
            "sourceAccountNo": transfer.source,
            "transactionDate": shown(transfer.executes_at),
        }
    if transfer.bank_code:
        facts["beneficiaryBankCode"] = transfer.bank_code
    return facts


def _detail(line: Line) -> dict[str, Any]:
    returned = line.kind == "CREDIT"
    return {
        "type": line.kind,
        "amount": money(line.transfer.amount),
        "transactionDate": shown(line.at),
        "partnerReferenceNo": line.transfer.reference,
        "referenceNo": line.transfer.reference_no,
        "remark": "RETURNED BY BENEFICIARY BANK" if returned else line.transfer.remark,
        "transactionDetailStatus": "SUCCESS",
    }


def _total(lines: list[Line], kind: str) -> dict[str, Any]:
    amounts = [line.transfer.amount for line in lines if line.kind == kind]
    return {"numberOfEntries": str(len(amounts)), "amount": money(sum(amounts))}
