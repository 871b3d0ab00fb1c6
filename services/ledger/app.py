"""With what: the ledger as a process."""

from collections.abc import Mapping

from services._kit.service import Service
from services.ledger.handlers import LedgerHandlers
from services.ledger.settings import Settings
from services.ledger.state import Book
from services.ledger.store import INDICES


def service(environ: Mapping[str, str]) -> Service[Book]:
    return Service(Settings.load(environ), LedgerHandlers(), INDICES)
