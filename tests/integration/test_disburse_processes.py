"""disburse and the ledger as processes, on real Kafka and MongoDB, with the play bank over HTTP."""

from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from contracts.disburse import v1 as disburse
from services.disburse.store import LIVES
from tests.support.disburse_platform import (
    ACCOUNT,
    AMOUNT,
    DEPOSIT,
    FEE,
    Platform,
    platform,
    play_bank,
    rail,
    until,
)

# A bank whose transfers stay unclear: it never dedupes, and "not found" is believed late.
STUBBORN = "BRINIDJA"


@pytest.fixture(scope="module")
async def here(
    kafka_url: str, mongo_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    folder = tmp_path_factory.mktemp("disburse")
    async with play_bank(folder) as bank_url:
        rails = [
            rail(bank_url, name="stubborn", destinations=[STUBBORN], not_found_after_s=1200),
            rail(bank_url, dedupes_reference=True),
        ]
        async with platform(kafka_url, mongo_url, bank_url, folder, rails) as running:
            await running.start_all()
            yield running


async def hold_of(here: Platform, life: str) -> str:
    found = await here.ledger.get("holds", [life])
    status: str = found[life]["status"] if life in found else "none"
    return status


ENDINGS = {
    "0123456789": ("succeeded", None, "settled"),
    "1234560000": ("failed", "BANK_UNAVAILABLE", "released"),
    "9999990000": ("failed", "REJECTED_BY_BANK", "released"),
    "1212120000": ("failed", "INVALID_DESTINATION", "released"),
    "6543210000": ("reversed", "RETURNED_BY_BANK", "returned"),
    "1313130000": ("succeeded", None, "settled"),
    "1414140000": ("succeeded", None, "settled"),
    "1515150000": ("failed", "BANK_UNAVAILABLE", "released"),
}


async def test_each_magic_account_ends_as_documented_with_its_hold(here: Platform) -> None:
    requests = {number: here.request(number) for number in ENDINGS}

    await here.say(*requests.values())
    for number, (status, failure, hold) in ENDINGS.items():
        life_id = requests[number].disbursement

        async def as_documented(
            life_id: str = life_id, status: str = status, hold: str = hold
        ) -> bool:
            life = await here.life(life_id)
            return life.get("status") == status and await hold_of(here, life_id) == hold

        await until(as_documented, 60, f"{number} ends as {status}, its hold {hold}")
        life = await here.life(life_id)
        assert (life["failure"] or {}).get("code") == failure


async def test_an_account_inquiry_is_answered_through_the_bank(here: Platform) -> None:
    destination = here.request("0123456789").order.destination
    inquiry = disburse.InquireAccount(
        inquiry="inq_1", partner="acme", environment="sandbox", destination=destination
    )
    await here.say(inquiry)

    async def answered() -> bool:
        rows = await here.lives.find("inbox", "type", [disburse.ConcludeInquiry.type])
        return any(
            b'"inquiry":"inq_1"' in record["value"] for row in rows for record in row["said"]
        )

    await until(answered, 30, "AccountInquired is said")


async def test_an_operator_sees_what_is_stuck_and_two_persons_end_it(here: Platform) -> None:
    stuck = here.request("1515150000", bank=STUBBORN)
    life_id = stuck.disbursement
    await here.say(stuck)

    async def unclear() -> bool:
        return (await here.life(life_id)).get("status") == "unclear"

    await until(unclear, 30, "the bank's silence makes it unclear")

    code, listed = await here.admin("stuck", "--older-than-s", "0")
    assert code == 0
    assert life_id in listed
    code, shown = await here.admin("show", life_id)
    assert code == 0
    for word in (
        "RequestDisbursement",
        "HoldFunds",
        "TransferUnclear",
        "partner:held 102.500",
        "ask",
    ):
        assert word in shown
    assert stuck.order.destination.number not in shown
    signed = ("--evidence", "statement of 2 March, line 7", "--by", "Ani", "--by")
    code, said = await here.admin("resolve", life_id, "--outcome", "refused", *signed, "ani")
    assert (code, "two different persons" in said) == (2, True)
    code, said = await here.admin("resolve", life_id, "--outcome", "refused", *signed, "Budi")
    assert (code, "TOO_EARLY" in said) == (1, True)
    code, said = await here.admin("resolve", life_id, "--outcome", "confirmed", *signed, "Budi")
    assert (code, said.strip()) == (0, f"{life_id} is succeeded")
    code, said = await here.admin("resolve", life_id, "--outcome", "confirmed", *signed, "Budi")
    assert (code, "succeeded" in said) == (1, True)
    code, shown = await here.admin("show", life_id)
    assert "line 7" in shown
    assert "Ani and Budi" in shown


@pytest.mark.parametrize("words", [("show", "disb_unknown"), ("resolve", "disb_unknown")])
async def test_an_operator_is_told_that_there_is_no_such_life(
    here: Platform, words: tuple[str, ...]
) -> None:
    more = ("--outcome", "confirmed", "--evidence", "x", "--by", "Ani", "--by", "Budi")

    code, said = await here.admin(*words, *(more if words[0] == "resolve" else ()))

    assert code == 1
    assert said.strip() == "there is no disbursement disb_unknown"


async def test_a_misspelt_setting_stops_the_tool_with_its_name(here: Platform) -> None:
    here.env["SALUR_DISBURSE_ASK_EVRY_S"] = "1"
    try:
        code, said = await here.admin("stuck")
    finally:
        del here.env["SALUR_DISBURSE_ASK_EVRY_S"]

    assert code == 78
    assert "SALUR_DISBURSE_ASK_EVRY_S" in said


async def test_killed_in_the_middle_nothing_is_lost_doubled_or_stuck(
    kafka_url: str, mongo_url: str, tmp_path: Path
) -> None:
    """SIGKILL of disburse while 60 transfers are on their way, twice, and of the ledger once."""
    async with play_bank(tmp_path, latency_ms=300) as bank_url:
        rails = [rail(bank_url, dedupes_reference=True, concurrency=5)]
        async with platform(kafka_url, mongo_url, bank_url, tmp_path, rails) as here:
            await here.start_all()
            requests = [here.request(f"02{n:08d}") for n in range(60)]
            ids = [one.disbursement for one in requests]
            await here.say(*requests)

            for victim, reached in (("disburse", 5), ("ledger", 15), ("disburse", 30)):

                async def far_enough(reached: int = reached) -> bool:
                    return len(await here.executions()) >= reached

                await until(far_enough, 60, f"{reached} are executed")
                here.kill(victim)
                here.start(victim)
            await until(partial(here.ended, *ids), 120, "every life has ended")
            rows = await here.lives.get(LIVES, ids)
            paid = [one for one, row in rows.items() if row["status"] == "succeeded"]

            async def settled() -> bool:
                found = await here.ledger.get("holds", ids)
                wanted = {one: "settled" if one in paid else "released" for one in ids}
                return {one: row["status"] for one, row in found.items()} == wanted

            await until(settled, 60, "every hold has ended")
            account = (await here.ledger.get("accounts", [ACCOUNT]))[ACCOUNT]

            assert Counter(await here.executions()) == Counter(paid)
            assert account["held"] == 0
            assert account["available"] == DEPOSIT - len(paid) * (AMOUNT + FEE)


async def test_a_process_that_stalls_past_its_leases_doubles_nothing_when_it_wakes(
    kafka_url: str, mongo_url: str, tmp_path: Path
) -> None:
    """Not killed but stopped, with transfers on their way; another takes over; then it goes on."""
    async with play_bank(tmp_path, latency_ms=300) as bank_url:
        rails = [rail(bank_url, dedupes_reference=True, concurrency=4, not_found_after_s=120)]
        async with platform(kafka_url, mongo_url, bank_url, tmp_path, rails) as here:
            await here.start_all()
            requests = [here.request(f"02{n:08d}") for n in range(30)]
            ids = [one.disbursement for one in requests]
            await here.say(*requests)

            async def on_their_way() -> bool:
                return len(await here.executions()) >= 4

            await until(on_their_way, 60, "some are executed")
            here.stall("disburse")
            here.start("disburse", "disburse-2")
            await until(partial(here.ended, *ids), 90, "the other has ended every life")
            here.resume("disburse")

            late = here.request("0123456789")
            await here.say(late)
            await until(partial(here.ended, late.disbursement), 60, "both go on")
            rows = await here.lives.get(LIVES, [*ids, late.disbursement])
            assert {row["status"] for row in rows.values()} == {"succeeded"}
            assert Counter(await here.executions()) == Counter(rows.keys())
