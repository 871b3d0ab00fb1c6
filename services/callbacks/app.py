"""With what: the service wired together from its settings."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from contracts.sealed import Sealer, SealError
from services._kit.errands import Performer
from services._kit.service import Parts, Service
from services._kit.settings import SettingsError
from services.callbacks import domain, store
from services.callbacks.addresses import Resolver
from services.callbacks.handlers import CallbackHandlers
from services.callbacks.posting import Poster
from services.callbacks.sender import Endpoints, Lanes, Sender
from services.callbacks.settings import Settings
from services.callbacks.state import Book


def service(environ: Mapping[str, str]) -> Service[Book]:
    """The service that the environment asks for.

    Raises:
        SettingsError: a variable is unknown, missing or wrong.
    """
    return build(Settings.load(environ))


def build(settings: Settings) -> Service[Book]:
    sealer = _sealer(settings)
    lanes = Lanes(settings.endpoint_limit, settings.lease_s)

    @asynccontextmanager
    async def performers(parts: Parts) -> AsyncIterator[Mapping[str, Performer]]:
        poster = Poster(
            Resolver(allow_private=settings.allow_private_addresses),
            timeout_s=settings.timeout_s,
            connect_timeout_s=settings.connect_timeout_s,
            connections_max=settings.endpoint_limit,
        )
        endpoints = Endpoints(partial(store.endpoint, parts.store))
        try:
            yield {domain.DELIVER: Sender(endpoints, sealer, poster, lanes).deliver}
        finally:
            await poster.aclose()

    return Service(
        settings=settings,
        handlers=CallbackHandlers(settings.policy()),
        indices=store.INDICES,
        performers=performers,
        lane=lanes,
        errands_max=settings.errands_max,
        ages=store.ages,
    )


def _sealer(settings: Settings) -> Sealer:
    try:
        return Sealer(settings.callback_seal_key.get_secret_value())
    except (SealError, ValueError):
        # Without the value: it is a secret.
        variable = settings.variable("callback_seal_key")
        raise SettingsError(f"{variable}: not id:base64 of 32 bytes, comma separated") from None
