"""What disburse keeps comes back, what workers note is guarded: in memory and in MongoDB."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from contracts.envelope import now_ms
from services._kit.failures import ConflictError
from services._kit.life import Changes
from services._kit.memory import MemoryStore
from services._kit.mongo import MongoStore, open_client
from services._kit.mongo_errands import MongoErrands
from services.disburse.app import ages, plant_statements
from services.disburse.domain import STATUSES
from services.disburse.life import Life, Transfer
from services.disburse.statements import statement_lane
from services.disburse.store import (
    INDICES,
    LIVES,
    TRANSFERS,
    MemoryNotes,
    MongoNotes,
    Notes,
    life_document,
    transfer_document,
)
from tests.support.disburse_world import LIFE, NOON, life_in, order

Store = MemoryStore | MongoStore


@pytest.fixture(scope="module")
async def mongo(mongo_url: str) -> AsyncIterator[MongoStore]:
    client = open_client(mongo_url)
    store = MongoStore(client, f"t{uuid.uuid4().hex[:10]}_disburse")
    await store.prepare(INDICES, inbox_days=16)
    yield store
    await client.drop_database(store.db.name)
    client.close()


@pytest.fixture(params=["memory", "mongo"])
async def store(request: pytest.FixtureRequest, mongo: MongoStore) -> Store:
    if request.param == "memory":
        return MemoryStore()
    for name in (*INDICES, "errands"):
        await mongo.db[name].delete_many({})
    return mongo


@pytest.fixture
def notes(store: Store) -> Notes:
    return MongoNotes(store) if isinstance(store, MongoStore) else MemoryNotes(store)


async def keep(store: Store, *kept: Life | Transfer) -> None:
    changes = Changes()
    for one in kept:
        if isinstance(one, Life):
            changes.put(LIVES, [life_document(one)])
        else:
            changes.put(TRANSFERS, [transfer_document(one)])
    await store.commit(changes, [], [], [])


@pytest.mark.parametrize("status", STATUSES)
async def test_a_life_comes_back_as_it_was(store: Store, notes: Notes, status: str) -> None:
    metadata = {"a.b": "1", "$set": "2", "": "3"}
    life = life_in(status, order=order(instruct_at=NOON, metadata=metadata), version=0)

    await keep(store, life)

    assert (await notes.lives([LIFE]))[LIFE] == replace(life, version=1)


async def test_a_sending_is_noted_once_for_what_was_seen(store: Store, notes: Notes) -> None:
    await keep(store, Transfer(LIFE))
    seen = await notes.transfer(LIFE)
    assert seen is not None

    first = await notes.note_sending(seen, NOON, resend=False)
    second = await notes.note_sending(seen, NOON + timedelta(seconds=1), resend=False)

    assert first == Transfer(LIFE, sending=1, sent_at=NOON, version=2)
    assert second is None
    assert await notes.transfer(LIFE) == first


async def test_workers_that_note_at_the_same_time_have_one_winner(
    store: Store, notes: Notes
) -> None:
    await keep(store, Transfer(LIFE))
    seen = await notes.transfer(LIFE)
    assert seen is not None

    noted = await asyncio.gather(*(notes.note_sending(seen, NOON, resend=False) for _ in range(10)))

    assert sum(one is not None for one in noted) == 1


async def test_nothing_is_noted_on_a_closed_transfer(store: Store, notes: Notes) -> None:
    await keep(store, Transfer(LIFE))
    seen = await notes.transfer(LIFE)
    assert seen is not None
    await keep(store, replace(seen, closed=NOON))

    noted = await notes.note_sending(seen, NOON, resend=False)

    assert noted is None


async def test_closing_with_what_was_read_before_a_note_writes_nothing(
    store: Store, notes: Notes
) -> None:
    await keep(store, Transfer(LIFE))
    seen = await notes.transfer(LIFE)
    assert seen is not None
    await notes.note_sending(seen, NOON, resend=True)

    with pytest.raises(ConflictError):
        await keep(store, replace(seen, closed=NOON))

    noted = await notes.transfer(LIFE)
    assert noted == Transfer(LIFE, sending=1, sent_at=NOON, resends=1, version=2)


async def test_a_statement_is_marked_as_read_up_to_the_latest_time(notes: Notes) -> None:
    await notes.note_read_until("bca", NOON)
    await notes.note_read_until("bca", NOON + timedelta(hours=1))
    await notes.note_read_until("bca", NOON + timedelta(minutes=1))

    assert await notes.read_until("bca") == NOON + timedelta(hours=1)
    assert await notes.read_until("bri") is None


async def test_the_ages_tell_how_long_the_oldest_of_each_kind_waits(mongo: MongoStore) -> None:
    await mongo.db[LIVES].delete_many({})
    now = now_ms()
    for number, (status, waited_s) in enumerate(
        [("unclear", 90), ("unclear", 30), ("failed", 900), ("holding", 10)]
    ):
        since = now - timedelta(seconds=waited_s)
        life = life_in(status, id=f"disb_{number}", since=since, version=0)
        await keep(mongo, life)
    soon = order(instruct_at=now + timedelta(hours=1))
    await keep(mongo, life_in("scheduled", id="disb_soon", order=soon, version=0))

    found = await ages(mongo)

    assert 90 <= found["unclear"] < 100
    assert 10 <= found["holding"] < 20
    assert found["scheduled"] == 0  # its time has not come
    assert found["sending"] == 0


async def test_every_process_offers_a_rails_statement_and_one_row_is_there(
    mongo: MongoStore,
) -> None:
    await mongo.db["errands"].delete_many({})

    await asyncio.gather(*(plant_statements(mongo, ["bca", "bri"]) for _ in range(8)))

    errands = MongoErrands(mongo.db)
    assert sorted((await errands.lanes_due())[0]) == ["statement:bca", "statement:bri"]
    (errand,) = await errands.lease(statement_lane("bca"), 5, 5, 60)
    assert errand.data == {"rail": "bca"}
