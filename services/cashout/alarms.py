"""What a person is alarmed about: counted, and logged without phone or code."""

from collections.abc import Iterable

import structlog
from prometheus_client import Counter

log = structlog.get_logger()

alarms = Counter("salur_cashout_alarms_total", "Reasons to alarm a person", ["about"])


def alarm(about: str, where: str, reasons: Iterable[str]) -> None:
    """``about`` is one of a few words (a label); ``where`` names a terminal."""
    for reason in reasons:
        alarms.labels(about).inc()
        log.error("a person should look", about=about, where=where, reason=reason)
