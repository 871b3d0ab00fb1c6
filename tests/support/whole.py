"""The whole platform as real processes, on the session's Kafka and MongoDB.

``platform`` is shared by the end-to-end tests; the crash test starts one of its own. Deadlines are
shrunk, so that what takes minutes in life takes seconds here.
"""

import random
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local import ports, stack
from deploy.local.environment import Choices
from deploy.local.sandbox_partner import Partner, open_partner

_FOLDERS = Path(__file__).parents[2] / ".local" / "tests"

# One attempt at the bank may take 3 x (0.5 + 1) s; a lease outlives that by half a second: 5 s.
BANK_CALL_S, BANK_TOKEN_S, LEASE_MARGIN_S = 1.0, 0.5, 0.5
# A store that heard nothing for as long asks the status or reverses.
ANSWER_BY_S = 5.0
FAST = {
    "SALUR_DISBURSE_LEASE_MARGIN_S": str(LEASE_MARGIN_S),
    "SALUR_DISBURSE_ASK_AFTER_S": "[1, 2, 4, 8]",
    "SALUR_DISBURSE_ASK_EVERY_S": "8",
    "SALUR_DISBURSE_STATEMENT_EVERY_S": "3",
    "SALUR_CALLBACKS_TIMEOUT_S": "1",
    "SALUR_CALLBACKS_CONNECT_TIMEOUT_S": "1",
    "SALUR_CALLBACKS_PUBLISH_TIMEOUT_S": "10",
    "SALUR_CALLBACKS_RETRY_SCHEDULE_S": "[1, 2, 2, 2, 2, 2, 2, 2, 5, 5, 5, 5, 5, 10, 10]",
    "SALUR_CALLBACKS_ENDPOINT_LIMIT": "20",
    "SALUR_GATEWAY_REDEMPTION_WAIT_S": str(ANSWER_BY_S),
    "SALUR_GATEWAY_REPUBLISH_AFTER_S": "3",
    "SALUR_SANDBOX_HANG_S": "3",
    "SALUR_SANDBOX_PENDING_S": "2",
    "SALUR_SANDBOX_RETURN_AFTER_S": "3",
}


@contextmanager
def platform_on(
    kafka_url: str, mongo_url: str, *, copies: Mapping[str, int] | None = None
) -> Iterator[stack.LocalPlatform]:
    """A platform with topics and databases of its own, stopped at the end."""
    _FOLDERS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=_FOLDERS))
    space = uuid.uuid4().hex[:8]
    variables = {
        **FAST,
        "SALUR_TOPIC_PREFIX": f"{space}.",
        "SALUR_DATABASE_PREFIX": f"t{space}_",
    }
    choices = Choices(
        partitions=3,
        bank_call_timeout_s=BANK_CALL_S,
        bank_token_timeout_s=BANK_TOKEN_S,
        bank_latency_ms=20,
        not_found_after_s=20,
        overrides=variables,
    )
    given = {"KAFKA_URL": kafka_url, "MONGO_URL": mongo_url}
    # Anywhere, because another run of the tests may be looking for a block at this moment.
    start = random.SystemRandom().randrange(11_000, 29_000, ports.BLOCK)
    base = ports.free_block(start, stack.places())
    try:
        with stack.LocalPlatform(
            folder, base, choices=choices, given=given, copies=copies
        ) as platform:
            yield platform
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def platform(kafka_url: str, mongo_url: str) -> Iterator[stack.LocalPlatform]:
    with platform_on(kafka_url, mongo_url) as running:
        yield running


@pytest.fixture(scope="session")
def partner(platform: stack.LocalPlatform) -> Partner:
    return open_partner(platform)
