"""``POST /v1/account-inquiries``: whose account is it? An inquiry has no life and is not stored."""

from contracts.disburse.v1 import AccountInquired, AccountInquiryFailed, InquireAccount
from contracts.envelope import now_ms
from contracts.failures import failure
from contracts.ids import derived_id, new_public_id
from contracts.sealed import Sealer
from services.gateway.commands import Commands, command_record
from services.gateway.http.edge import Answer, Call, Operation
from services.gateway.http.models import InquiryRequest
from services.gateway.http.orders import Orders
from services.gateway.http.problems import PROBLEMS, Problem, from_errors

NAME_PURPOSE = "account_name"
WAIT_S = 10.0
_UNPROCESSABLE = 422


class InquireOne(Operation):
    name = "inquire_account"
    model = InquiryRequest

    def __init__(
        self, orders: Orders, sealer: Sealer, commands: Commands, wait_s: float = WAIT_S
    ) -> None:
        self._orders = orders
        self._sealer = sealer
        self._commands = commands
        self._wait_s = wait_s

    async def __call__(self, call: Call[InquiryRequest]) -> Answer:
        found = self._orders.find(call.asked().destination)
        if isinstance(found, list):
            raise from_errors(found)
        inquiry, now = new_public_id("inq"), now_ms()
        command = InquireAccount(
            inquiry=inquiry,
            partner=call.caller.partner,
            environment=call.caller.environment,
            destination=self._orders.sealed(found),
        )
        record = command_record(command, derived_id(inquiry, now, "InquireAccount"), now, inquiry)
        event = await self._commands.ask(
            record, inquiry, (AccountInquired, AccountInquiryFailed), self._wait_s
        )
        if event is None:
            raise Problem("NO_ANSWER")
        said = event.message
        if isinstance(said, AccountInquiryFailed):
            raise _failed(said)
        place = {"bank": found.bank, "account_number": found.masked}
        if found.wallet is not None:
            place = {"wallet": found.wallet, "phone": found.masked}
        shown = {
            "id": inquiry,
            "account_name": self._sealer.open(said.account_name, NAME_PURPOSE),
            "match": said.match,
            "destination": {"type": found.type, **place, "account_name": found.account_name},
        }
        return Answer(200, shown)


def _failed(said: AccountInquiryFailed) -> Problem:
    """What is wrong with the account is the caller's; everything else is that nobody answered."""
    known = PROBLEMS.get(said.code)
    if known is not None and known.status == _UNPROCESSABLE:
        return Problem(said.code, failure(said.code).message)
    return Problem("NO_ANSWER", failure(said.code).message)
