"""cashout put together: settings, handlers, and the alarm clock of codes."""

import os
from collections.abc import Mapping

from contracts.sealed import Sealer
from services._kit.errands import Lane
from services._kit.service import Service
from services.cashout import store
from services.cashout.codes import CodeKeys
from services.cashout.handlers import Book, CashoutHandlers
from services.cashout.settings import Settings

# Its errands only say a message, so the lease is short: a dead process delays none for long.
EXPIRY = Lane(limit=500, lease_s=45)


def service(environ: Mapping[str, str]) -> Service[Book]:
    """The service as the environment describes it.

    Raises:
        SettingsError: a variable is unknown, missing or wrong.
    """
    settings = Settings.load(environ)
    return Service(
        settings=settings,
        handlers=handlers(settings),
        indices=store.INDICES,
        lane=lambda _name: EXPIRY,
        errands_max=settings.errands_max,
        ages=store.ages,
    )


def handlers(settings: Settings) -> CashoutHandlers:
    return CashoutHandlers(
        settings.terms(),
        CodeKeys(settings.code_key.get_secret_value()),
        Sealer(settings.seal_key.get_secret_value()),
        os.urandom,
    )
