"""W3C trace context travels in Kafka headers and errand rows; sending spans is off by default."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context, propagate, trace

CARRIED = ("traceparent", "tracestate")


def carried(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The trace headers of a record, to be sent on with what it causes."""
    return tuple(header for header in headers if header[0] in CARRIED)


def current() -> tuple[tuple[str, str], ...]:
    """The trace headers of what runs now; empty without a trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return tuple((name, value) for name, value in carrier.items() if name in CARRIED)


@contextmanager
def continued(name: str, headers: tuple[tuple[str, str], ...]) -> Iterator[None]:
    """A span that continues the trace in ``headers``."""
    parent = propagate.extract(dict(headers))
    token = context.attach(parent)
    try:
        with trace.get_tracer("salur").start_as_current_span(name):
            yield
    finally:
        context.detach(token)


def export(service: str, endpoint: str) -> None:
    """Send spans to an OTLP/HTTP collector."""
    # Only who turns tracing on pays for importing the exporter.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": f"salur-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
