"""The bank's access token: fetched once for all who wait, and again before it ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from services.disburse.rails import RailUnavailable

# A token is renewed this long before its end, but never before four fifths of its life.
_RENEW_BEFORE = timedelta(seconds=60)
# A request must not be signed with a token that ends while the request is under way.
_USABLE_BEFORE = timedelta(seconds=15)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Token:
    """Times are counted from before the token was asked for, so never too late."""

    text: str = field(repr=False)
    renew_at: datetime
    expires_at: datetime

    @classmethod
    def living(cls, text: str, asked_at: datetime, life_s: int) -> "Token":
        life = timedelta(seconds=life_s)
        ends = asked_at + life - min(_USABLE_BEFORE, life / 10)
        return cls(text, asked_at + life - min(_RENEW_BEFORE, life / 5), ends)


class TokenCache:
    """One token per rail and process.

    Args:
        fetch: asks the bank; bounded in time by itself.
        clock: the time, aware.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[Token]], clock: Callable[[], datetime]
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._token: Token | None = None
        self._fetching: asyncio.Task[Token] | None = None

    async def get(self) -> Token:
        """A token that is good for a call.

        Raises:
            RailUnavailable: the bank gave none.
        """
        now, token = self._clock(), self._token
        if token is not None and now < token.renew_at:
            return token
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._renew())
            self._fetching.add_done_callback(_note_failure)
        if token is not None and now < token.expires_at:
            return token  # good for a while: nobody waits for its successor
        # Shielded: one waiter that is cancelled must not take the token from the others.
        return await asyncio.shield(self._fetching)

    def drop(self, text: str) -> None:
        """Forget a token that the bank refused; a newer one stays."""
        if self._token is not None and self._token.text == text:
            self._token = None

    async def aclose(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError, RailUnavailable):
                await self._fetching

    async def _renew(self) -> Token:
        try:
            self._token = await self._fetch()
            return self._token
        finally:
            self._fetching = None


def _note_failure(task: "asyncio.Task[Token]") -> None:
    """Background renewals have no waiter; without this their failure would go unseen."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("bank_token_not_renewed", reason=str(error))
