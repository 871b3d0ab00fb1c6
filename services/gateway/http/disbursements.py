"""``POST /v1/disbursements``; ``creating`` has the walk."""

from datetime import datetime

from contracts.disburse.v1 import Disbursement
from contracts.ids import new_public_id
from services.gateway.http.creating import Create
from services.gateway.http.edge import Call
from services.gateway.http.models import DisbursementRequest
from services.gateway.http.orders import Orders
from services.gateway.http.problems import FieldError
from services.gateway.outlet import Outlet
from services.gateway.requests import Requests
from services.gateway.tail import Tail


class CreateDisbursement(Create[Disbursement]):
    model = DisbursementRequest

    def __init__(
        self, requests: Requests[Disbursement], orders: Orders, outlet: Outlet, tail: Tail
    ) -> None:
        super().__init__(requests, outlet, tail)
        self._orders = orders

    def begin(
        self, call: Call[DisbursementRequest], now: datetime
    ) -> Disbursement | list[FieldError]:
        order = self._orders.order(call.caller, call.asked(), now)
        if isinstance(order, list):
            return order
        return Disbursement(
            disbursement=new_public_id("disb"),
            order=order,
            status="holding",
            created_at=now,
            updated_at=now,
        )
