"""disburse put together: settings, handlers, and the performers on their rails."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from pymongo.errors import DuplicateKeyError

from contracts.envelope import now_ms
from contracts.sealed import Sealer
from services._kit.errands import Lane, Performer
from services._kit.mongo import ERRANDS, MongoStore, outages
from services._kit.mongo_errands import MongoErrands
from services._kit.ports import ErrandStore, Publisher
from services._kit.service import Parts, Service
from services._kit.settings import SettingsError
from services._kit.snap_signature import SnapKeyError
from services.disburse.errands import Courier
from services.disburse.handlers import Book, DisburseHandlers
from services.disburse.inquiries import Inquirer
from services.disburse.rails import Rail
from services.disburse.rails.snap import SnapRail
from services.disburse.settings import Settings
from services.disburse.statements import (
    STATEMENT,
    StatementReader,
    statement_errand,
    statement_lane,
)
from services.disburse.store import INDICES, LIVES, WAITING, MongoNotes, Notes
from services.disburse.words import ASK, CLOCK_LANE, INQUIRE, SEND, bank_lane

_CLOCK = Lane(limit=200, lease_s=60)
# Rows that need no bank, or whose rail this process does not know.
_NO_BANK = Lane(limit=50, lease_s=60)


def service(environ: Mapping[str, str]) -> Service[Book]:
    """The service as the environment describes it.

    Raises:
        SettingsError: a variable is unknown, missing or wrong.
    """
    settings = Settings.load(environ)
    rails = rails_of(settings)
    lane = lanes(rails, settings)
    return Service(
        settings=settings,
        handlers=DisburseHandlers(settings.terms()),
        indices=INDICES,
        performers=partial(_performers, settings, rails, lane),
        lane=lane,
        errands_max=settings.errands_max,
        ages=ages,
    )


def rails_of(settings: Settings) -> dict[str, Rail]:
    try:
        return {config.name: SnapRail(config) for config in settings.rails}
    except SnapKeyError as error:
        raise SettingsError(f"{settings.variable('rails')}: private_key: {error}") from None


def lanes(rails: Mapping[str, Rail], settings: Settings) -> Callable[[str], Lane]:
    """One lane per rail. A lease outlives all deadlines of one attempt."""
    known = {CLOCK_LANE: _CLOCK}
    for name, rail in rails.items():
        lease_s = rail.attempt_deadline_s + settings.lease_margin_s
        known[bank_lane(name)] = Lane(limit=rail.concurrency, lease_s=lease_s)
        known[statement_lane(name)] = Lane(limit=1, lease_s=settings.statement_lease_s)
    return lambda name: known.get(name, _NO_BANK)


def performers(
    settings: Settings,
    rails: Mapping[str, Rail],
    lane: Callable[[str], Lane],
    notes: Notes,
    errands: ErrandStore,
    publisher: Publisher,
    clock: Callable[[], datetime] = now_ms,
) -> dict[str, Performer]:
    """By kind of errand. ``send`` and ``ask`` are one: what was noted decides which it is."""
    sealer = Sealer(settings.seal_key.get_secret_value())
    courier = Courier(rails, notes, errands, sealer, lane, clock=clock)
    reader = StatementReader(rails, notes, publisher, settings.reading(), clock=clock)
    return {
        SEND: courier.pursue,
        ASK: courier.pursue,
        INQUIRE: Inquirer(rails, sealer, clock=clock).inquire,
        STATEMENT: reader.read,
    }


@asynccontextmanager
async def _performers(
    settings: Settings, rails: Mapping[str, Rail], lane: Callable[[str], Lane], parts: Parts
) -> AsyncIterator[Mapping[str, Performer]]:
    async with AsyncExitStack() as stack:
        for rail in rails.values():
            stack.push_async_callback(rail.aclose)
        await plant_statements(parts.store, list(rails))
        errands = MongoErrands(parts.store.db)
        notes = MongoNotes(parts.store)
        yield performers(settings, rails, lane, notes, errands, parts.publisher)


async def plant_statements(store: MongoStore, rails: Sequence[str]) -> None:
    """The one errand that no handler inserts: it is there as long as its rail is."""
    for rail in rails:
        errand = statement_errand(rail, now_ms())
        row = {
            "kind": errand.kind,
            "lane": errand.lane,
            "due_at": errand.due_at,
            "inserted_due_at": errand.inserted_due_at,
            "data": errand.data,
            "correlation": errand.correlation,
            "attempt": 0,
            "trace": [],
        }
        try:
            async with outages():
                await store.db[ERRANDS].update_one(
                    {"_id": errand.id}, {"$setOnInsert": row}, upsert=True
                )
        except DuplicateKeyError:
            continue


async def ages(store: MongoStore) -> dict[str, float]:
    """Seconds that the oldest of each kind has waited; of the scheduled, since it was due."""
    now = datetime.now(UTC)
    found = {}
    async with outages():
        for status in WAITING:
            row = await store.db[LIVES].find_one(
                {"waits": status}, {"waits_since": 1}, sort=[("waits_since", 1)]
            )
            found[status] = max(0.0, (now - row["waits_since"]).total_seconds()) if row else 0.0
    return found
