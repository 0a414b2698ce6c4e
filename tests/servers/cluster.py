"""Three real Kafka brokers that replicate to each other, as local processes."""

from types import TracebackType
from typing import Final, Self

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.servers.kafka import QUIET, KafkaServer
from tests.servers.process import HOST

NODES: Final = 3
SETTINGS: Final = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
    "controller.quorum.election.backoff.max.ms": "300",
    "replica.lag.time.max.ms": "5000",
}
"""Elections within about a second."""


class KafkaCluster:
    """Every record is on two brokers at least before it is acknowledged; any one of the three may die."""

    def __init__(self) -> None:
        self.nodes = [KafkaServer() for _ in range(NODES)]
        voters = ",".join(f"{number}@{HOST}:{node.controller_port}" for number, node in enumerate(self.nodes, 1))
        for number, node in enumerate(self.nodes, 1):
            node.settings = {**SETTINGS, "node.id": str(number), "controller.quorum.voters": voters}

    @property
    def bootstrap(self) -> str:
        """The addresses of all three."""
        return ",".join(node.bootstrap for node in self.nodes)

    def create_topic(self, name: str, *, partitions: int) -> None:
        """Create a topic on all three brokers and wait for the confirmation."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **QUIET})
        topic = NewTopic(name, num_partitions=partitions, replication_factor=NODES)
        admin.create_topics([topic])[name].result(timeout=10)

    def leader(self, at: TopicPartition) -> KafkaServer:
        """The broker that leads a partition now."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **QUIET})
        return self.nodes[admin.list_topics(at.topic, timeout=10).topics[at.topic].partitions[at.partition].leader - 1]

    def is_in_sync(self, topic: str) -> bool:
        """Whether every partition of a topic is whole on all three brokers."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **QUIET})
        partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions.values()
        return all(len(partition.isrs) == NODES for partition in partitions)

    def __enter__(self) -> Self:
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_until_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.kill()  # one after the other they would wait for each other's goodbye
            node.close()
