"""Transactions on a real broker, when it answers and then does not."""

import pytest
from confluent_kafka import Consumer

from tests.servers.kafka import KafkaServer, TopicFactory
from velox.core.deadline import Deadline
from velox.kafka.contents import contents
from velox.kafka.delivery import Outgoing
from velox.kafka.transactions import Transaction, TransactionalProducer, committed_offsets
from velox.records import Partition
from velox.settings import Settings

ANSWER_S = 60.0


@pytest.fixture
def settings(kafka: KafkaServer, topic: TopicFactory) -> Settings:
    name = topic(1)
    return Settings(kafka_bootstrap_server=kafka.bootstrap, kafka_topic=name, kafka_consumer_group=f"group-{name}")


def test_a_producer_that_has_registered_is_asked_to_again_and_goes_on(settings: Settings) -> None:
    """As when the broker went away after it had registered, and before it said how far the group is."""
    producer = TransactionalProducer(settings, f"{settings.kafka_topic}-1")
    for _ in range(3):
        producer.open(ANSWER_S)
    partition = Partition(settings.kafka_topic, 0)
    member = Consumer({"bootstrap.servers": settings.kafka_bootstrap_server, "group.id": settings.kafka_consumer_group})
    message = Outgoing(topic=settings.kafka_topic, key=b"one", value=b"two", headers=[])
    producer.commit(Transaction([message], {partition: 7}, member.consumer_group_metadata()), Deadline(ANSWER_S))
    member.close()
    seen = contents(settings, settings.kafka_topic, within_s=ANSWER_S)
    assert [message.value() for message in seen] == [b"two"]
    assert committed_offsets(settings, [partition]) == {partition: 7}
