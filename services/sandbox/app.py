"""The sandbox put together; importing opens nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.routing import Route

from services._kit.health import AsgiApp, Health, Receive, Scope, Send
from services.sandbox.bank import Bank
from services.sandbox.books import Books
from services.sandbox.deliveries import Deliveries
from services.sandbox.journal import Journal
from services.sandbox.merchant import Merchant
from services.sandbox.notices import Notices
from services.sandbox.settings import Settings
from services.sandbox.till import Till
from services.sandbox.till_rolls import Rolls


def create_app(
    settings: Settings,
    notice_transport: httpx.AsyncBaseTransport | None = None,
    till_transport: httpx.AsyncBaseTransport | None = None,
) -> Starlette:
    """The whole sandbox as ASGI; its journals are opened here and closed by its lifespan."""
    bank_journal = Journal(settings.data_dir / "bank.jsonl")
    merchant_journal = Journal(settings.data_dir / "merchant.jsonl")
    till_journal = Journal(settings.data_dir / "till.jsonl")
    books = Books(bank_journal, settings.opening_balance)
    notices = Notices(settings, books, notice_transport)
    bank = Bank(settings, books, notices.expect)
    merchant = Merchant(
        Deliveries(merchant_journal, settings.callbacks_kept), settings.body_bytes_max
    )
    till = Till(settings, Rolls(till_journal, settings.till_kept), till_transport)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.notices = asyncio.create_task(notices.run())
        try:
            async with till.opened():
                yield
        finally:
            app.state.notices.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await app.state.notices
            bank_journal.close()
            merchant_journal.close()
            till_journal.close()

    app = Starlette(routes=[*bank.routes(), *merchant.routes(), *till.routes()], lifespan=lifespan)

    def notices_run() -> str | None:
        return "the task that sends return notices has ended" if app.state.notices.done() else None

    health = Health()
    health.live["notices"] = notices_run
    app.router.routes += [Route(path, _Plain(answer)) for path, answer in health.routes()]
    return app


class _Plain:
    """Shows the kit's ASGI functions to Starlette, which takes a bare function for a handler."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
