"""Who says what to whom: one row per message. Topics, keys and subscriptions follow from it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache

from contracts.callbacks import v1 as callbacks
from contracts.cashout import v1 as cashout
from contracts.disburse import v1 as disburse
from contracts.ledger import v1 as ledger
from contracts.message import Command, Message

# Kafka header by which an answer to a hold names the service that asked.
HOLDER_HEADER = "holder"


@dataclass(frozen=True)
class Row:
    """A message, its topic, the field that is its Kafka key, who says it, and who hears it.

    ``holder``: the field whose value goes into the ``holder`` header; a service that may be a
    holder hears only what names it.
    """

    model: type[Message]
    topic: str
    key: str
    said_by: tuple[str, ...]
    heard_by: tuple[str, ...]
    holder: str | None = field(default=None)


_LEDGER_ASKED_BY = ("disburse", "cashout")
_LIVES = ("disburse", "cashout")
_TELLS = ("gateway", "callbacks")
_VIEW = ("gateway",)
_DISBURSE = ("disburse",)
_CASHOUT = ("cashout",)

# fmt: off
CATALOG: tuple[Row, ...] = (
    # model                            topic                  key             said by                       heard by
    Row(ledger.OpenAccount,            "ledger.commands",     "account",      ("gateway",),                 ("ledger",)),
    Row(ledger.SetTerms,               "ledger.commands",     "account",      ("gateway",),                 ("ledger",)),
    Row(ledger.CreditDeposit,          "ledger.commands",     "account",      ("gateway",),                 ("ledger",)),
    Row(ledger.HoldFunds,              "ledger.commands",     "account",      _LEDGER_ASKED_BY,             ("ledger",)),
    Row(ledger.SettleHold,             "ledger.commands",     "account",      _LEDGER_ASKED_BY,             ("ledger",)),
    Row(ledger.ReleaseHold,            "ledger.commands",     "account",      _LEDGER_ASKED_BY,             ("ledger",)),
    Row(ledger.ReturnFunds,            "ledger.commands",     "account",      _LEDGER_ASKED_BY,             ("ledger",)),
    Row(ledger.ThawAccount,            "ledger.commands",     "account",      ("gateway",),                 ("ledger",)),
    Row(ledger.AccountOpened,          "ledger.events",       "account",      ("ledger",),                  _VIEW),
    Row(ledger.TermsSet,               "ledger.events",       "account",      ("ledger",),                  _VIEW),
    Row(ledger.DepositCredited,        "ledger.events",       "account",      ("ledger",),                  _TELLS),
    Row(ledger.FundsHeld,              "ledger.events",       "account",      ("ledger",),                  (*_LIVES, *_VIEW), "holder"),
    Row(ledger.HoldRefused,            "ledger.events",       "account",      ("ledger",),                  (*_LIVES, *_VIEW), "holder"),
    Row(ledger.HoldSettled,            "ledger.events",       "account",      ("ledger",),                  _VIEW),
    Row(ledger.HoldReleased,           "ledger.events",       "account",      ("ledger",),                  _VIEW),
    Row(ledger.FundsReturned,          "ledger.events",       "account",      ("ledger",),                  _VIEW),
    Row(ledger.AccountFrozen,          "ledger.events",       "account",      ("ledger",),                  _VIEW),
    Row(ledger.AccountThawed,          "ledger.events",       "account",      ("ledger",),                  _VIEW),
    Row(ledger.CommandRefused,         "ledger.events",       "account",      ("ledger",),                  _VIEW),

    Row(disburse.RequestDisbursement,  "disburse.commands",   "disbursement", ("gateway",),                 _DISBURSE),
    Row(disburse.InstructDisbursement, "disburse.commands",   "disbursement", _DISBURSE,                    _DISBURSE),
    Row(disburse.CancelDisbursement,   "disburse.commands",   "disbursement", ("gateway",),                 _DISBURSE),
    Row(disburse.TransferConfirmed,    "disburse.commands",   "disbursement", _DISBURSE,                    _DISBURSE),
    Row(disburse.TransferRefused,      "disburse.commands",   "disbursement", _DISBURSE,                    _DISBURSE),
    Row(disburse.TransferUnclear,      "disburse.commands",   "disbursement", _DISBURSE,                    _DISBURSE),
    Row(disburse.TransferReturned,     "disburse.commands",   "disbursement", ("gateway", "disburse"),      _DISBURSE),
    Row(disburse.ResolveTransfer,      "disburse.commands",   "disbursement", _DISBURSE,                    _DISBURSE),
    Row(disburse.InquireAccount,       "disburse.commands",   "inquiry",      ("gateway",),                 _DISBURSE),
    Row(disburse.ConcludeInquiry,      "disburse.commands",   "inquiry",      _DISBURSE,                    _DISBURSE),
    Row(disburse.FailInquiry,          "disburse.commands",   "inquiry",      _DISBURSE,                    _DISBURSE),
    Row(disburse.DisbursementAccepted, "disburse.events",     "disbursement", _DISBURSE,                    _VIEW),
    Row(disburse.DisbursementScheduled, "disburse.events",    "disbursement", _DISBURSE,                    _TELLS),
    Row(disburse.DisbursementInstructed, "disburse.events",   "disbursement", _DISBURSE,                    _VIEW),
    Row(disburse.DisbursementSucceeded, "disburse.events",    "disbursement", _DISBURSE,                    _TELLS),
    Row(disburse.DisbursementFailed,   "disburse.events",     "disbursement", _DISBURSE,                    _TELLS),
    Row(disburse.DisbursementCancelled, "disburse.events",    "disbursement", _DISBURSE,                    _TELLS),
    Row(disburse.DisbursementReversed, "disburse.events",     "disbursement", _DISBURSE,                    _TELLS),
    Row(disburse.TransferContradicted, "disburse.events",     "disbursement", _DISBURSE,                    ()),
    Row(disburse.CommandRefused,       "disburse.events",     "disbursement", _DISBURSE,                    _VIEW),
    Row(disburse.AccountInquired,      "disburse.events",     "inquiry",      _DISBURSE,                    _VIEW),
    Row(disburse.AccountInquiryFailed, "disburse.events",     "inquiry",      _DISBURSE,                    _VIEW),

    Row(cashout.RequestCashout,        "cashout.commands",    "phone_hash",   ("gateway",),                  _CASHOUT),
    Row(cashout.CancelCashout,         "cashout.commands",    "phone_hash",   ("gateway",),                  _CASHOUT),
    Row(cashout.ExpireCode,            "cashout.commands",    "phone_hash",   _CASHOUT,                      _CASHOUT),
    Row(cashout.RedeemCode,            "cashout.commands",    "phone_hash",   ("gateway",),                  _CASHOUT),
    Row(cashout.ReverseRedemption,     "cashout.commands",    "phone_hash",   ("gateway",),                  _CASHOUT),
    Row(cashout.InquireCode,           "cashout.commands",    "phone_hash",   ("gateway",),                  _CASHOUT),
    Row(cashout.CashoutAccepted,       "cashout.events",      "cashout",      _CASHOUT,                      _VIEW),
    Row(cashout.CashoutFailed,         "cashout.events",      "cashout",      _CASHOUT,                      _TELLS),
    Row(cashout.CodeIssued,            "cashout.events",      "cashout",      _CASHOUT,                      _TELLS),
    Row(cashout.CodeRedeemed,          "cashout.events",      "cashout",      _CASHOUT,                      _TELLS),
    Row(cashout.CodeBlocked,           "cashout.events",      "cashout",      _CASHOUT,                      _TELLS),
    Row(cashout.CashoutCancelled,      "cashout.events",      "cashout",      _CASHOUT,                      _TELLS),
    Row(cashout.CodeExpired,           "cashout.events",      "cashout",      _CASHOUT,                      _TELLS),
    Row(cashout.CashoutReversed,       "cashout.events",      "cashout",      _CASHOUT,                      _TELLS),
    Row(cashout.CommandRefused,        "cashout.events",      "cashout",      _CASHOUT,                      _VIEW),
    Row(cashout.RedemptionAnswered,    "cashout.events",      "key",          _CASHOUT,                      _VIEW),
    Row(cashout.ReversalAnswered,      "cashout.events",      "key",          _CASHOUT,                      _VIEW),
    Row(cashout.InquiryAnswered,       "cashout.events",      "inquiry",      _CASHOUT,                      _VIEW),

    Row(callbacks.SetEndpoint,         "callbacks.commands",  "endpoint",     ("gateway",),                 ("callbacks",)),
    Row(callbacks.RecordAttempt,       "callbacks.commands",  "delivery",     ("callbacks",),               ("callbacks",)),
    Row(callbacks.RedeliverCallback,   "callbacks.commands",  "delivery",     ("gateway",),                 ("callbacks",)),
    Row(callbacks.EndpointSet,         "callbacks.events",    "endpoint",     ("callbacks",),               _VIEW),
    Row(callbacks.CallbackDelivered,   "callbacks.events",    "delivery",     ("callbacks",),               ()),
    Row(callbacks.CallbackExhausted,   "callbacks.events",    "delivery",     ("callbacks",),               ()),
    Row(callbacks.CommandRefused,      "callbacks.events",    "delivery",     ("callbacks",),               ()),
)
# fmt: on

DEAD_SUFFIX = ".dead"


@cache
def row(message_type: str) -> Row:
    """The row of a type.

    Raises:
        KeyError: nobody says this.
    """
    return {one.model.type: one for one in CATALOG}[message_type]


def topics() -> list[str]:
    """Every topic, without the ``.dead`` ones."""
    return sorted({one.topic for one in CATALOG})


def heard_by(service: str) -> dict[str, frozenset[str]]:
    """The types that ``service`` hears, by topic."""
    found: dict[str, set[str]] = {}
    for one in CATALOG:
        if service in one.heard_by:
            found.setdefault(one.topic, set()).add(one.model.type)
    return {topic: frozenset(types) for topic, types in found.items()}


def commands_to(service: str) -> Collection[type[Message]]:
    """The orders that ``service`` may not ignore."""
    return [c.model for c in CATALOG if service in c.heard_by and issubclass(c.model, Command)]


def may_hold(service: str) -> bool:
    return service in _LIVES
