"""What operators ask for: commands to ledger and callbacks, answered by their events."""

import asyncio
import base64
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from contracts.callbacks.v1 import CommandRefused as EndpointRefused
from contracts.callbacks.v1 import EndpointSet, SetEndpoint
from contracts.envelope import Envelope, now_ms
from contracts.ids import derived_id, new_public_id, uuid7
from contracts.ledger import v1 as ledger
from contracts.message import Message
from contracts.sealed import Sealer
from contracts.terms import Environment, Scheme
from services._kit.life import Document
from services.gateway.commands import Commands, command_record

ENDPOINT_PURPOSE = "endpoint_secret"
WAIT_S = 5.0
_SECRET_BYTES = 32


class Operators:
    """Says what an operator asks for.

    Args:
        commands: where they go.
        callback_sealer: seals endpoint secrets for the callbacks.
        grant: what a new sandbox has at once.
        wait_s: for the event.
    """

    def __init__(
        self, commands: Commands, callback_sealer: Sealer, grant: int, wait_s: float = WAIT_S
    ) -> None:
        self._commands = commands
        self._sealer = callback_sealer
        self._grant = grant
        self._wait_s = wait_s

    async def open_accounts(self, partner: Document) -> bool:
        """Open both accounts and fill the sandbox; said under the same ids however often.

        Returns whether all was done within the wait.
        """
        sandbox, production = (f"{partner['_id']}.{e}" for e in ("sandbox", "production"))
        asked: list[tuple[Message, type[Message]]] = [
            (ledger.OpenAccount(account=sandbox, scheme="deposit"), ledger.AccountOpened),
            (ledger.OpenAccount(account=production, scheme="deposit"), ledger.AccountOpened),
        ]
        heard = await asyncio.gather(*(self._first(partner, *one) for one in asked))
        grant = ledger.CreditDeposit(
            account=sandbox, amount=self._grant, external_reference="sandbox-grant"
        )
        # After the account's own command was acknowledged: one key, one line.
        heard.append(await self._first(partner, grant, ledger.DepositCredited))
        return all(heard)

    async def credit(
        self, account: str, amount: int, external_reference: str
    ) -> Envelope[Any] | None:
        message = ledger.CreditDeposit(
            account=account, amount=amount, external_reference=external_reference
        )
        return await self._ask(message, (ledger.DepositCredited, ledger.CommandRefused))

    async def set_terms(
        self, account: str, scheme: Scheme, credit_limit: int
    ) -> Envelope[Any] | None:
        message = ledger.SetTerms(account=account, scheme=scheme, credit_limit=credit_limit)
        return await self._ask(message, (ledger.TermsSet, ledger.CommandRefused))

    async def thaw(self, account: str, by: str, reason: str) -> Envelope[Any] | None:
        message = ledger.ThawAccount(account=account, by=by, reason=reason)
        return await self._ask(message, (ledger.AccountThawed, ledger.CommandRefused))

    async def set_endpoint(
        self,
        partner: str,
        environment: Environment,
        url: str,
        events: Sequence[str],
    ) -> tuple[str, str, Envelope[Any] | None]:
        """The endpoint's id, its signing secret (shown once), and the event."""
        endpoint = new_public_id("endp")
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
        message = SetEndpoint.model_validate(
            {
                "endpoint": endpoint,
                "partner": partner,
                "environment": environment,
                "url": url,
                "events": tuple(events),
                "secret": self._sealer.seal(secret, ENDPOINT_PURPOSE),
            }
        )
        event = await self._ask(message, (EndpointSet, EndpointRefused))
        return endpoint, secret, event

    async def _ask(self, message: Message, ends: tuple[type[Message], ...]) -> Envelope[Any] | None:
        command = str(uuid7())
        return await self._say(message, command, now_ms(), ends)

    async def _first(self, partner: Document, message: Message, ends: type[Message]) -> bool:
        created_at: datetime = partner["created_at"]
        name = f"{message.type}/{getattr(message, 'account', '')}"
        command = derived_id(partner["_id"], created_at, name)
        event = await self._say(message, command, created_at, (ends, ledger.CommandRefused))
        return event is not None

    async def _say(
        self, message: Message, command: str, at: datetime, ends: tuple[type[Message], ...]
    ) -> Envelope[Any] | None:
        record = command_record(message, command, at)
        return await self._commands.ask(record, command, ends, self._wait_s)
