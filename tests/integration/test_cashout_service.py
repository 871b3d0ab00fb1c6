"""The cash-out service and the ledger as processes on real Kafka and MongoDB."""

import asyncio
from pathlib import Path

from contracts.cashout import v1 as cashout
from contracts.ledger import v1 as ledger
from contracts.sealed import Sealer
from tests.support.cashout import AMOUNT, DEPOSIT, FEE, SEAL_KEY
from tests.support.cashout_servers import Processes, Street, lateness_s, percentile, publisher
from tests.support.space import Space

ACCOUNT = "toko.sandbox"
LATE_P99_S = 0.5


async def test_a_code_is_paid_once_and_its_reversal_gives_everything_back(
    space: Space, tmp_path: Path
) -> None:
    processes = Processes(space, tmp_path)
    await processes.make_topics()
    async with publisher(space) as out:
        with processes.running("ledger"), processes.running("cashout"):
            street = Street(processes, out)
            street.shop.later(days=3650)  # answer_by and expires_at lie ahead of the real clock
            await street.say(ledger.OpenAccount(account=ACCOUNT, scheme="deposit"))
            await street.say(
                ledger.CreditDeposit(account=ACCOUNT, amount=DEPOSIT, external_reference="grant")
            )
            order = street.shop.order()
            life = cashout.RequestCashout(
                cashout="cash_1", phone_hash=street.shop.redemption("0").phone_hash, order=order
            )
            await street.say(life, "cash_1")
            [issued] = await street.heard(cashout.CodeIssued)
            code = Sealer(SEAL_KEY).open(issued.code, cashout.CODE)
            asked = street.shop.redemption(code)

            await street.ask(asked)
            await street.ask(asked)
            paid = await street.heard(cashout.RedemptionAnswered, 2)
            await street.ask(street.shop.reversal(asked.store_ref))
            [reversed_] = await street.heard(cashout.ReversalAnswered)
            [returned] = await street.heard(ledger.FundsReturned)

    assert [one.result for one in paid] == ["valid", "valid"]
    assert paid[0].receipt == paid[1].receipt
    assert reversed_.effect == "reversed"
    assert (returned.amount, returned.fee, returned.fee_returned) == (AMOUNT, FEE, True)
    assert (returned.available, returned.held) == (DEPOSIT, 0)
    assert len(await street.processes.events(cashout.CodeRedeemed)) == 1


async def test_codes_expire_within_half_a_second(space: Space, tmp_path: Path) -> None:
    late = await asyncio.wait_for(lateness_s(Processes(space, tmp_path), 1000, 6), 60)

    assert percentile(late, 0.99) <= LATE_P99_S
