"""One Kafka and one MongoDB for the whole run of pytest: real ones, on a real disk.

``kafka_url`` and ``mongo_url`` are all that most tests want; KAFKA_URL and MONGO_URL are used
instead if they are set. Outage tests ask for ``kafka_server`` and ``mongo_server``, kill them as
they like, and leave the repair to the fixture. Nothing is skipped: no server, no green.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.ports import free_ports
from deploy.local.process import Server, is_owned
from deploy.local.servers import KafkaServer, LocalServers, MongoServer

# Not the system's temporary folder: that may be memory, where an fsync costs nothing.
_FOLDERS = Path(__file__).parents[2] / ".local" / "tests"
# A folder that is younger may be one whose run has yet to lock it.
_LEFTOVER_AFTER_S = 600


@pytest.fixture(scope="session")
def local_servers() -> Iterator[LocalServers]:
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(dir=_FOLDERS))
    kafka_port, controller_port, mongo_port = free_ports(3)
    servers = LocalServers(
        folder, kafka_port=kafka_port, controller_port=controller_port, mongo_port=mongo_port
    )
    try:
        yield servers.start()
    finally:
        servers.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def kafka_url(request: pytest.FixtureRequest) -> str:
    return os.environ.get("KAFKA_URL") or _local(request).kafka.url


@pytest.fixture(scope="session")
def mongo_url(request: pytest.FixtureRequest) -> str:
    return os.environ.get("MONGO_URL") or _local(request).mongo.url


@pytest.fixture
def kafka_server(request: pytest.FixtureRequest) -> Iterator[KafkaServer]:
    """Kafka itself, to be killed; it runs again when the test is over."""
    _only_ours("KAFKA_URL")
    server = _local(request).kafka
    yield server
    _repair(server)


@pytest.fixture
def mongo_server(request: pytest.FixtureRequest) -> Iterator[MongoServer]:
    """MongoDB itself, to be killed; it runs again when the test is over."""
    _only_ours("MONGO_URL")
    server = _local(request).mongo
    yield server
    _repair(server)


def _local(request: pytest.FixtureRequest) -> LocalServers:
    servers = request.getfixturevalue("local_servers")
    assert isinstance(servers, LocalServers)
    return servers


def _only_ours(variable: str) -> None:
    if os.environ.get(variable):
        pytest.fail(f"this test kills its server: unset {variable}")


def _repair(server: Server) -> None:
    if server.pid is None:
        server.start()
    server.wait_ready()


def _remove_leftovers() -> None:
    """Folders of runs that were killed; their guards have stopped the servers in them."""
    _FOLDERS.mkdir(parents=True, exist_ok=True)
    for folder in _FOLDERS.iterdir():
        is_old = folder.stat().st_mtime < time.time() - _LEFTOVER_AFTER_S
        if is_old and not any(is_owned(folder / name) for name in ("kafka", "mongo")):
            shutil.rmtree(folder, ignore_errors=True)
