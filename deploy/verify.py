"""``make verify``: everything rebuilt from the journal and compared, in one snapshot, read-only.

The one tool that reads all databases. It works beside a running platform and, if only the data of
``make run`` are there, starts just MongoDB for as long as it reads. Exit code 0: clean; 1: there
are differences; 2: it could not look.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError, ServerSelectionTimeoutError

from deploy.local.errors import LocalServerError
from deploy.local.ports import free_ports
from deploy.local.servers import MongoServer
from services.ledger.audit import audit
from services.ledger.audit_base import Counts, Difference

Client = MongoClient[dict[str, Any]]

FOLDER = Path(__file__).parents[1] / ".local"
# A life that has ended says so to the ledger; the message may take as long.
GRACE_S = 60

_SERVICES = ("ledger", "disburse", "cashout")
# By holder: the collection whose ``_id`` is the hold's, and the statuses that are alive.
_LIVES = {
    "disburse": ("disbursements", {"holding", "scheduled", "sending", "unclear"}),
    "cashout": ("cashouts", {"requested", "active"}),
}
_CHECKS = {
    "journal": "{entries} entries balance, are numbered without gaps and chained",
    "sums": "{all_books} books sum to zero, and balances to their legs",
    "accounts": "{accounts} accounts are where their entries lead, held is what open holds have",
    "holds": "{holds} holds agree with their entries",
    "lives": "{open_holds} open holds belong to a disbursement or code that is alive",
    "credits": "{credits} credits agree with their entries",
}
_SNAPSHOT_TOO_OLD = 239


class CannotLookError(Exception):
    """There is no database, or not for long enough; the text says what to do."""


def main(environ: Mapping[str, str], folder: Path = FOLDER) -> int:
    try:
        with _database(environ, folder) as (url, at_rest):
            prefix = environ.get("SALUR_DATABASE_PREFIX", "salur_")
            clean = verify(url, prefix, at_rest=at_rest)
    except (CannotLookError, LocalServerError) as error:
        print(f"verify: {error}", file=sys.stderr)
        return 2
    return 0 if clean else 1


def verify(url: str, prefix: str, *, at_rest: bool = False, out: TextIO | None = None) -> bool:
    """Print a line per check and each difference; True if there is none.

    Args:
        url: MongoDB's.
        prefix: before each database's name.
        at_rest: nobody writes, so lives that ended are as old as the newest message.
        out: where the lines go; standard output unless given.
    """
    counts, found = Counts(), []
    out = out or sys.stdout
    try:
        with (
            Client(url, tz_aware=True, serverSelectionTimeoutMS=5_000) as client,
            client.start_session(snapshot=True) as session,
        ):
            lives = _Lives(client, session, prefix, at_rest=at_rest)
            differences = audit(
                client[f"{prefix}ledger"],
                session,
                counts=counts,
                orphans=lives.orphans,
                progress=_progress,
            )
            for difference in differences:
                found.append(difference)
                print(f"  {difference.check}: {difference}", file=out, flush=True)
    except OperationFailure as error:
        if error.code != _SNAPSHOT_TOO_OLD:
            raise CannotLookError(f"MongoDB: {error}") from None
        raise CannotLookError(
            "the journal takes longer to read than MongoDB keeps a snapshot; raise its "
            "minSnapshotHistoryWindowInSeconds (300 by default) and try again"
        ) from None
    except PyMongoError as error:
        raise CannotLookError(f"MongoDB: {error}") from None
    _report(counts, found, out)
    return not found


def _report(counts: Counts, found: Collection[Difference], out: TextIO) -> None:
    wrong = Counter(difference.check for difference in found)
    figures = {
        "entries": counts.entries,
        "all_books": len(counts.books),
        "accounts": counts.accounts,
        "holds": counts.holds,
        "open_holds": counts.open_holds,
        "credits": counts.credits,
    }
    for check, text in _CHECKS.items():
        mark = f"✗ {wrong[check]} differences:" if wrong[check] else "✓"
        print(f"{mark} {text.format(**figures)}", file=out)
    print("verify: clean" if not found else f"verify: {len(found)} differences", file=out)


class _Lives:
    """What the services that hold say of their lives, in the same snapshot."""

    def __init__(
        self, client: Client, session: ClientSession, prefix: str, *, at_rest: bool
    ) -> None:
        self._client = client
        self._session = session
        self._prefix = prefix
        now = client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
        newest = self._newest() if at_rest else None
        self._graced = (newest or now) - timedelta(seconds=GRACE_S)

    def orphans(self, holder: str, holds: Collection[str]) -> Mapping[str, str]:
        """Which of these open holds have no life that is alive or has just ended, and why."""
        if holder not in _LIVES:
            return dict.fromkeys(holds, f"and nobody knows its holder {holder}")
        collection, alive = _LIVES[holder]
        lives = {
            life["_id"]: life
            for life in self._client[f"{self._prefix}{holder}"][collection].find(
                {"_id": {"$in": list(holds)}},
                {"status": 1, "updated_at": 1},
                session=self._session,
            )
        }
        dead: dict[str, str] = {}
        for hold in holds:
            life = lives.get(hold)
            if life is None:
                dead[hold] = f"and {holder} has no such life"
            elif life["status"] not in alive and life["updated_at"] < self._graced:
                dead[hold] = f"its life is {life['status']} since {life['updated_at']:%F %T} UTC"
        return dead

    def _newest(self) -> datetime | None:
        """When the last message was decided."""
        moments = [
            row["at"]
            for service in _SERVICES
            for row in self._client[f"{self._prefix}{service}"]["inbox"]
            .find({}, {"at": 1}, session=self._session)
            .sort("at", -1)
            .limit(1)
        ]
        return max(moments, default=None)


@contextmanager
def _database(environ: Mapping[str, str], folder: Path) -> Iterator[tuple[str, bool]]:
    """Where MongoDB answers, and whether it was started for this alone."""
    given = environ.get("MONGO_URL")
    url = given or _chosen(folder)
    if url and _answers(url):
        yield url, False
        return
    if given:
        raise CannotLookError(f"nothing answers at MONGO_URL {_without_secret(given)}")
    if not (folder / "mongo" / "data").is_dir():
        raise CannotLookError(
            f"no MONGO_URL is set and {folder} holds no data: set it, or begin with `make run`"
        )
    print("the platform is stopped: starting MongoDB to read its data", file=sys.stderr)
    server = MongoServer(folder=folder / "mongo", port=free_ports(1)[0])
    try:
        server.start()
        server.wait_ready()
        yield server.url, True
    finally:
        server.stop()


def _chosen(folder: Path) -> str | None:
    """``MONGO_URL`` as ``make run`` chose it."""
    try:
        text = (folder / "env").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    for line in text.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if name.strip() == "MONGO_URL":
            return value.strip().strip("'\"")
    return None


def _answers(url: str) -> bool:
    try:
        with Client(url, serverSelectionTimeoutMS=2_000) as client:
            client.admin.command("ping")
    except ServerSelectionTimeoutError:
        return False
    except PyMongoError as error:
        raise CannotLookError(f"MongoDB: {error}") from None
    return True


def _without_secret(url: str) -> str:
    return url.rpartition("@")[2].removeprefix("mongodb://")


_STARTED = time.monotonic()


def _progress(what: str, n: int) -> None:
    print(f"  … {what}: {n} read after {time.monotonic() - _STARTED:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(os.environ))
