"""What every service counts."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

decided = Counter("salur_messages_decided_total", "Messages decided", ["service", "type"])
repeated = Counter("salur_messages_repeated_total", "Messages answered from the inbox", ["service"])
parked = Counter("salur_messages_parked_total", "Messages parked for a person", ["service", "type"])
conflicts = Counter("salur_conflicts_total", "Batches decided again after a conflict", ["service"])
outages = Counter("salur_outages_total", "Attempts that met an outage", ["service"])
batch_s = Histogram("salur_batch_seconds", "Time of one batch", ["service"], buckets=_SECONDS)
batch_messages = Histogram(
    "salur_batch_messages", "Messages in one batch", ["service"], buckets=(1, 5, 25, 100, 250, 500)
)
errands = Counter("salur_errands_total", "Errands run", ["service", "kind", "outcome"])
errand_s = Histogram(
    "salur_errand_seconds", "Time of one errand", ["service", "kind"], buckets=_SECONDS
)
oldest_s = Gauge("salur_oldest_seconds", "Age of the oldest of its kind", ["service", "kind"])
