"""The SNAP BI client against a small bank with its own signature checks."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.disburse.rails import (
    Confirmed,
    InquiryRefused,
    InquiryUnclear,
    Named,
    NotFound,
    Rail,
    RailUnavailable,
    Refused,
    TokenExpired,
    TokenRefused,
    Unclear,
)
from services.disburse.rails.snap import SnapRail
from tests.support.snap_bank import (
    NOON,
    REFERENCE,
    TOKEN_PATH,
    FakeBank,
    config,
    expected_signature,
    order,
    said,
)

SILENT = httpx.ReadTimeout("silent")


async def sent(bank: FakeBank, rail: Rail, bic: str = "BRINIDJA") -> object:
    return await rail.call(await rail.sign(order(bic)))


class Dripping(httpx.AsyncByteStream):
    """A bank that sends a byte now and then, so that no single read times out."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)


async def test_an_interbank_transfer_is_signed_over_exactly_what_is_sent() -> None:
    bank = FakeBank(transfer_interbank=said("2001800", referenceNo="R1", traceNo="T1"))

    answer = await sent(bank, bank.rail())

    assert answer == Confirmed("R1", "T1", NOON)
    request = bank.calls("/transfer-interbank")[0]
    assert str(request.url) == "http://bank.test/openapi/v1.0/transfer-interbank"
    assert request.headers["X-SIGNATURE"] == expected_signature(request, "/v1.0/transfer-interbank")
    assert json.loads(request.content) == {
        "partnerReferenceNo": REFERENCE,
        "amount": {"value": "10000.00", "currency": "IDR"},
        "beneficiaryAccountName": "ANI",
        "beneficiaryAccountNo": "0123456789",
        "beneficiaryBankCode": "BRINIDJA",
        "sourceAccountNo": "1234567890",
        "transactionDate": "2026-03-02T12:00:00+07:00",
    }
    assert request.headers["X-PARTNER-ID"] == "PARTNER01"
    assert request.headers["CHANNEL-ID"] == "95051"
    assert request.headers["X-TIMESTAMP"] == "2026-03-02T12:00:00+07:00"
    assert request.headers["Content-Type"] == "application/json"


async def test_a_transfer_within_the_rails_bank_is_intrabank() -> None:
    bank = FakeBank(transfer_intrabank=said("2001700"))

    answer = await sent(bank, bank.rail(), "CENAIDJA")

    assert isinstance(answer, Confirmed)
    body = json.loads(bank.calls("/transfer-intrabank")[0].content)
    assert "beneficiaryBankCode" not in body


async def test_an_interbank_transfer_always_has_a_name_of_at_most_100_characters() -> None:
    bank = FakeBank(transfer_interbank=said("2001800"))
    rail = bank.rail(unnamed_beneficiary="TANPA NAMA")

    unnamed = await rail.sign(order(name=None))
    long = await rail.sign(order(name="x" * 200))

    assert json.loads(unnamed.request.body)["beneficiaryAccountName"] == "TANPA NAMA"
    assert len(json.loads(long.request.body)["beneficiaryAccountName"]) == 100


async def test_each_signing_has_a_fresh_numeric_external_id() -> None:
    rail = FakeBank().rail()

    ids = {(await rail.sign(order())).request.external_id for _ in range(100)}

    assert len(ids) == 100
    assert all(i.isdecimal() and len(i) <= 36 for i in ids)


async def test_signing_alone_sends_no_order() -> None:
    bank = FakeBank()

    await bank.rail().sign(order())

    assert [r.url.path.removeprefix("/openapi") for r in bank.requests] == [TOKEN_PATH]


async def test_nothing_secret_shows_in_a_repr() -> None:
    rail = FakeBank().rail()

    signed = await rail.sign(order())

    shown = repr(signed) + repr(rail)
    for secret in ("token-1", "0123456789", "ANI", "a-made-up-client-secret", "Bearer"):
        assert secret not in shown


@pytest.mark.parametrize(
    "broken",
    [
        SILENT,
        httpx.ConnectTimeout("no"),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("gone"),
        httpx.Response(200, text="<html>maintenance</html>"),
        httpx.Response(200, json=["4041811"]),
        httpx.Response(200),
        httpx.Response(302, headers={"Location": "http://elsewhere.test/"}),
        httpx.Response(404, text="no such path"),
        httpx.Response(502, text="bad gateway"),
        httpx.Response(200, content=b" " * 70_000),
        said("2021800"),
        said("4091801"),
        said("4291800"),
        said("5041800"),
        said("4041899"),
    ],
)
async def test_whatever_is_not_definite_leaves_a_send_unclear(
    broken: httpx.Response | Exception,
) -> None:
    bank = FakeBank(transfer_interbank=broken)

    answer = await sent(bank, bank.rail())

    assert isinstance(answer, Unclear)
    assert len(bank.calls("/transfer-interbank")) == 1


async def test_a_refused_send_carries_its_failure_code() -> None:
    bank = FakeBank(transfer_interbank=said("4041811"))

    answer = await sent(bank, bank.rail())

    assert answer == Refused("INVALID_DESTINATION", "as told", "4041811")


async def test_a_bank_that_drips_bytes_is_cut_off_at_the_deadline() -> None:
    bank = FakeBank(transfer_interbank=httpx.Response(200, stream=Dripping()))
    rail = bank.rail(call_timeout_s=0.2)
    signed = await rail.sign(order())
    start = time.monotonic()

    answer = await rail.call(signed)

    assert isinstance(answer, Unclear)
    assert time.monotonic() - start < 1


async def test_a_refused_token_is_said_and_the_next_signing_has_a_new_one() -> None:
    bank = FakeBank(transfer_interbank=said("4011801"))
    rail = bank.rail()

    answer = await sent(bank, rail)
    again = await rail.sign(order())

    assert answer == TokenExpired("4011801")
    assert len(bank.calls("/transfer-interbank")) == 1  # the rail never sends again by itself
    assert again.request.token == "token-2"


async def test_a_401_that_is_not_of_the_bank_is_unclear_but_costs_the_token() -> None:
    bank = FakeBank(transfer_interbank=httpx.Response(401, text="proxy says no"))
    rail = bank.rail()

    answer = await sent(bank, rail)

    assert isinstance(answer, Unclear)
    assert (await rail.sign(order())).request.token == "token-2"


async def test_a_request_that_waited_longer_than_its_token_is_not_sent() -> None:
    bank = FakeBank(transfer_interbank=said("2001800"))
    rail = bank.rail()
    signed = await rail.sign(order())
    bank.clock.pass_s(890)

    answer = await rail.call(signed)

    assert answer == TokenExpired(None)
    assert bank.calls("/transfer-interbank") == []


async def test_a_hundred_senders_fetch_one_token() -> None:
    bank = FakeBank()
    rail = bank.rail()

    await asyncio.gather(*(rail.sign(order()) for _ in range(100)))

    assert len(bank.calls(TOKEN_PATH)) == 1


async def test_a_hundred_refused_senders_renew_the_token_once() -> None:
    bank = FakeBank(transfer_interbank=said("4011801"))
    rail = bank.rail()
    signed = await asyncio.gather(*(rail.sign(order()) for _ in range(100)))

    await asyncio.gather(*(rail.call(one) for one in signed))
    await asyncio.gather(*(rail.sign(order()) for _ in range(100)))

    assert len(bank.calls(TOKEN_PATH)) == 2


async def test_a_sender_that_gives_up_does_not_take_the_token_from_the_others() -> None:
    bank = FakeBank()
    rail = bank.rail()
    first = asyncio.create_task(rail.sign(order()))
    second = asyncio.create_task(rail.sign(order()))
    await asyncio.sleep(0)

    first.cancel()

    assert (await second).request.token == "token-1"


async def test_a_token_is_renewed_before_it_ends_and_nobody_waits() -> None:
    bank = FakeBank()
    rail = bank.rail()
    await rail.sign(order())
    bank.clock.pass_s(850)

    during = await rail.sign(order())
    await asyncio.sleep(0.05)
    after = await rail.sign(order())

    assert (during.request.token, after.request.token) == ("token-1", "token-2")


async def test_a_failed_early_renewal_is_tried_again_while_the_old_token_serves() -> None:
    bank = FakeBank()
    rail = bank.rail()
    await rail.sign(order())
    bank.clock.pass_s(850)
    bank.answers["token"] = said("5007300")

    assert (await rail.sign(order())).request.token == "token-1"
    await asyncio.sleep(0.05)
    del bank.answers["token"]
    await rail.sign(order())
    await asyncio.sleep(0.05)

    assert (await rail.sign(order())).request.token == "token-3"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (said("4017300"), TokenRefused),
        (said("5007300"), RailUnavailable),
        (said("4297300"), RailUnavailable),
        (SILENT, RailUnavailable),
        (said("2007300"), RailUnavailable),
        (said("2007300", accessToken="a\nb"), RailUnavailable),
        (said("2007300", accessToken="a", expiresIn=0), RailUnavailable),
        (said("2007300", accessToken="a", expiresIn="soon"), RailUnavailable),
    ],
)
async def test_without_a_token_nothing_is_signed_and_asking_is_unclear(
    answer: httpx.Response | Exception, error: type[Exception]
) -> None:
    rail = FakeBank(token=answer).rail()

    with pytest.raises(error) as caught:
        await rail.sign(order())
    assert type(caught.value) is error
    assert isinstance(await rail.ask(order()), Unclear)
    assert isinstance(await rail.inquire(order().destination, "inq_1"), InquiryUnclear)


async def test_asking_names_the_original_reference_and_service() -> None:
    bank = FakeBank(status=said("2003600", latestTransactionStatus="00", originalReferenceNo="R"))
    rail = bank.rail()

    answers = [await rail.ask(order("BRINIDJA")), await rail.ask(order("CENAIDJA"))]

    assert answers == [Confirmed("R", None, None)] * 2
    bodies = [json.loads(r.content) for r in bank.calls("/v1.0/transfer/status")]
    assert [b["serviceCode"] for b in bodies] == ["18", "17"]
    assert bodies[0]["originalPartnerReferenceNo"] == REFERENCE
    request = bank.calls("/v1.0/transfer/status")[0]
    assert request.headers["X-SIGNATURE"] == expected_signature(request, "/v1.0/transfer/status")


async def test_asking_renews_a_refused_token_once() -> None:
    answers = iter([said("4013601"), said("4043601"), *[said("4013601")] * 9])
    bank = FakeBank(status=lambda _request: next(answers))
    rail = bank.rail()

    assert await rail.ask(order()) == NotFound("4043601")
    assert len(bank.calls(TOKEN_PATH)) == 2
    assert isinstance(await rail.ask(order()), Unclear)
    assert len(bank.calls("/status")) == 4


async def test_asking_ends_within_one_token_and_one_call() -> None:
    async def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(TOKEN_PATH):
            return said("2007300", accessToken="t")
        await asyncio.sleep(0.15)
        return said("4013601")

    rail = SnapRail(
        config(token_timeout_s=0.05, call_timeout_s=0.2), transport=httpx.MockTransport(slow)
    )
    start = time.monotonic()

    answer = await rail.ask(order())

    assert isinstance(answer, Unclear)
    assert time.monotonic() - start < 0.5
    await rail.aclose()


async def test_a_compressed_answer_is_not_read() -> None:
    bomb = httpx.Response(200, headers={"Content-Encoding": "br"}, stream=Dripping())
    bank = FakeBank(transfer_interbank=bomb)

    assert isinstance(await sent(bank, bank.rail()), Unclear)


async def test_an_inquiry_is_internal_at_the_rails_bank_and_external_elsewhere() -> None:
    bank = FakeBank(
        account_inquiry_internal=said("2001500", beneficiaryAccountName="BUDI"),
        account_inquiry_external=said("2001600", beneficiaryAccountName="ANI"),
    )
    rail = bank.rail()

    at_home = await rail.inquire(order("CENAIDJA").destination, "inq_1")
    elsewhere = await rail.inquire(order("BRINIDJA").destination, "inq_1")

    assert (at_home, elsewhere) == (Named("BUDI"), Named("ANI"))
    assert "beneficiaryBankCode" not in json.loads(bank.calls("-internal")[0].content)
    assert json.loads(bank.calls("-external")[0].content) == {
        "partnerReferenceNo": "inq_1",
        "beneficiaryAccountNo": "0123456789",
        "beneficiaryBankCode": "BRINIDJA",
    }


async def test_an_unknown_account_is_a_refused_inquiry() -> None:
    rail = FakeBank(account_inquiry_external=said("4041611")).rail()

    answer = await rail.inquire(order().destination, "inq_1")

    assert answer == InquiryRefused("INVALID_DESTINATION", "as told", "4041611")


def line(number: int, kind: str = "DEBIT", **changes: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "amount": {"value": f"{number}.00", "currency": "IDR"},
        "transactionDate": "2026-03-02T12:00:00+07:00",
        "partnerReferenceNo": f"disb_{number}",
        "referenceNo": f"R{number}",
        **changes,
    }


def pages(*each: list[dict[str, Any]], **more: Any) -> Any:
    def answer(request: httpx.Request) -> httpx.Response:
        number = int(json.loads(request.content)["pageNumber"])
        has_more = {"hasMore": "Y" if number + 1 < len(each) else "N"}
        return said("2001400", detailData=each[number], **(more or has_more))

    return answer


async def test_a_statement_is_read_to_its_last_page() -> None:
    bank = FakeBank(bank_statement=pages([line(1), line(2)], [line(3, "CREDIT")]))

    lines = await bank.rail().statement(NOON, NOON + timedelta(days=1))

    assert [(one.kind, one.amount, one.reference, one.bank_reference) for one in lines] == [
        ("DEBIT", 1, "disb_1", "R1"),
        ("DEBIT", 2, "disb_2", "R2"),
        ("CREDIT", 3, "disb_3", "R3"),
    ]
    body = json.loads(bank.calls("/bank-statement")[0].content)
    assert body["fromDateTime"] == "2026-03-02T12:00:00+07:00"
    assert body["toDateTime"] == "2026-03-03T12:00:00+07:00"


async def test_a_statement_may_say_how_many_pages_it_has_or_nothing() -> None:
    counted = FakeBank(bank_statement=pages([line(1)], [line(2)], totalPage=2))
    full = [line(n) for n in range(100)]
    silent = FakeBank(bank_statement=pages(full, [line(101)], note="nothing"))

    assert len(await counted.rail().statement(NOON, NOON)) == 2
    assert len(await silent.rail().statement(NOON, NOON)) == 101


@pytest.mark.parametrize(
    "answer",
    [
        said("5001400"),
        SILENT,
        said("2001400", detailData="none"),
        said("2001400", detailData=[1]),
        said("2001400", detailData=[line(1, "OTHER")]),
        said("2001400", detailData=[line(1, transactionDate="2026-03-02T12:00:00")]),
        said("2001400", detailData=[line(1)], hasMore="Y"),
    ],
)
async def test_a_statement_with_a_hole_is_no_statement(
    answer: httpx.Response | Exception,
) -> None:
    rail = FakeBank(bank_statement=answer).rail()

    with pytest.raises(RailUnavailable):
        await rail.statement(NOON, NOON)


async def test_a_line_that_is_not_ours_is_kept_without_a_reference() -> None:
    found = [
        line(1, partnerReferenceNo=None, remark=f"TRF {REFERENCE} ANI"),
        line(1, "C", partnerReferenceNo="", amount={"value": "0.35"}, remark="BUNGA"),
        line(1, partnerReferenceNo=None, detailInfo={"partnerReferenceNo": "disb_9"}),
    ]
    rail = FakeBank(bank_statement=said("2001400", detailData=found)).rail()

    lines = await rail.statement(NOON, NOON)

    assert [one.reference for one in lines] == [REFERENCE, None, "disb_9"]
    assert [one.amount for one in lines] == [1, None, 1]


async def test_the_deadline_of_an_attempt_is_the_sum_of_its_parts() -> None:
    rail: Rail = FakeBank().rail(token_timeout_s=0.5, call_timeout_s=1.0, concurrency=7)

    assert rail.attempt_deadline_s == 4.5
    assert (rail.name, rail.concurrency, rail.dedupes_reference) == ("bca", 7, False)
    assert rail.not_found_after_s == 1200
    await rail.aclose()
