"""Which operation stands at which address, and what each of them is given."""

from dataclasses import dataclass
from typing import Any

from contracts.cashout.keys import PhoneKey
from contracts.cashout.v1 import Cashout
from contracts.disburse.v1 import Disbursement
from contracts.sealed import Sealer
from services._kit.mongo import Database
from services.gateway.commands import Commands
from services.gateway.http.cancel import CancelOne
from services.gateway.http.cashouts import CashoutOrders, CreateCashout
from services.gateway.http.channels import ListChannels
from services.gateway.http.disbursements import CreateDisbursement
from services.gateway.http.edge import Operation
from services.gateway.http.inquiries import InquireOne
from services.gateway.http.orders import Orders
from services.gateway.http.reading import GetBalance, GetLife, ListEvents, ListLives
from services.gateway.http.retail import GetRedemption, Inquire, Redeem, Reverse, Till
from services.gateway.outlet import Outlet
from services.gateway.partners import Partners
from services.gateway.references import References
from services.gateway.requests import Requests
from services.gateway.settings import Settings
from services.gateway.tail import Tail
from services.gateway.tariff import Tariff

Operations = dict[tuple[str, str], Operation]


@dataclass(frozen=True)
class Wired:
    """What operations share."""

    settings: Settings
    db: Database
    sealer: Sealer
    outlet: Outlet
    tail: Tail
    commands: Commands
    partners: Partners


def operations_of(
    w: Wired, disbursements: Requests[Disbursement], cashouts: Requests[Cashout]
) -> Operations:
    return {
        **_of_lives(w, disbursements),
        **_of_lives(w, cashouts),
        **_of_partners(w, disbursements, cashouts),
        **_of_stores(w),
    }


def _of_lives(w: Wired, requests: Requests[Any]) -> Operations:
    """What partners do alike with lives of each kind."""
    path = requests.kind.path
    cancel = CancelOne(w.db, requests, w.commands, w.settings.cancel_wait_s)
    return {
        ("GET", path): ListLives(w.db, requests),
        ("GET", f"{path}/{{id}}"): GetLife(requests),
        ("POST", f"{path}/{{id}}/cancel"): cancel,
    }


def _of_partners(
    w: Wired, disbursements: Requests[Disbursement], cashouts: Requests[Cashout]
) -> Operations:
    settings, tariff = w.settings, Tariff(w.settings.tariffs)
    orders = Orders(tariff, w.sealer, settings.closed_channels, settings.instruct_ahead_days)
    cashout_orders = CashoutOrders(
        tariff,
        w.sealer,
        _phone_key(settings),
        life_s=settings.code_life_s,
        lives_s=settings.code_lives_s,
        ahead_days=settings.code_life_max_days,
        closed=settings.closed_channels,
    )
    return {
        ("POST", "/v1/disbursements"): CreateDisbursement(disbursements, orders, w.outlet, w.tail),
        ("POST", "/v1/cashouts"): CreateCashout(
            cashouts, cashout_orders, w.outlet, w.tail, settings.cashout_wait_s
        ),
        ("POST", "/v1/account-inquiries"): InquireOne(
            orders, w.sealer, w.commands, settings.inquiry_wait_s
        ),
        ("GET", "/v1/balance"): GetBalance(w.db),
        ("GET", "/v1/channels"): ListChannels(orders, w.partners),
        ("GET", "/v1/events"): ListEvents(w.db),
    }


def _of_stores(w: Wired) -> Operations:
    till = Till(
        w.commands,
        w.outlet,
        References(w.db),
        _phone_key(w.settings),
        w.sealer,
        redemption_s=w.settings.redemption_wait_s,
        reversal_s=w.settings.reversal_wait_s,
        again_s=w.settings.till_again_s,
    )
    return {
        ("POST", "/v1/retail/redemptions"): Redeem(till),
        ("GET", "/v1/retail/redemptions/{store_ref}"): GetRedemption(till),
        ("POST", "/v1/retail/reversals"): Reverse(till),
        ("POST", "/v1/retail/inquiries"): Inquire(till),
    }


def _phone_key(settings: Settings) -> PhoneKey:
    return PhoneKey(settings.phone_key.get_secret_value())
