"""Logs: one line per message, JSON outside a terminal, and never a secret."""

import logging
import sys
from collections.abc import Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

_log = structlog.get_logger()

# A name that may hold a customer's secret is dropped wherever it appears, as a last net.
NEVER_LOGGED = frozenset(
    {"code", "key", "secret", "phone", "account_number", "account_name", "authorization", "token"}
)


def configure(service: str, level: str) -> None:
    """Send structlog and the standard library's logs to standard output in one form."""
    terminal = sys.stdout.isatty()
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _drop_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: structlog.types.Processor = (
        # A plain traceback: the rich one shows local variables, and with them what was unsealed.
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Drivers report each retry at INFO; their warnings are enough.
    for noisy in ("aiokafka", "httpx", "httpcore", "pymongo", "uvicorn.access", "faststream"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    structlog.contextvars.bind_contextvars(service=service)


def lines(event: str, service: str, rows: Iterable[dict[str, Any]]) -> None:
    """One INFO line for each row, written at once: on the hot path a line may cost microseconds.

    ``rows`` hold names and ids only; nobody looks for secrets in them.
    """
    if not logging.getLogger().isEnabledFor(logging.INFO):
        return
    if sys.stdout.isatty():
        for row in rows:
            _log.info(event, **row)
        return
    head = {
        "event": event,
        "service": service,
        "level": "info",
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    text = b"".join(orjson.dumps(row | head, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    sys.stdout.write(text.decode())
    sys.stdout.flush()


def _drop_secrets(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for name in NEVER_LOGGED & event.keys():
        event[name] = "(not logged)"
    return event
