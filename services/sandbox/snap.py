"""SNAP BI's words: response codes and messages, times, amounts, and the fields of a body."""

import re
from datetime import datetime, timedelta, timezone
from typing import Any, Self

import orjson

JAKARTA = timezone(timedelta(hours=7))

# SNAP BI 1.0.2, response codes: HTTP status (3), service (2), case (2).
MESSAGES = {
    "200xx00": "Successful",
    "202xx00": "Request In Progress",
    "400xx00": "Bad Request",
    "400xx01": "Invalid Field Format",
    "400xx02": "Invalid Mandatory Field",
    "401xx00": "Unauthorized.",
    "401xx01": "Invalid Token (B2B)",
    "403xx05": "Do Not Honor",
    "403xx06": "Feature Not Allowed At This Time. [Cut off in progress]",
    "403xx14": "Insufficient Funds",
    "404xx01": "Transaction Not Found",
    "404xx03": "Bank Not Supported By Switch",
    "404xx11": "Invalid Card/Account/Customer",
    "404xx13": "Invalid Amount",
    "404xx18": "Inconsistent Request",
    "409xx00": "Conflict. [X-EXTERNAL-ID was used today]",
    "409xx01": "Duplicate partnerReferenceNo",
    "504xx00": "Timeout",
}
STATUS_TEXTS = {"00": "Success", "03": "Pending", "04": "Refunded", "06": "Failed"}


class RefusalError(Exception):
    """An answer other than a success: a case such as ``404xx11`` and what is wrong."""

    def __init__(self, case: str, detail: str = "") -> None:
        super().__init__(case, detail)
        self.case = case
        self.detail = detail


def answer(case: str, service: str, detail: str = "", **fields: Any) -> tuple[int, bytes]:
    """HTTP status and body; the service code takes the place of ``xx``."""
    message = f"{MESSAGES[case]} {detail}".strip()
    body = {"responseCode": case.replace("xx", service), "responseMessage": message, **fields}
    return int(case[:3]), orjson.dumps(body)


def shown(moment: datetime) -> str:
    """ISO 8601 with Jakarta's offset and whole seconds: the 25 characters of SNAP."""
    return moment.astimezone(JAKARTA).isoformat(timespec="seconds")


def money(rupiah: int) -> dict[str, str]:
    return {"value": f"{rupiah}.00", "currency": "IDR"}


def parsed_time(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RefusalError("400xx01", f"{{{name}}}") from None
    if moment.tzinfo is None:
        raise RefusalError("400xx01", f"{{{name}}}")
    return moment


class Fields:
    """A request's body, read field by field; what is missing or wrong is refused by name."""

    def __init__(self, found: dict[str, Any], path: str = "") -> None:
        self._found = found
        self._path = path

    @classmethod
    def of(cls, body: bytes) -> Self:
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise RefusalError("400xx00", "[not JSON]") from None
        if not isinstance(found, dict):
            raise RefusalError("400xx00", "[not an object]")
        return cls(found)

    def text(self, name: str, length_max: int, pattern: str = r".+") -> str:
        value = self._present(name)
        if not isinstance(value, str) or len(value) > length_max:
            raise self._wrong(name)
        if not re.fullmatch(pattern, value):
            raise self._wrong(name)
        return value

    def optional(self, name: str, length_max: int, default: str = "") -> str:
        if self._found.get(name) in (None, ""):
            return default
        return self.text(name, length_max)

    def number(self, name: str, *, least: int, most: int, default: int) -> int:
        """A whole number, also as the digits of a text, which is how SNAP likes to write it."""
        value = self._found.get(name, default)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if type(value) is not int or not least <= value <= most:
            raise self._wrong(name)
        return value

    def time(self, name: str) -> datetime:
        return parsed_time(self.text(name, 32), name)

    def rupiah(self, name: str) -> int:
        amount = self._present(name)
        if not isinstance(amount, dict):
            raise self._wrong(name)
        inside = Fields(amount, f"{name}.")
        value = inside.text("value", 19, r"[0-9]{1,16}\.[0-9]{2}")
        inside.text("currency", 3, "IDR")
        rupiah, _, sen = value.partition(".")
        if sen != "00" or int(rupiah) == 0:
            raise RefusalError("404xx13")
        return int(rupiah)

    def _present(self, name: str) -> Any:
        value = self._found.get(name)
        if value is None or value == "":
            raise RefusalError("400xx02", f"{{{self._path}{name}}}")
        return value

    def _wrong(self, name: str) -> RefusalError:
        return RefusalError("400xx01", f"{{{self._path}{name}}}")
