"""Partners, chains of stores, their keys and allow-lists: the gateway's own configuration, written
directly.

A key's secret is sealed and not hashed, because checking an HMAC needs the secret itself.
"""

import ipaddress
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

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

Role = Literal["partner", "store"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_PLACES: Final[dict[Role, str]] = {"partner": store.PARTNERS, "store": store.CHAINS}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who holds a key: a partner, or a chain under its name. Never shown: it carries the secret."""

    partner: str
    environment: Environment
    key: str
    secret: bytes
    networks: tuple[Network, ...]
    role: Role = "partner"

    @property
    def account(self) -> str:
        """Of a partner; of stores it is their chain's id."""
        return f"{self.partner}.{self.environment}"

    @property
    def owner(self) -> str:
        return owner(self.role, self.account)

    def __repr__(self) -> str:
        return f"Caller({self.account}, {self.key})"


def owner(role: Role, account: str) -> str:
    """What keys, allow-lists and limits belong to: a chain may be called like a partner."""
    return account if role == "partner" else f"{role}:{account}"


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
            row.get("role", "partner"),
        )
        if len(self._callers) >= CACHED_MAX:
            self._callers.clear()
        self._callers[key] = (time.monotonic(), caller)
        return caller

    # --- what operators write -------------------------------------------------------------------

    async def add(
        self, partner: str, name: str, now: datetime, *, role: Role = "partner"
    ) -> Document:
        """The partner's or chain's row; the one that is there if it was added before."""
        row = {"_id": partner, "name": name, "created_at": now}
        try:
            async with outages():
                await self._db[_PLACES[role]].insert_one(dict(row))
        except ConflictError:
            return await self.get(partner, role=role) or row
        return row

    async def get(self, partner: str, *, role: Role = "partner") -> Document | None:
        async with outages():
            found: Document | None = await self._db[_PLACES[role]].find_one({"_id": partner})
        return found

    async def everyone(self, *, role: Role = "partner") -> list[Document]:
        return await self._sorted(_PLACES[role], {})

    async def add_key(
        self,
        partner: str,
        environment: Environment,
        label: str,
        now: datetime,
        *,
        role: Role = "partner",
    ) -> tuple[str, str]:
        """A new key and its secret, which nobody can ask for again."""
        key = new_public_id("key")
        secret = f"sk_{environment}_{secrets.token_urlsafe(32)}"
        row = {
            "_id": key,
            "partner": partner,
            "environment": environment,
            "account": owner(role, f"{partner}.{environment}"),
            "role": role,
            "secret": self._sealer.seal(secret, SECRET_PURPOSE),
            "label": label,
            "created_at": now,
            "revoked_at": None,
        }
        async with outages():
            await self._db[store.KEYS].insert_one(row)
        return key, secret

    async def chains(self, environment: Environment) -> list[str]:
        """Chains whose stores can redeem there."""
        query = {"role": "store", "environment": environment, "revoked_at": None}
        async with outages():
            found: list[str] = await self._db[store.KEYS].distinct("partner", query)
        return sorted(found)

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
