"""Callback endpoints and deliveries in messages, keyed by the endpoint or delivery."""

from typing import Literal

from pydantic import AnyHttpUrl, Field

from contracts.message import Command, Event, Part
from contracts.sealed import Sealed
from contracts.terms import Environment, Id, Moment, Text


class SetEndpoint(Command):
    """Make or change where a partner's callbacks go. ``secret`` is the sealed signing secret."""

    endpoint: Id
    partner: Id
    environment: Environment
    url: AnyHttpUrl
    events: tuple[Id, ...] = Field(default=("*",), min_length=1, max_length=50)
    secret: Sealed
    enabled: bool = True


class Attempt(Part):
    """One try to deliver. ``status`` is the HTTP status; None: no answer (``error`` says why).
    ``retry_after_s`` is the pause that the endpoint asked for.
    """

    number: int = Field(ge=1)
    at: Moment
    status: int | None = None
    latency_ms: int = Field(ge=0)
    error: Text = ""
    retry_after_s: int | None = Field(default=None, ge=0)


class RecordAttempt(Command):
    """The sender has tried; the delivery decides what follows. ``endpoint_sequence`` tells which
    state of the endpoint was tried: an old address that is gone says nothing of the new one.
    """

    delivery: Id
    attempt: Attempt
    outcome: Literal["delivered", "failed", "gone"]
    endpoint_sequence: int = Field(default=0, ge=0)


class RedeliverCallback(Command):
    """A person or partner asks to send a finished delivery again."""

    delivery: Id


class EndpointSet(Event):
    endpoint: Id
    partner: Id
    environment: Environment
    url: AnyHttpUrl
    events: tuple[Id, ...]
    enabled: bool


class _Delivery(Event):
    delivery: Id
    endpoint: Id
    partner: Id
    environment: Environment
    event_type: Id
    about: Id
    attempts: int = Field(ge=0)


class CallbackDelivered(_Delivery):
    pass


class CallbackExhausted(_Delivery):
    """Every attempt failed, or the endpoint answered 410 Gone; ``reason`` says which."""

    reason: Text


class CommandRefused(Event):
    delivery: Id
    command: Id
    command_type: Id
    reason: Id
