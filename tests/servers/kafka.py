"""A real Apache Kafka broker: one KRaft node as a local process."""

import base64
import random
import shutil
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.servers.jars import provision, run
from tests.servers.process import HOST, LocalServer, free_port

POM = Path(__file__).with_name("kafka.pom.xml")
# Few partitions, short heartbeats and time-outs: a rebalance or a restart takes about a second instead of many.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "5",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "5",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "300",
    "group.consumer.heartbeat.interval.ms": "300",
    "group.consumer.min.session.timeout.ms": "3000",
    "group.consumer.session.timeout.ms": "6000",
    "message.max.bytes": "20971520",
    "replica.fetch.max.bytes": "20971520",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "broker.heartbeat.interval.ms": "200",
    "broker.session.timeout.ms": "2000",
}
CLUSTER_ID = "velox-tests-000000000A"
"""Any 16 bytes in base64 will do, but for a dash at the beginning: the tool takes that for an option."""
LOGGING = """\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1} - %m%n
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
"""
JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# librdkafka complains on stderr about every attempt to reach a broker that is not up yet.
QUIET = {"log_level": 0, "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200}


class TopicFactory(Protocol):
    """What the `topic` fixture gives: makes a topic and answers its name."""

    def __call__(self, partitions: int = 6) -> str: ...


class KafkaServer(LocalServer):
    """A broker that keeps its acknowledged records over `kill` and `start`.

    Starts in about 2 s; after a kill it first has to wait until its own old session has expired, about 2 s more.
    """

    name = "kafka"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.controller_port = free_port()
        self.settings = dict(settings or {})
        """What differs from a single broker's, also from the listeners that `command` makes of the ports."""

    @property
    def bootstrap(self) -> str:
        """The address for `bootstrap.servers`."""
        return f"{HOST}:{self.port}"

    def create_topic(self, name: str, *, partitions: int = 6, config: Mapping[str, str] | None = None) -> None:
        """Create a topic and wait for the confirmation; messages up to 20 MiB fit unless `config` says less."""
        admin = self._admin()  # named, since it takes its unanswered requests with it when it is collected
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        admin.create_topics([topic])[name].result(timeout=10)

    def command(self) -> list[str]:
        return self._command(home(), f"-XX:SharedArchiveFile={home() / 'kafka.jsa'}")

    def is_ready(self) -> bool:
        """Whether the broker is in service, and every partition it knows from an earlier life has its leader."""
        try:
            metadata = self._admin().list_topics(timeout=1)
        except KafkaException:
            return False
        partitions = [p for topic in metadata.topics.values() for p in topic.partitions.values()]
        return bool(metadata.brokers) and all(partition.leader >= 0 for partition in partitions)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, **QUIET})

    def _listeners(self) -> dict[str, str]:
        """What the broker is told of the ports that clients use."""
        return {
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
        }

    def _format(self, install: Path, data: Path, _properties: Path) -> None:
        """Prepare the empty storage folder."""
        shutil.copytree(install / "formatted", data)
        _name_storage(data / "meta.properties", self.settings.get("node.id", "1"))

    def _command(self, install: Path, class_data: str) -> list[str]:
        data = self.folder / "data"
        properties = write_properties(
            self.folder / "server.properties",
            SETTINGS
            | self._listeners()
            | {"controller.quorum.voters": f"1@{HOST}:{self.controller_port}", "log.dirs": str(data)}
            | self.settings,
        )
        if not data.exists():
            self._format(install, data, properties)
        logging = self.folder / "log4j2.properties"
        logging.write_text(LOGGING)
        options = [class_data, "-Xmx256m", f"-Dlog4j2.configurationFile={logging}", "-Dlog4j2.disable.jmx=true"]
        return [*JAVA, *options, "-cp", f"{install}/libs/*", "kafka.Kafka", str(properties)]


class _Rehearsal(KafkaServer):
    """A first life that records which classes a broker loads: later ones map them from a file and start 3 × faster."""

    def __init__(self, install: Path) -> None:
        super().__init__()
        self._install = install

    def command(self) -> list[str]:
        return self._command(self._install, f"-XX:ArchiveClassesAtExit={self._install / 'kafka.jsa'}")


@cache
def home() -> Path:
    """Where the broker's jars, its formatted empty storage and its class data lie; made on first use (about 30 s)."""
    return provision(POM, inputs=repr(SETTINGS), prepare=_prepare)


def write_properties(path: Path, settings: Mapping[str, str]) -> Path:
    """Write a Java properties file and answer its path."""
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return path


def _name_storage(path: Path, node_id: str) -> None:
    """Make a copy of the formatted storage that of another node: no two of a cluster may have one name."""
    directory_id = base64.urlsafe_b64encode(b"\1" + random.randbytes(15)).rstrip(b"=").decode()  # noqa: S311 - a name
    path.write_text(f"node.id={node_id}\ndirectory.id={directory_id}\nversion=1\ncluster.id={CLUSTER_ID}\n")


def format_storage(install: Path, properties: Path, *options: str) -> None:
    """Have Kafka's own tool prepare the folder that ``log.dirs`` names."""
    tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties), *options]
    run(*JAVA, "-cp", f"{install}/libs/*", *tool)


def _prepare(install: Path) -> None:
    formatted = install / "formatted"
    nowhere = {
        "controller.quorum.voters": f"1@{HOST}:1",
        "listeners": f"PLAINTEXT://{HOST}:2,CONTROLLER://{HOST}:1",
        "log.dirs": str(formatted),
    }
    properties = write_properties(install / "format.properties", SETTINGS | nowhere)
    format_storage(install, properties)
    with _Rehearsal(install) as server:
        server.create_topic("rehearsal")
        _use(server.bootstrap, "rehearsal")


def _use(bootstrap: str, topic: str) -> None:
    """Send one record around, so that the classes for it are loaded."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, **QUIET})
    producer.produce(topic, b"record")
    producer.flush(10)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    consumer.poll(10)
    consumer.commit(asynchronous=False)
    consumer.close()
