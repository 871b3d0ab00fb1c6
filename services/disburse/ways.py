"""From a destination to a rail and back: chosen once per life, before its first send."""

from collections.abc import Callable, Sequence
from typing import Final

from contracts.disburse.v1 import Destination
from contracts.phones import local_form
from contracts.terms import Environment
from services.disburse.life import Way
from services.disburse.rails import Beneficiary
from services.disburse.rails.directory import (
    WALLET_PREFIXES,
    RailConfig,
    choose,
    route_to_wallet,
)

# Which bank reaches a wallet does not depend on the phone, and the real one is sealed here.
_ANY_PHONE: Final = "081200000000"


def chooser(rails: Sequence[RailConfig]) -> Callable[[Environment, Destination], Way | None]:
    """Finds the way to a destination; None: no rail serves it."""

    def way_to(environment: Environment, destination: Destination) -> Way | None:
        if destination.bank is not None:
            rail = choose(rails, environment, destination.bank)
            return None if rail is None else Way(rail, destination.bank)
        wallet = destination.wallet or ""
        route = route_to_wallet(rails, environment, wallet, _ANY_PHONE)
        return None if route is None else Way(route.rail, route.destination.bank_bic)

    return way_to


def beneficiary(
    bank: str, wallet: str | None, number: str, account_name: str | None
) -> Beneficiary:
    """The account to pay: ``number`` itself, or a wallet's virtual account behind that phone.

    Raises:
        PhoneError: a wallet whose number is no phone.
        KeyError: the bank issues no virtual accounts for the wallet (any more).
    """
    if wallet is not None:
        number = WALLET_PREFIXES[wallet.upper()][bank] + local_form(number)
    return Beneficiary(bank, number, account_name)
