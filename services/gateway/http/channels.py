"""``GET /v1/channels``: what can be paid to, how much, for which fee, and is it open?"""

from typing import Any

from contracts import banks
from services.gateway.http.cashouts import CHANNEL
from services.gateway.http.edge import Answer, Call, Operation
from services.gateway.http.orders import WALLETS, Orders
from services.gateway.partners import Caller, Partners
from services.gateway.tariff import Channel


class ListChannels(Operation):
    name = "list_channels"

    def __init__(self, orders: Orders, partners: Partners) -> None:
        self._orders = orders
        self._partners = partners

    async def __call__(self, call: Call[Any]) -> Answer:
        call.refuse()
        terms = self._terms(call.caller, "bank_account")
        shown = [
            {
                "type": "bank_account",
                "name": bank.short_name,
                "bic": bank.bic,
                "code": bank.code,
                "sharia_unit": bank.sharia_unit,
                "open": bank.bic not in self._orders.closed,
            }
            | terms
            for bank in banks.all_banks()
        ]
        terms = self._terms(call.caller, "e_wallet")
        nothing = {"bic": None, "code": None, "sharia_unit": None}
        shown += [
            {"type": "e_wallet", "name": wallet, "open": wallet not in self._orders.closed}
            | nothing
            | terms
            for wallet in WALLETS
        ]
        terms = self._terms(call.caller, "cashout")
        closed = self._orders.closed
        shown += [
            {"type": "store", "name": chain, "open": not closed & {chain, CHANNEL}}
            | nothing
            | terms
            for chain in await self._partners.chains(call.caller.environment)
        ]
        return Answer(200, {"data": shown, "next_cursor": None})

    def _terms(self, caller: Caller, channel: Channel) -> dict[str, Any]:
        terms = self._orders.tariff.terms(caller.partner, caller.environment, channel)
        fees = [
            band.model_dump(include={"amount_from", "amount_to", "fee", "step"})
            for band in terms.bands
        ]
        return {"amount_min": terms.amount_min, "amount_max": terms.amount_max, "fees": fees}
