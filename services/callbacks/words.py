"""What is said about deliveries and endpoints: the makers behind the names in the table."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from contracts.callbacks import v1 as callbacks
from services._kit.life import Received, Say
from services.callbacks.state import Delivery, Endpoint

_REASONS: Final = {
    "disabled": "ENDPOINT_DISABLED",
    "gone": "GONE",
    "schedule over": "SCHEDULE_OVER",
}


def endpoint_set(endpoint: Endpoint) -> Say:
    event = callbacks.EndpointSet.model_validate(
        {
            "endpoint": endpoint.id,
            "partner": endpoint.partner,
            "environment": endpoint.environment,
            "url": endpoint.url,
            "events": endpoint.events,
            "enabled": endpoint.enabled,
        }
    )
    return Say(event, endpoint.sequence)


def _delivered(delivery: Delivery, _endpoint: Endpoint, _why: str) -> Say:
    return Say(callbacks.CallbackDelivered(**_facts(delivery)), delivery.sequence)


def _exhausted(delivery: Delivery, _endpoint: Endpoint, why: str) -> Say:
    reason = _REASONS[why]
    return Say(callbacks.CallbackExhausted(**_facts(delivery), reason=reason), delivery.sequence)


def _facts(delivery: Delivery) -> dict[str, Any]:
    return {
        "delivery": delivery.id,
        "endpoint": delivery.endpoint,
        "partner": delivery.partner,
        "environment": delivery.environment,
        "event_type": delivery.event_type,
        "about": delivery.about,
        "attempts": delivery.attempts,
    }


def refused(received: Received, delivery: str, reason: str) -> Say:
    return Say(
        callbacks.CommandRefused(
            delivery=delivery, command=received.id, command_type=received.type, reason=reason
        )
    )


SAYS: Final[Mapping[str, Callable[[Delivery, Endpoint, str], Say]]] = {
    "CallbackDelivered": _delivered,
    "CallbackExhausted": _exhausted,
    "EndpointSet": lambda _delivery, endpoint, _why: endpoint_set(endpoint),
}
