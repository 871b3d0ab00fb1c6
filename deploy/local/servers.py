"""Apache Kafka and MongoDB as local processes: a development default, never production.

Durability on one node. MongoDB: the journal is on, and a write with ``j: true`` is answered after
its fsync; ``w: majority`` is this one member. Kafka: a record is acknowledged when the page cache
has it (``log.flush.*`` keeps its default, never), so it survives a killed broker, but not a power
cut, against which only replicas on other machines help.
"""

import shutil
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local import jars, ports, wheels
from deploy.local.process import Server

_PROBE_TIMEOUT_S = 1
_FORMAT_TIMEOUT_S = 60
_NOT_YET_INITIALIZED = 94
_TRANSACTION_LIFETIME_S = 10


class KafkaServer(Server):
    """Apache Kafka in KRaft mode, one node as broker and controller.

    Raises at start, besides what ``Server.start`` does:
        WheelMissingError: no Java runtime here.
        JarRefusedError, JarUnavailableError: see ``deploy.local.jars``.
    """

    name: ClassVar[str] = "kafka"

    def __init__(
        self, *, folder: Path, port: int, controller_port: int, jar_cache: Path = jars.CACHE
    ) -> None:
        super().__init__(folder=folder, port=port)
        self.controller_port = controller_port
        self._jar_cache = jar_cache
        self._class_path = ""

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        self._class_path = ":".join(str(jar) for jar in jars.ensure_jars(self._jar_cache))
        data, temporary = self.folder / "data", self.folder / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        _write_properties(self._properties_file, self._properties(data))
        if not data.exists():
            self._format(data)

    def _format(self, data: Path) -> None:
        """Format beside and rename, so that a format that was interrupted is begun anew."""
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        settings = self.folder / "format.properties"
        _write_properties(settings, self._properties(new))
        words = ("format", "--cluster-id", "salur-local-cluster-00", "--config", settings)
        with self.log.open("wb") as log:
            done = subprocess.run(
                self._java("kafka.tools.StorageTool", *words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={},
                timeout=_FORMAT_TIMEOUT_S,
                check=False,
            )
        if done.returncode != 0:
            raise self._failed(f"could not format {data} (code {done.returncode})")
        new.replace(data)

    def _command(self) -> Sequence[str | Path]:
        return self._java("kafka.Kafka", self._properties_file)

    def _java(self, main: str, *words: str | Path) -> list[str | Path]:
        logger = "-Dorg.slf4j.simpleLogger."
        return [
            wheels.java(),
            "-Xmx256m",
            "-XX:+UseSerialGC",
            # On two cores the optimising compiler would cost more than it earns for an hour.
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",  # without memory it would limp for ever, unseen
            "-XX:-UsePerfData",  # it would leave files outside the folder
            f"-Djava.io.tmpdir={self.folder / 'tmp'}",
            f"{logger}showDateTime=true",
            f"{logger}dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
            f"{logger}defaultLogLevel=warn",  # at info, each topic costs ten lines
            f"{logger}log.kafka.server.KafkaRaftServer=info",
            "-cp",
            self._class_path,
            main,
            *words,
        ]

    @property
    def _properties_file(self) -> Path:
        return self.folder / "server.properties"

    def _properties(self, data: Path) -> Mapping[str, object]:
        broker, controller = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            # Static voters are read here at each start, so another port needs no migration.
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"BROKER://{broker},CONTROLLER://{controller}",
            "advertised.listeners": f"BROKER://{broker}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "BROKER",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": data,
            "log.retention.ms": 7 * 24 * 60 * 60 * 1000,
            "auto.create.topics.enable": "false",
            # One node holds the only replica of everything.
            "default.replication.factor": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # Fifty partitions of offsets cost seconds when the first consumer joins.
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.num.partitions": 4,
            # A killed broker is let in again when its old session is over: after 4 s, not 12.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500,
            # Consumers come one by one on a laptop; nobody gains from waiting for more of them.
            "group.initial.rebalance.delay.ms": 0,
            # Its default of 128 MiB does not fit into the heap.
            "log.cleaner.dedupe.buffer.size": 16_777_216,
            # Two cores that the services and the load generator want as well.
            "num.network.threads": 2,
            "num.io.threads": 4,
        }

    def _answers(self) -> bool:
        """Whether the broker lists itself: a socket alone answers before writes are let in."""
        try:
            address = ("127.0.0.1", self.port)
            with socket.create_connection(address, _PROBE_TIMEOUT_S) as peer:
                return _brokers(peer) > 0
        except (OSError, struct.error):
            return False


class MongoServer(Server):
    """mongod 6.0 as a replica set of one member, which transactions need.

    Raises at start, besides what ``Server.start`` does:
        WheelMissingError: no mongod here.
    """

    name: ClassVar[str] = "mongo"
    replica_set: ClassVar[str] = "rs0"

    @property
    def url(self) -> str:
        return (
            f"mongodb://127.0.0.1:{self.port}/?replicaSet={self.replica_set}&directConnection=false"
        )

    def _prepare(self) -> None:
        wheels.mongod()  # before a folder is made that nothing will fill
        (self.folder / "data").mkdir(exist_ok=True)

    def _command(self) -> Sequence[str | Path]:
        # The defaults are the durable ones (journal on, a majority write waits for it). A shorter
        # minSnapshotHistoryWindowInSeconds gave a ledger-like load a tenth more; not taken, so
        # that figures from here mean something for a production with its defaults.
        return [
            wheels.mongod(),
            "--dbpath",
            self.folder / "data",
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
            "--quiet",  # or each connection costs three lines of log
            "--port",
            str(self.port),
            "--replSet",
            self.replica_set,
            "--wiredTigerCacheSizeGB",
            "1",
            "--oplogSize",
            "1024",  # MB; the default takes 5 % of the disk, for secondaries that do not exist
            # What a killed process had not committed locks its documents for up to one and a half
            # times this: by default a busy account would stand still for 90 s.
            "--setParameter",
            f"transactionLifetimeLimitSeconds={_TRANSACTION_LIFETIME_S}",
        ]

    def _answers(self) -> bool:
        """Whether it is primary; makes it a replica set of itself on the way."""
        if ports.is_free(self.port):
            return False
        address = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        try:
            with MongoClient[dict[str, Any]](
                address, serverSelectionTimeoutMS=500, socketTimeoutMS=5000
            ) as client:
                hello = client.admin.command("hello")
                if not hello["isWritablePrimary"] and "setName" not in hello:
                    self._join(client)
                return bool(client.admin.command("hello")["isWritablePrimary"])
        except PyMongoError:
            return False

    def _join(self, client: MongoClient[dict[str, Any]]) -> None:
        """Initiate once; later only tell the set its member's new port, if it moved."""
        host = f"127.0.0.1:{self.port}"
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code != _NOT_YET_INITIALIZED:
                raise
            members = [{"_id": 0, "host": host}]
            config = {"_id": self.replica_set, "members": members}
            client.admin.command("replSetInitiate", config)
            return
        if config["members"][0]["host"] != host:
            config["members"][0]["host"] = host
            config["version"] += 1
            # Forced: a member that does not find itself in the set has no primary to ask.
            client.admin.command("replSetReconfig", config, force=True)


class LocalServers:
    """Both servers in one folder, started and stopped at the same time."""

    def __init__(
        self,
        folder: Path,
        *,
        kafka_port: int,
        controller_port: int,
        mongo_port: int,
        jar_cache: Path = jars.CACHE,
    ) -> None:
        self.kafka = KafkaServer(
            folder=folder / "kafka",
            port=kafka_port,
            controller_port=controller_port,
            jar_cache=jar_cache,
        )
        self.mongo = MongoServer(folder=folder / "mongo", port=mongo_port)

    @property
    def urls(self) -> Mapping[str, str]:
        return {"KAFKA_URL": self.kafka.url, "MONGO_URL": self.mongo.url}

    def start(self) -> Self:
        """Start both and wait until both serve; neither runs if one of them fails."""
        try:
            self.mongo.start()  # first: it comes up while Kafka's jars are checked
            self.kafka.start()
            self.mongo.wait_ready()
            self.kafka.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        self.kafka.ask_to_stop()
        self.mongo.ask_to_stop()
        self.kafka.stop()
        self.mongo.stop()

    def dead(self) -> Server | None:
        """A server that ended by itself, if one did."""
        return next((one for one in (self.kafka, self.mongo) if one.pid is None), None)


def _write_properties(path: Path, properties: Mapping[str, object]) -> None:
    # Java reads a backslash as an escape; nothing else in a value needs care.
    lines = (f"{name}={value}\n".replace("\\", "\\\\") for name, value in properties.items())
    path.write_text("".join(lines), encoding="utf-8")


def _brokers(peer: socket.socket) -> int:
    """How many brokers a Metadata request (key 3, version 4, no topics) tells of."""
    body = struct.pack(">hhih", 3, 4, 1, -1) + struct.pack(">i?", 0, False)
    peer.sendall(struct.pack(">i", len(body)) + body)
    # The answer: its size, the correlation id, the throttle time, and the count of brokers.
    answer = peer.recv(16, socket.MSG_WAITALL)
    return int(struct.unpack(">iiii", answer)[3])
