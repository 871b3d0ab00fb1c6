"""What is said to a SNAP BI bank: paths, service codes and bodies (SNAP BI 1.0.2).

Bodies hold the mandatory fields (with the standard's lengths) and no others: banks differ in those.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from contracts.money import snap_value
from services._kit.snap_signature import timestamp
from services.disburse.rails import Beneficiary, Order

TOKEN_PATH: Final = "/v1.0/access-token/b2b"  # noqa: S105 - a path
TOKEN_BODY: Final = b'{"grantType":"client_credentials"}'

STATEMENT, INQUIRY_INTERNAL, INQUIRY_EXTERNAL = "14", "15", "16"
INTRABANK, INTERBANK, STATUS = "17", "18", "36"
PATHS: Final[Mapping[str, str]] = {
    STATEMENT: "/v1.0/bank-statement",
    INQUIRY_INTERNAL: "/v1.0/account-inquiry-internal",
    INQUIRY_EXTERNAL: "/v1.0/account-inquiry-external",
    INTRABANK: "/v1.0/transfer-intrabank",
    INTERBANK: "/v1.0/transfer-interbank",
    STATUS: "/v1.0/transfer/status",
}

_NAME_CHARS_MAX = 100


def transfer_service(own_bic: str, bank_bic: str) -> str:
    return INTRABANK if bank_bic == own_bic else INTERBANK


def transfer(order: Order, service: str, source_account: str, unnamed: str) -> dict[str, Any]:
    """``unnamed`` stands where the partner gave no name: an interbank transfer must have one."""
    to = order.destination
    fields: dict[str, Any] = {
        "partnerReferenceNo": order.reference,
        "amount": _amount(order.amount),
        "beneficiaryAccountNo": to.account_number,
        "sourceAccountNo": source_account,
        "transactionDate": timestamp(order.sent_at),
    }
    if service == INTERBANK:
        fields["beneficiaryAccountName"] = (to.account_name or unnamed)[:_NAME_CHARS_MAX]
        fields["beneficiaryBankCode"] = to.bank_bic
    return fields


def status(order: Order, service: str) -> dict[str, Any]:
    return {
        "originalPartnerReferenceNo": order.reference,
        "serviceCode": service,
        "transactionDate": timestamp(order.sent_at),
        "amount": _amount(order.amount),
    }


def inquiry(own_bic: str, destination: Beneficiary, reference: str) -> tuple[str, dict[str, Any]]:
    """The service code and the body."""
    fields = {
        "partnerReferenceNo": reference,
        "beneficiaryAccountNo": destination.account_number,
    }
    if destination.bank_bic == own_bic:
        return INQUIRY_INTERNAL, fields
    return INQUIRY_EXTERNAL, fields | {"beneficiaryBankCode": destination.bank_bic}


def statement(
    account: str, since: datetime, until: datetime, page: int, lines_per_page: int
) -> dict[str, Any]:
    return {
        "partnerReferenceNo": f"stmt-{since:%Y%m%d%H%M%S}-{page}",
        "accountNo": account,
        "fromDateTime": timestamp(since),
        "toDateTime": timestamp(until),
        "pageSize": str(lines_per_page),
        "pageNumber": str(page),
    }


def _amount(amount: int) -> dict[str, str]:
    return {"value": snap_value(amount), "currency": "IDR"}
