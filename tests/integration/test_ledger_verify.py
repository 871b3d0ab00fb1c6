"""``verify`` over a real journal: clean as it was written, and each kind of damage is found."""

import io
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from contracts.ledger.v1 import (
    CreditDeposit,
    OpenAccount,
    ReleaseHold,
    ReturnFunds,
    SetTerms,
    SettleHold,
    ThawAccount,
)
from deploy import verify
from deploy.local.ports import free_ports
from deploy.local.servers import MongoServer
from services._kit.memory import MemoryLog
from services._kit.mongo import MongoStore, open_client
from services._kit.shell import Shell
from services.ledger.handlers import LedgerHandlers
from services.ledger.store import INDICES
from tests.support.ledger_desk import ACCOUNT, Desk, hold_funds

KIOS = "kios.sandbox"


@dataclass
class Books:
    """A database prefix with some weeks of one ledger's life in it."""

    url: str
    prefix: str
    ledger: Any
    disburse: Any

    def verify(self) -> tuple[bool, str]:
        out = io.StringIO()
        clean = verify.verify(self.url, self.prefix, out=out)
        return clean, out.getvalue()


@pytest.fixture
async def _written(mongo_url: str) -> AsyncIterator[str]:
    prefix = f"t{uuid.uuid4().hex[:8]}_"
    client = open_client(mongo_url)
    store = MongoStore(client, f"{prefix}ledger")
    await store.prepare(INDICES, 16)
    desk, log = Desk(), MemoryLog(partitions=1)
    shell = Shell(LedgerHandlers(), store, log, patience_s=5)
    commands = [
        OpenAccount(account=ACCOUNT, scheme="deposit"),
        OpenAccount(account=KIOS, scheme="invoice", credit_limit=50_000),
        CreditDeposit(account=ACCOUNT, amount=100_000, external_reference="va-1"),
        CreditDeposit(account=ACCOUNT, amount=100_000, external_reference="va-1"),
        *(hold_funds(f"h{n}") for n in range(1, 6)),
        hold_funds("h6", 10**9),
        hold_funds("k1", account=KIOS),
        SettleHold(account=ACCOUNT, hold="h2", rail="bca"),
        ReleaseHold(account=ACCOUNT, hold="h3", reason="x"),
        SettleHold(account=ACCOUNT, hold="h4", rail="bca"),
        ReturnFunds(account=ACCOUNT, hold="h4", rail="bca", return_fee=True, reason="x"),
        ReturnFunds(account=ACCOUNT, hold="h5", rail="bca", return_fee=False, reason="x"),
        ReleaseHold(account=KIOS, hold="nobody's", reason="x"),
        ThawAccount(account=KIOS, by="Sari", reason="looked"),
        SetTerms(account=KIOS, scheme="invoice", credit_limit=10),
    ]
    for start in range(0, len(commands), 7):
        await shell.handle([desk.record(one) for one in commands[start : start + 7]])
    yield prefix
    for name in ("ledger", "disburse"):
        await client.drop_database(f"{prefix}{name}")
    client.close()


@pytest.fixture
def books(_written: str, mongo_url: str) -> Iterator[Books]:
    with MongoClient[dict[str, Any]](mongo_url, tz_aware=True) as client:
        found = Books(
            mongo_url, _written, client[f"{_written}ledger"], client[f"{_written}disburse"]
        )
        _life(found, "h1", "sending", age_s=3600)
        _life(found, "k1", "succeeded", age_s=20)
        yield found


def _life(books: Books, hold: str, status: str, age_s: float) -> None:
    updated_at = datetime.now(UTC) - timedelta(seconds=age_s)
    books.disburse.disbursements.replace_one(
        {"_id": hold}, {"status": status, "updated_at": updated_at}, upsert=True
    )


def _set(collection: str, id_: str, **fields: Any) -> Callable[[Books], None]:
    def damage(books: Books) -> None:
        done = books.ledger[collection].update_one({"_id": id_}, {"$set": fields})
        assert done.modified_count == 1

    return damage


def _gone(collection: str, id_: str) -> Callable[[Books], None]:
    def damage(books: Books) -> None:
        assert books.ledger[collection].delete_one({"_id": id_}).deleted_count == 1

    return damage


def _forgot_life(books: Books) -> None:
    books.disburse.disbursements.delete_one({"_id": "h1"})


def _ended_long_ago(books: Books) -> None:
    _life(books, "k1", "failed", age_s=120)


def _invented(books: Books) -> None:
    hold = books.ledger.holds.find_one({"_id": "h1"})
    books.ledger.holds.insert_one({**hold, "_id": "h9"})


def _rehashed(books: Books) -> None:
    """Money made out of nothing, with the sums of its entry in order."""
    entry = books.ledger.journal.find_one({"_id": f"{ACCOUNT}/0000000002"})
    legs = [["safeguarding", -900_000], ["partner:available", 900_000]]
    books.ledger.journal.replace_one({"_id": entry["_id"]}, {**entry, "legs": legs})


ENTRY = f"{ACCOUNT}/0000000003"
DAMAGES: dict[str, tuple[Callable[[Books], None], str, str]] = {
    "an amount was changed": (_rehashed, ACCOUNT, "its legs lead to"),
    "an amount was changed on one side": (
        _set("journal", ENTRY, legs=[["partner:available", -1], ["partner:held", 12_500]]),
        ACCOUNT,
        "does not balance",
    ),
    "an entry is missing": (_gone("journal", ENTRY), ACCOUNT, "a gap"),
    "the last entry is missing": (
        _gone("journal", f"{KIOS}/0000000005"), KIOS, "the journal says",
    ),
    "a date was changed": (
        _set("journal", ENTRY, at=datetime(2020, 1, 1, tzinfo=UTC)), ACCOUNT, "breaks the chain",
    ),
    "a note was changed": (
        _set("journal", f"{KIOS}/0000000004", notes=["Budi", "looked"]), KIOS, "breaks the chain",
    ),
    "a hash was changed": (_set("journal", ENTRY, hash=bytes(32)), ACCOUNT, "breaks the chain"),
    "a balance is wrong": (_set("accounts", ACCOUNT, available=1), ACCOUNT, "available is 1"),
    "held is wrong": (_set("accounts", ACCOUNT, held=1), ACCOUNT, "its open holds have"),
    "a limit is wrong": (_set("accounts", KIOS, credit_limit=10**6), KIOS, "credit_limit is"),
    "an account is thawed": (_set("accounts", KIOS, frozen=True), KIOS, "frozen is True"),
    "an account is missing": (_gone("accounts", KIOS), KIOS, "is no account"),
    "a hold was changed": (_set("holds", "h1", amount=5), ACCOUNT, "entry 3 moves"),
    "a hold has another status": (_set("holds", "h2", status="open"), ACCOUNT, "after 2 steps"),
    "a hold is missing": (_gone("holds", "h2"), ACCOUNT, "entries are of holds"),
    "a hold was invented": (_invented, ACCOUNT, "is not its held"),
    "a credit was changed": (
        _set("credits", f"{ACCOUNT}/va-1", amount=1), ACCOUNT, "is not what entry 2 says",
    ),
    "a credit is missing": (_gone("credits", f"{ACCOUNT}/va-1"), ACCOUNT, "0 are remembered"),
    "a hold has no life": (_forgot_life, ACCOUNT, "disburse has no such life"),
    "a hold outlived its life": (_ended_long_ago, KIOS, "its life is failed since"),
    "a holder is unknown": (_set("holds", "h1", holder="casino"), ACCOUNT, "its holder casino"),
}  # fmt: skip


def test_a_journal_that_nobody_touched_is_clean(books: Books) -> None:
    clean, text = books.verify()

    assert clean, text
    assert text.endswith("verify: clean\n")
    assert "✓ 18 entries balance" in text
    assert "✓ 2 open holds belong" in text


@pytest.mark.parametrize("what", DAMAGES)
def test_verify_finds_that(books: Books, what: str) -> None:
    damage, account, complaint = DAMAGES[what]
    damage(books)

    clean, text = books.verify()

    assert not clean
    told = [line for line in text.splitlines() if account in line and complaint in line]
    assert told, text
    assert "verify: clean" not in text


def test_verify_says_what_to_do_when_there_is_nothing_to_read(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code = verify.main({}, tmp_path)

    assert code == 2
    assert "make run" in capsys.readouterr().err


def test_verify_says_that_nothing_answers(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code = verify.main({"MONGO_URL": "mongodb://me:hidden@127.0.0.1:1/"}, tmp_path)

    told = capsys.readouterr().err
    assert code == 2
    assert "nothing answers at MONGO_URL 127.0.0.1:1" in told
    assert "hidden" not in told


def test_verify_reads_a_stopped_platform(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with_data = MongoServer(folder=tmp_path / "mongo", port=free_ports(1)[0])
    with_data.start()
    with_data.wait_ready()
    url = with_data.url
    with MongoClient[dict[str, Any]](url) as client:
        client["salur_ledger"].accounts.insert_one({"_id": "x", **_EMPTY})
    with_data.stop()
    (tmp_path / "env").write_text(f"export MONGO_URL='{url}'\n")

    code = verify.main({}, tmp_path)

    assert code == 1
    assert "held is 3, the journal says 0" in capsys.readouterr().out


_EMPTY = {
    "available": 0, "held": 3, "entries": 0, "head": bytes(32), "frozen": False, "scheme": "",
    "credit_limit": 0,
}  # fmt: skip
