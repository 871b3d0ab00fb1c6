"""Problems (RFC 9457): one table of what can be wrong, each with its page in docs/api/problems."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from contracts.failures import FAILURES, Retry

CONTENT_TYPE = "application/problem+json"


class ProblemType(NamedTuple):
    """``status`` is HTTP's, ``retry`` is for a program, the rest is for a person."""

    status: int
    retry: Retry
    title: str
    remedy: str

    @property
    def ranked(self) -> int:
        """Of several, the first in this order is answered."""
        return _ORDER.index(self.status)


_ORDER = (400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 503, 504, 500)

# ruff: noqa: E501 - one problem a line, aligned, or it is no table
# fmt: off
PROBLEMS: dict[str, ProblemType] = {
    "MALFORMED_JSON":          ProblemType(400, "no",    "The body is not JSON", "Send one JSON object in UTF-8."),
    "IDEMPOTENCY_KEY_MISSING": ProblemType(400, "no",    "The request has no usable Idempotency-Key", "Send an Idempotency-Key of 1 to 128 visible ASCII characters, and the same one whenever you repeat this request."),
    "AUTHENTICATION_REQUIRED": ProblemType(401, "no",    "The request is not signed", "Sign the request as signature.md describes; sandbox keys may also be sent as HTTP Basic."),
    "SIGNATURE_INVALID":       ProblemType(401, "no",    "The signature or the key is wrong", "Sign the very bytes that you send, with the key's own secret; compare with the test vectors of signature.md."),
    "TIMESTAMP_OUT_OF_RANGE":  ProblemType(401, "yes",   "The timestamp is too far from now", "Set your clock by NTP and sign each attempt anew."),
    "ADDRESS_NOT_ALLOWED":     ProblemType(403, "no",    "Your address is not on the allow-list", "Call from an address on your allow-list, or have it changed."),
    "ENVIRONMENT_NOT_ALLOWED": ProblemType(403, "no",    "The key may not be used like this", "Sign requests of the production environment; HTTP Basic is for sandbox keys."),
    "KEY_NOT_ALLOWED":         ProblemType(403, "no",    "The key is not for this", "Partners' keys are for what partners do, stores' keys for /v1/retail."),
    "NOT_FOUND":               ProblemType(404, "no",    "There is no such thing", "Check the id, and that the key belongs to the environment in which it was made."),
    "METHOD_NOT_ALLOWED":      ProblemType(405, "no",    "The method does not fit the address", "See the API's description for what the address takes."),
    "DUPLICATE_REFERENCE":     ProblemType(409, "no",    "The reference was used before", "Look at the original, which is linked. A new payment needs a new reference."),
    "NOT_CANCELLABLE":         ProblemType(409, "no",    "It cannot be cancelled any more", "Only a scheduled disbursement and an active cash-out can be cancelled; see its status."),
    "REQUEST_IN_PROGRESS":     ProblemType(409, "yes",   "The first request is still being taken in", "Repeat the request with the same Idempotency-Key after the seconds in Retry-After."),
    "ALREADY_EXISTS":          ProblemType(409, "no",    "It exists with other content", "Choose another id, or send the same content again."),
    "COMMAND_REFUSED":         ProblemType(409, "no",    "The command was refused", "The detail names the reason."),
    "BODY_TOO_LARGE":          ProblemType(413, "no",    "The body is too large", "Send at most 64 KiB."),
    "UNSUPPORTED_MEDIA_TYPE":  ProblemType(415, "no",    "The body is not announced as JSON", "Send Content-Type: application/json."),
    "VALIDATION_FAILED":       ProblemType(422, "no",    "A field is wrong", "Correct what errors lists. Nothing was stored: the Idempotency-Key may be used again."),
    "IDEMPOTENCY_KEY_REUSED":  ProblemType(422, "no",    "The Idempotency-Key was used with another body", "A repeat sends the same bytes. Another request needs another key."),
    "UNKNOWN_BANK":            ProblemType(422, "no",    "No such bank", "Use a short name, BIC or three-digit code from GET /v1/channels."),
    "UNKNOWN_WALLET":          ProblemType(422, "no",    "No such wallet", "Use a name from GET /v1/channels."),
    "RATE_LIMITED":            ProblemType(429, "yes",   "Too many requests", "Slow down, and repeat after the seconds in Retry-After."),
    "INTERNAL_ERROR":          ProblemType(500, "yes",   "Something broke here", "Repeat the request with the same Idempotency-Key, or ask for its status. Tell support the request_id if it stays."),
    "UNAVAILABLE":             ProblemType(503, "yes",   "The request cannot be taken in now", "Repeat it with the same Idempotency-Key after the seconds in Retry-After. Without a repeat it may still be executed: ask for it by its reference before you give up."),
    "OVERLOADED":              ProblemType(503, "yes",   "Too much is in flight", "Nothing was stored. Repeat the request after the seconds in Retry-After."),
    "NO_ANSWER":               ProblemType(504, "later", "No answer came in time", "Nothing was moved. Ask again later."),
    "REDEMPTION_UNDECIDED":    ProblemType(504, "no",    "The redemption is not decided in time", "Do not pay: reverse, or ask the status."),
    "REVERSAL_UNANSWERED":     ProblemType(504, "yes",   "The reversal is not answered yet", "Send the same reversal again until it is answered: it always gets a yes."),
}
# fmt: on
# What a waiting request learns from ledger or bank, in the failure codes' own words.
_AS_422 = (
    "INVALID_DESTINATION",
    "ACCOUNT_INACTIVE",
    "AMOUNT_BELOW_MINIMUM",
    "AMOUNT_ABOVE_MAXIMUM",
    "AMOUNT_NOT_A_MULTIPLE",
    "CHANNEL_NOT_SUPPORTED",
)
PROBLEMS |= {
    code: ProblemType(
        422,
        FAILURES[code].retry,
        FAILURES[code].message.rstrip("."),
        "Change the request; the same one will be refused again.",
    )
    for code in _AS_422
}


class FieldError(NamedTuple):
    """``field`` is a path like ``destination.bank``; ``code`` tells errors of a field apart."""

    field: str
    message: str
    code: str = "VALIDATION_FAILED"


class Problem(Exception):  # noqa: N818 - read aloud: raise Problem
    """A refusal on its way out.

    Args:
        code: one of ``PROBLEMS``.
        detail: what is wrong with this very request, for a person.
        errors: the fields that are wrong.
        headers: sent with it.
        more: further members of the body.
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.errors = code, detail, errors
        self.type = PROBLEMS[code]
        self.headers = dict(headers or {})
        if self.type.status in (429, 503):
            self.headers.setdefault("Retry-After", "1")
        if self.type.status == 401:  # noqa: PLR2004 - RFC 9110: a 401 says how to ask
            self.headers.setdefault("WWW-Authenticate", 'Salur-Signature, Basic realm="sandbox"')
        self.more = dict(more or {})

    def body(self, base_url: str, request_id: str) -> bytes:
        kind = self.type
        members: dict[str, Any] = {
            "type": base_url + slug(self.code),
            "title": kind.title,
            "status": kind.status,
            "code": self.code,
            "detail": self.detail or kind.remedy,
            "errors": [{"field": e.field, "message": e.message} for e in self.errors],
            "retry": kind.retry,
            "request_id": request_id,
        }
        return orjson.dumps(members | self.more)


def from_errors(errors: Sequence[FieldError]) -> Problem:
    """One problem for all wrong fields; a single error keeps its own code."""
    codes = {error.code for error in errors}
    code = codes.pop() if len(codes) == 1 else "VALIDATION_FAILED"
    detail = "; ".join(f"{error.field}: {error.message}" for error in errors)
    return Problem(code, detail[:500], errors=errors)


def slug(code: str) -> str:
    """The last part of a problem type's address."""
    return code.lower().replace("_", "-")


def pages() -> dict[str, str]:
    """The published page of each problem type, by file name."""
    made = {f"{slug(code)}.md": _page(code, kind) for code, kind in PROBLEMS.items()}
    lines = ["# Problem types", "", "| code | status | retry | title |", "|---|---|---|---|"]
    lines += [
        f"| [{code}]({slug(code)}.md) | {kind.status} | {kind.retry} | {kind.title} |"
        for code, kind in sorted(PROBLEMS.items(), key=lambda item: (item[1].ranked, item[0]))
    ]
    return made | {"README.md": "\n".join(lines) + "\n"}


_RETRIES = {
    "no": "Do not send the same request again.",
    "yes": "Send the same request again, with the same Idempotency-Key.",
    "later": "Try again later.",
    "after_top_up": "Top up the deposit first.",
}


def _page(code: str, kind: ProblemType) -> str:
    return (
        f"# {kind.title}\n\n"
        f"* code: `{code}`\n* status: {kind.status}\n* retry: `{kind.retry}`\n\n"
        f"{kind.remedy}\n\n{_RETRIES[kind.retry]}\n"
    )
