"""The tables of answers, walked: every code at every HTTP status means something defined."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.disburse.rails import (
    Confirmed,
    InquiryRefused,
    InquiryUnclear,
    Named,
    NotFound,
    Refused,
    Returned,
    TokenExpired,
    Unclear,
)
from services.disburse.rails.answers import (
    REFUSALS,
    SEND,
    Reply,
    inquiry_answer,
    send_answer,
    status_answer,
)
from tests.support.snap_bank import NOON, REFERENCE, order

HTTP = (
    200, 201, 202, 204, 301, 400, 401, 403, 404, 405, 408, 409, 422, 425, 429,
    500, 502, 503, 504, 599,
)  # fmt: skip
ORDER = order()

# The decision as it is published, written again by hand: the table must not drift from it.
# fmt: off
PUBLISHED = {
    "BANK_UNAVAILABLE":           {"403xx01", "403xx04", "403xx06", "403xx14", "404xx16"},
    "REJECTED_BY_BANK":           {"400xx00", "400xx01", "400xx02", "403xx05", "403xx15",
                                   "404xx13"},
    "DESTINATION_LIMIT_EXCEEDED": {"403xx02", "403xx23"},
    "SUSPECTED_FRAUD":            {"403xx03"},
    "ACCOUNT_INACTIVE":           {"403xx07", "403xx08", "403xx09", "403xx18"},
    "CHANNEL_NOT_SUPPORTED":      {"404xx02", "404xx03", "404xx09", "405xx00", "405xx01"},
    "INVALID_DESTINATION":        {"404xx11", "404xx12", "404xx19"},
}
# fmt: on


def reply(code: str, http: int | None = None, service: str = "18", **fields: Any) -> Reply:
    body = {"responseCode": code, "responseMessage": "as told", **fields}
    return Reply(http or int(code[:3]), service, body)


def test_the_refusals_are_those_that_are_published() -> None:
    found: dict[str, set[str]] = {}
    for case, no in REFUSALS.items():
        found.setdefault(no.code, set()).add(case)

    assert found == PUBLISHED


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("service", ["17", "18"])
def test_every_code_of_a_send_is_defined_and_no_unknown_one_refuses(
    http: int, service: str
) -> None:
    for number in range(100):
        answer = send_answer(reply(f"{http}{service}{number:02d}", service=service), ORDER, NOON)

        case = f"{http}xx{number:02d}"
        if case == "200xx00":
            assert isinstance(answer, Confirmed)
        elif case in REFUSALS:
            assert isinstance(answer, Refused)
            assert answer.code == REFUSALS[case].code
        elif case in {"401xx00", "401xx01", "401xx03"}:
            assert isinstance(answer, TokenExpired)
        else:
            assert isinstance(answer, Unclear), case


@pytest.mark.parametrize(
    "case",
    ["202xx00", "409xx00", "409xx01", "429xx00", "500xx00", "500xx01", "500xx02", "504xx00",
     "404xx01", "404xx18", "403xx00", "403xx16", "404xx04", "404xx00"],
)  # fmt: skip
def test_these_answers_to_a_send_are_never_a_failure(case: str) -> None:
    assert isinstance(send_answer(reply(case.replace("xx", "18")), ORDER, NOON), Unclear)


# fmt: off
SAID_WHY = {
    "2021800": "in progress",
    "4041818": "inconsistent request",
    "4091800": "external id re-used",
    "4091801": "duplicate reference",
    "4291800": "too many requests",
    "5001800": "bank error",
    "5001801": "bank error",
    "5001802": "bank error",
    "5041800": "bank timed out",
    "4031816": "unknown code",
}
# fmt: on


@pytest.mark.parametrize(("code", "why"), SAID_WHY.items())
def test_an_unclear_send_says_why(code: str, why: str) -> None:
    assert send_answer(reply(code), ORDER, NOON) == Unclear(why, code)


@pytest.mark.parametrize(
    ("status", "why"),
    [("01", "initiated"), ("02", "paying"), ("03", "pending"), ("08", "unknown status")],
)
def test_an_unclear_status_says_why(status: str, why: str) -> None:
    answer = status_answer(reply("2003600", service="36", latestTransactionStatus=status), ORDER)

    assert answer == Unclear(why, "2003600")


@pytest.mark.parametrize("case", sorted(SEND))
@pytest.mark.parametrize("http", HTTP)
def test_a_code_that_disagrees_with_its_http_status_is_unclear(case: str, http: int) -> None:
    code = case.replace("xx", "18")
    if int(code[:3]) == http:
        return

    assert isinstance(send_answer(reply(code, http), ORDER, NOON), Unclear)
    assert isinstance(inquiry_answer(reply(code.replace("18", "16"), http)), InquiryUnclear)


def test_an_answer_of_another_service_is_unclear_but_for_a_refused_token() -> None:
    assert isinstance(send_answer(reply("2001700"), ORDER, NOON), Unclear)
    assert isinstance(send_answer(reply("4041711"), ORDER, NOON), Unclear)
    assert isinstance(send_answer(reply("4017300"), ORDER, NOON), TokenExpired)


@pytest.mark.parametrize(
    "fields",
    [
        None, {}, {"responseCode": None}, {"responseCode": ""}, {"responseCode": "00"},
        {"responseCode": ["4041811"]}, {"responseCode": "40418111"}, {"responseCode": "4O41811"},
        {"responseCode": True}, {"error": "invalid account"},
        {"responseCode": "٤٠٤١٨١١"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("http", HTTP)
def test_an_answer_without_a_code_is_unclear(fields: dict[str, Any] | None, http: int) -> None:
    strange = Reply(http, "18", fields)

    assert isinstance(send_answer(strange, ORDER, NOON), Unclear)
    assert isinstance(status_answer(strange, ORDER), Unclear)
    assert isinstance(inquiry_answer(strange), InquiryUnclear)


def test_a_confirmation_carries_what_support_asks_for() -> None:
    answer = send_answer(
        reply(
            "2001800",
            referenceNo="R1",
            traceNo=123,
            partnerReferenceNo=REFERENCE,
            amount={"value": "10000.00", "currency": "IDR"},
            transactionDate="2026-03-02T12:00:01+07:00",
        ),
        ORDER,
        NOON,
    )

    assert isinstance(answer, Confirmed)
    assert (answer.bank_reference, answer.trace_no) == ("R1", "123")
    assert answer.transferred_at is not None
    assert answer.transferred_at.isoformat() == "2026-03-02T12:00:01+07:00"


def test_a_confirmation_without_a_time_happened_when_it_was_heard() -> None:
    for text in (None, "", "2026-03-02 12:00:00", "soon"):
        assert send_answer(reply("2001800", transactionDate=text), ORDER, NOON) == Confirmed(
            None, None, NOON
        )


@pytest.mark.parametrize(
    "fields",
    [
        {"partnerReferenceNo": "disb_OTHER"},
        {"amount": {"value": "10001.00"}},
        {"amount": {"value": "10000.50"}},
        {"amount": {"value": None}},
    ],
)
def test_a_confirmation_of_another_transfer_is_unclear(fields: dict[str, Any]) -> None:
    originals = {
        "originalPartnerReferenceNo" if name == "partnerReferenceNo" else name: value
        for name, value in fields.items()
    }

    assert isinstance(send_answer(reply("2001800", **fields), ORDER, NOON), Unclear)
    status = reply("2003600", service="36", latestTransactionStatus="00", **originals)
    assert isinstance(status_answer(status, ORDER), Unclear)


def test_every_latest_status_is_defined() -> None:
    published = {"00": Confirmed, "04": Returned, "05": Refused, "06": Refused, "07": NotFound}
    for number in range(100):
        status = f"{number:02d}"

        answer = status_answer(
            reply("2003600", service="36", latestTransactionStatus=status), ORDER
        )

        assert type(answer) is published.get(status, Unclear), status


@pytest.mark.parametrize("status", [None, "", 0, "0", "000", ["00"], True])
def test_a_status_that_is_not_one_is_unclear(status: object) -> None:
    strange = reply("2003600", service="36", latestTransactionStatus=status)

    assert isinstance(status_answer(strange, ORDER), Unclear)


@pytest.mark.parametrize("http", HTTP)
def test_a_status_call_that_was_not_answered_proves_nothing(http: int) -> None:
    for number in range(100):
        answer = status_answer(
            reply(f"{http}36{number:02d}", service="36", latestTransactionStatus="99"), ORDER
        )

        expected = NotFound if (http, number) == (404, 1) else Unclear
        assert type(answer) is expected, (http, number)


def test_a_failed_status_says_why_if_the_bank_repeats_its_first_answer() -> None:
    def asked(original: object) -> object:
        return status_answer(
            reply(
                "2003600",
                service="36",
                latestTransactionStatus="06",
                originalResponseCode=original,
                transactionStatusDesc="failed for 0123456789",
            ),
            ORDER,
        )

    assert asked("4041811") == Refused("INVALID_DESTINATION", "failed for ******", "2003600/06")
    for unknown in (None, "2001800", "5041800", "", "404"):
        assert asked(unknown) == Refused("REJECTED_BY_BANK", "failed for ******", "2003600/06")


def test_a_return_carries_the_banks_reference_and_time() -> None:
    answer = status_answer(
        reply(
            "2003600",
            service="36",
            latestTransactionStatus="04",
            originalReferenceNo="R1",
            transactionDate="2026-03-02T12:00:01+07:00",
        ),
        ORDER,
    )

    assert isinstance(answer, Returned)
    assert answer.bank_reference == "R1"
    assert answer.returned_at is not None


def test_an_inquiry_names_the_owner_or_refuses_the_account() -> None:
    named = inquiry_answer(reply("2001600", service="16", beneficiaryAccountName=" ANI "))
    unnamed = inquiry_answer(reply("2001600", service="16", beneficiaryAccountName=" "))

    assert named == Named("ANI")
    assert isinstance(unnamed, InquiryUnclear)
    for case, code in {
        "4041611": "INVALID_DESTINATION",
        "4001601": "INVALID_DESTINATION",
        "4041601": "INVALID_DESTINATION",
        "4031618": "ACCOUNT_INACTIVE",
        "4041603": "CHANNEL_NOT_SUPPORTED",
        "4031606": "BANK_UNAVAILABLE",
    }.items():
        answer = inquiry_answer(reply(case, service="16"))
        assert isinstance(answer, InquiryRefused)
        assert answer.code == code


def test_the_banks_words_never_carry_an_account_number() -> None:
    body = {"responseCode": "4041811", "responseMessage": "no account 0123456789" + "x" * 500}

    answer = send_answer(Reply(404, "18", body), ORDER, NOON)

    assert isinstance(answer, Refused)
    assert answer.reason_text.startswith("no account ******")
    assert len(answer.reason_text) <= 200


TEXT = st.text(st.characters(max_codepoint=0x6FF), max_size=12)
JSON = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    TEXT,
    st.lists(TEXT, max_size=2),
    st.dictionaries(st.sampled_from(["value", "currency"]), TEXT | st.integers(), max_size=2),
)
NAMES = st.sampled_from(
    ["responseCode", "responseMessage", "latestTransactionStatus", "amount", "transactionDate",
     "partnerReferenceNo", "referenceNo", "traceNo", "beneficiaryAccountName"]
)  # fmt: skip


@given(
    http=st.sampled_from(HTTP),
    case=st.integers(0, 99),
    fields=st.dictionaries(NAMES, JSON, max_size=4),
)
def test_no_body_can_break_the_reading_of_answers(
    http: int, case: int, fields: dict[str, Any]
) -> None:
    fields = {"responseCode": f"{http}18{case:02d}"} | fields
    strange = Reply(http, "18", json.loads(json.dumps(fields)))

    send = send_answer(strange, ORDER, NOON)
    status_answer(strange, ORDER)
    inquiry_answer(strange)

    if isinstance(send, Refused):
        assert strange.case in REFUSALS
