"""What a person is paged for: counted, and logged with the life's id."""

from collections.abc import Iterable

import structlog
from prometheus_client import Counter

log = structlog.get_logger()

pages = Counter("salur_disburse_pages_total", "Reasons to page a person", ["about"])


def page(about: str, disbursement: str, reasons: Iterable[str]) -> None:
    """``about`` is one of a few words (a label), ``reasons`` are for the person."""
    for reason in reasons:
        pages.labels(about).inc()
        log.error("a person is needed", about=about, disbursement=disbursement, reason=reason)
