"""The play bank pays, refuses and falls silent as its table of magic accounts says."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.sandbox.magic import MAGIC, magic_of
from tests.integration.sandbox_client import Client, open_bank, transfer, until


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_bank(tmp_path) as client:
        yield client


async def test_an_ordinary_transfer_is_paid_and_its_status_says_so(bank: Client) -> None:
    paid = (await bank.pay("disb_1")).json()
    status = await bank.status("disb_1")

    assert (paid["responseCode"], paid["partnerReferenceNo"]) == ("2001800", "disb_1")
    assert paid["amount"] == {"value": "150000.00", "currency": "IDR"}
    assert status["latestTransactionStatus"] == "00"
    assert status["originalReferenceNo"] == paid["referenceNo"]
    assert status["traceNo"] == paid["traceNo"]
    assert [row["reference"] for row in await bank.executions("disb_1")] == ["disb_1"]


async def test_a_transfer_inside_the_bank_needs_no_bank_code(bank: Client) -> None:
    body = transfer("disb_1")
    del body["beneficiaryBankCode"], body["beneficiaryAccountName"]

    paid = await bank.call("/transfer-intrabank", body)

    assert paid.json()["responseCode"] == "2001700"
    assert (await bank.status("disb_1", "17"))["latestTransactionStatus"] == "00"
    assert (await bank.status("disb_1", "18"))["responseCode"] == "4043618"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": {"value": "150000", "currency": "IDR"}}, "4001801"),
        ({"amount": {"value": 150000, "currency": "IDR"}}, "4001801"),
        ({"amount": {"value": "150000.00", "currency": "USD"}}, "4001801"),
        ({"amount": {"value": "150000.50", "currency": "IDR"}}, "4041813"),
        ({"amount": {"value": "0.00", "currency": "IDR"}}, "4041813"),
        ({"beneficiaryAccountNo": "12 34"}, "4001801"),
        ({"beneficiaryAccountNo": 123456}, "4001801"),
        ({"transactionDate": "2026-01-01"}, "4001801"),
        ({"beneficiaryBankCode": "XXXXIDJA"}, "4041803"),
    ],
)
async def test_a_refused_reference_stays_refused_for_ever(
    bank: Client, changes: dict[str, Any], code: str
) -> None:
    refused = await bank.pay("disb_1", **changes)
    again = await bank.pay("disb_1")

    assert refused.json()["responseCode"] == code
    assert again.json()["responseCode"] == "4091801"
    assert (await bank.status("disb_1"))["latestTransactionStatus"] == "06"
    assert await bank.executions() == []


async def test_a_repeated_reference_is_paid_once(bank: Client) -> None:
    answers = await asyncio.gather(*(bank.pay("disb_1") for _ in range(10)))

    codes = sorted(answer.json()["responseCode"] for answer in answers)
    assert codes == ["2001800"] + ["4091801"] * 9
    (row,) = await bank.executions("disb_1")
    assert row["repeats_refused"] == 9


async def test_an_empty_source_account_pays_nothing_more(tmp_path: Path) -> None:
    async with open_bank(tmp_path, opening_balance=200_000) as bank:
        await bank.pay("disb_1")
        refused = await bank.pay("disb_2")
        balance = await bank.call("/balance-inquiry", {"accountNo": "1122334455"})

        assert refused.json()["responseCode"] == "4031814"
        assert balance.json()["accountInfos"][0]["availableBalance"]["value"] == "50000.00"


@pytest.mark.parametrize("magic", MAGIC, ids=lambda magic: magic.prefix)
async def test_a_magic_account_answers_as_its_row_says(bank: Client, magic: Any) -> None:
    answer = await bank.pay("disb_1", magic.prefix + "7890")
    statuses: list[str] = []

    async def all_statuses() -> bool:
        said = await bank.status("disb_1")
        status = said.get("latestTransactionStatus") or said["responseCode"]
        if status not in statuses:
            statuses.append(status)
        return ", ".join(statuses) == str(magic.status).replace("xx", "36")

    assert answer.json()["responseCode"] == magic.case.replace("xx", "18")
    assert answer.status_code == int(magic.case[:3])
    await until(all_statuses)


@pytest.mark.parametrize("magic", MAGIC, ids=lambda magic: magic.prefix)
def test_a_wallet_reaches_the_magic_with_its_phone(magic: Any) -> None:
    for prefix in ("70001", "3901", "122", "09110"):
        assert magic_of(f"{prefix}0812{magic.prefix}7") is magic
        assert magic_of(f"{prefix}62812{magic.prefix}7") is magic
    assert magic_of("7000108127654321").behaviour == "pay"


async def test_the_dangerous_account_has_paid_before_it_falls_silent(tmp_path: Path) -> None:
    async with open_bank(tmp_path, hang_s=30) as bank:
        hanging = asyncio.create_task(bank.pay("disb_1", "1414140001"))
        await until(lambda: bank.executions("disb_1"))

        assert not hanging.done()
        assert (await bank.pay("disb_1", "1414140001")).json()["responseCode"] == "4091801"
        hanging.cancel()


async def test_a_lost_transfer_was_never_seen(bank: Client) -> None:
    first = await bank.pay("disb_1", "1515150001")
    second = await bank.pay("disb_1", "1515150001")

    assert [first.status_code, second.status_code] == [504, 504]
    assert (await bank.status("disb_1"))["responseCode"] == "4043601"
    assert await bank.executions() == []


async def test_an_inquiry_names_the_holder_and_the_bank(bank: Client) -> None:
    body = {"beneficiaryBankCode": "BMRIIDJA", "beneficiaryAccountNo": "0123456789"}
    first = (await bank.call("/account-inquiry-external", body)).json()
    again = (await bank.call("/account-inquiry-external", body)).json()

    assert first["responseCode"] == "2001600"
    assert first["beneficiaryBankName"] == "MANDIRI"
    assert first["beneficiaryAccountName"] == again["beneficiaryAccountName"]
    assert first["beneficiaryAccountName"].isupper()


async def test_an_inquiry_knows_wallets_and_invalid_accounts(bank: Client) -> None:
    wallet = await bank.call(
        "/account-inquiry-internal", {"beneficiaryAccountNo": "70001081298765432"}
    )
    invalid = await bank.call("/account-inquiry-internal", {"beneficiaryAccountNo": "1212120"})
    body = {"beneficiaryBankCode": "XXXXIDJA", "beneficiaryAccountNo": "0123456789"}
    nowhere = await bank.call("/account-inquiry-external", body)

    assert wallet.json()["beneficiaryAccountName"].startswith("GOPAY ")
    assert invalid.json()["responseCode"] == "4041511"
    assert nowhere.json()["responseCode"] == "4041603"
