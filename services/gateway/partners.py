"""Partners, their keys and allow-lists: the gateway's own configuration, written directly.

A key's secret is sealed and not hashed, because checking an HMAC needs the secret itself.
"""

import ipaddress
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.ids import new_public_id
from contracts.sealed import Sealer
from contracts.terms import Environment
from services._kit.failures import ConflictError
from services._kit.life import Document
from services._kit.mongo import Database, outages
from services.gateway import store

SECRET_PURPOSE = "key_secret"  # noqa: S105 - what it is sealed for
ROWS_MAX = 500
CACHED_MAX = 10_000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Caller:
    """Who holds a key. Never shown: it carries the secret."""

    partner: str
    environment: Environment
    key: str
    secret: bytes
    networks: tuple[Network, ...]

    @property
    def account(self) -> str:
        return f"{self.partner}.{self.environment}"

    def __repr__(self) -> str:
        return f"Caller({self.account}, {self.key})"


class Partners:
    """Reads callers for each request from a short-lived cache, and writes what operators ask."""

    def __init__(self, db: Database, sealer: Sealer, cache_s: float) -> None:
        self._db = db
        self._sealer = sealer
        self._cache_s = cache_s
        self._callers: dict[str, tuple[float, Caller]] = {}

    async def caller(self, key: str) -> Caller | None:
        """Who holds the key; None: nobody, or it was revoked."""
        kept = self._callers.get(key)
        if kept is not None and time.monotonic() - kept[0] < self._cache_s:
            return kept[1]
        async with outages():
            row = await self._db[store.KEYS].find_one({"_id": key, "revoked_at": None})
            if row is None:
                self._callers.pop(key, None)
                return None
            allowed = await self._db[store.ALLOW_LISTS].find_one({"_id": row["account"]})
        caller = Caller(
            row["partner"],
            row["environment"],
            key,
            self._sealer.open(row["secret"], SECRET_PURPOSE).encode(),
            tuple(ipaddress.ip_network(one) for one in (allowed or {}).get("networks", ())),
        )
        if len(self._callers) >= CACHED_MAX:
            self._callers.clear()
        self._callers[key] = (time.monotonic(), caller)
        return caller

    # --- what operators write -------------------------------------------------------------------

    async def add(self, partner: str, name: str, now: datetime) -> Document:
        """The partner's row; the one that is there if it was added before."""
        row = {"_id": partner, "name": name, "created_at": now}
        try:
            async with outages():
                await self._db[store.PARTNERS].insert_one(dict(row))
        except ConflictError:
            return await self.get(partner) or row
        return row

    async def get(self, partner: str) -> Document | None:
        async with outages():
            found: Document | None = await self._db[store.PARTNERS].find_one({"_id": partner})
        return found

    async def everyone(self) -> list[Document]:
        return await self._sorted(store.PARTNERS, {})

    async def add_key(
        self, partner: str, environment: Environment, label: str, now: datetime
    ) -> tuple[str, str]:
        """A new key and its secret, which nobody can ask for again."""
        key = new_public_id("key")
        secret = f"sk_{environment}_{secrets.token_urlsafe(32)}"
        row = {
            "_id": key,
            "partner": partner,
            "environment": environment,
            "account": f"{partner}.{environment}",
            "secret": self._sealer.seal(secret, SECRET_PURPOSE),
            "label": label,
            "created_at": now,
            "revoked_at": None,
        }
        async with outages():
            await self._db[store.KEYS].insert_one(row)
        return key, secret

    async def keys(self, account: str) -> list[Document]:
        return await self._sorted(store.KEYS, {"account": account}, {"secret": 0})

    async def revoke(self, account: str, key: str, now: datetime) -> bool:
        """Whether there was such a key; other processes follow within ``key_cache_s``."""
        async with outages():
            done = await self._db[store.KEYS].update_one(
                {"_id": key, "account": account},
                [{"$set": {"revoked_at": {"$ifNull": ["$revoked_at", now]}}}],
            )
        self._callers.pop(key, None)
        return bool(done.matched_count)

    async def allow(self, account: str, networks: Sequence[str], now: datetime) -> None:
        """Only these may call for the account; none: everybody who has a key."""
        fields = {"networks": list(networks), "updated_at": now}
        async with outages():
            await self._db[store.ALLOW_LISTS].update_one(
                {"_id": account}, {"$set": fields}, upsert=True
            )
        self._callers.clear()

    async def allowed(self, account: str) -> list[str]:
        async with outages():
            row = await self._db[store.ALLOW_LISTS].find_one({"_id": account})
        return list((row or {}).get("networks", ()))

    async def endpoints(self, account: str) -> list[Document]:
        return await self._sorted(store.ENDPOINTS, {"account": account})

    async def _sorted(
        self, collection: str, query: Document, fields: dict[str, Any] | None = None
    ) -> list[Document]:
        async with outages():
            cursor = self._db[collection].find(query, fields).sort("_id", 1).limit(ROWS_MAX)
            rows: list[Document] = await cursor.to_list(None)
        return rows
