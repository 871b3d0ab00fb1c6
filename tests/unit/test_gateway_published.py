"""What is published is made from what runs."""

import json
from pathlib import Path

import pytest
from jsonschema_rs import Draft202012Validator

from contracts.failures import FAILURES
from contracts.public import CASHOUT_STATUSES, DISBURSEMENT_STATUSES
from services.gateway import openapi
from services.gateway.http.problems import PROBLEMS, FieldError, Problem, from_errors, slug

DOCS = Path(__file__).parents[2] / "docs" / "api"


def test_the_committed_pages_are_those_that_the_code_makes() -> None:
    for name, text in openapi.files().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"run make docs: {name}"
    pages = {path.name for path in (DOCS / "problems").iterdir()}
    assert pages == {f"{slug(code)}.md" for code in PROBLEMS} | {"README.md"}


def test_each_example_fits_its_schema() -> None:
    document = openapi.described()
    schemas = document["components"]["schemas"]
    shown = [name for name, schema in schemas.items() if "examples" in schema]
    assert set(shown) >= {"DisbursementRequest", "CashoutRequest", "RedemptionRequest"}

    for name in shown:
        request = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        for example in schemas[name]["examples"]:
            Draft202012Validator(request).validate(example)


def test_every_operation_tells_how_it_is_refused_without_a_signature() -> None:
    for path, methods in openapi.described()["paths"].items():
        for method, operation in methods.items():
            assert "401" in operation["responses"], (path, method)
            assert operation["summary"]
            assert operation["operationId"]


def test_the_statuses_of_lists_are_those_that_partners_see() -> None:
    paths = openapi.described()["paths"]
    for path, table in (
        ("/v1/disbursements", DISBURSEMENT_STATUSES),
        ("/v1/cashouts", CASHOUT_STATUSES),
    ):
        (status,) = (p for p in paths[path]["get"]["parameters"] if p["name"] == "status")
        assert set(status["schema"]["enum"]) == {shown for shown, _ in table.values()}


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_every_problem_says_all_that_a_program_needs(code: str) -> None:
    body = json.loads(Problem(code).body("https://x.example/problems/", "req_1"))

    assert body["type"] == f"https://x.example/problems/{slug(code)}"
    assert body["code"] == code
    assert body["detail"]
    assert body["retry"] in {"no", "yes", "later", "after_top_up"}
    assert body["request_id"] == "req_1"
    if code in FAILURES:
        assert body["retry"] == FAILURES[code].retry


def test_what_may_be_sent_again_says_when() -> None:
    for code, kind in PROBLEMS.items():
        if kind.status in (429, 503):
            assert Problem(code).headers["Retry-After"] == "1"


def test_one_wrong_field_keeps_its_own_code_and_several_share_one() -> None:
    one = from_errors([FieldError("amount", "x", "AMOUNT_BELOW_MINIMUM")])
    two = from_errors([FieldError("amount", "x", "AMOUNT_BELOW_MINIMUM"), FieldError("a", "y")])

    assert one.code == "AMOUNT_BELOW_MINIMUM"
    assert two.code == "VALIDATION_FAILED"


def test_the_order_of_status_codes_is_the_published_one() -> None:
    order = [400, 401, 403, 404, 409, 413, 415, 422, 429, 503]
    ranked = {kind.status: kind.ranked for kind in PROBLEMS.values()}

    assert sorted(order, key=lambda status: ranked[status]) == order
