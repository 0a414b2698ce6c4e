"""What ``velox verify`` asks of a real broker."""

import subprocess
import sys
import uuid

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.e2e.pipeline import wait_until
from tests.servers.kafka import KafkaServer, TopicFactory
from velox.core.deadline import Deadline
from velox.kafka.lag import Observer
from velox.kafka.publisher import Publisher
from velox.kafka.topics import remove_topics
from velox.records import Partition
from velox.settings import Settings


def settings(kafka: KafkaServer, *, topic: str = "none", group: str = "nobody") -> Settings:
    return Settings(kafka_bootstrap_server=kafka.bootstrap, kafka_topic=topic, kafka_consumer_group=group)


def publish(kafka: KafkaServer, topic: str, numbers: range) -> dict[int, tuple[Partition, int]]:
    """Publish numbers; answer where the broker put each."""
    places: dict[int, tuple[Partition, int]] = {}
    publisher = Publisher(settings(kafka, topic=topic))
    for number in numbers:

        def acknowledged(partition: Partition, offset: int, number: int = number) -> None:
            places[number] = (partition, offset)

        publisher.publish(b"%d" % number, key=None, headers=(), acknowledged=acknowledged)
    assert publisher.flush(Deadline(20)) == 0
    return places


def test_the_publisher_tells_where_each_record_lies(kafka: KafkaServer, topic: TopicFactory) -> None:
    name = topic(partitions=3)
    places = publish(kafka, name, range(100))
    observer = Observer(settings(kafka))
    lying = {
        int(m.value() or b""): (Partition(m.topic() or "", m.partition() or 0), m.offset())
        for m in observer.read_all(name, within_s=20)
    }
    assert places == lying
    observer.close()


def test_a_topic_is_read_from_where_it_matters(kafka: KafkaServer, topic: TopicFactory) -> None:
    name = topic(partitions=2)
    publish(kafka, name, range(50))
    observer = Observer(settings(kafka))
    since = {partition: extent.high for partition, extent in observer.extents(name).items()}
    publish(kafka, name, range(50, 60))
    read = observer.read_all(name, within_s=20, since=since)
    assert sorted(int(message.value() or b"") for message in read) == list(range(50, 60))
    observer.close()


def test_topics_and_their_group_are_removed_and_what_is_not_there_is_well(
    kafka: KafkaServer, topic: TopicFactory
) -> None:
    name, group = topic(partitions=1), f"group-{uuid.uuid4().hex[:8]}"
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(name, 0, 0)], asynchronous=False)
    consumer.close()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def groups() -> set[str]:
        return {listing.group_id for listing in admin.list_consumer_groups().result().valid}

    assert group in groups()
    remove_topics(settings(kafka, group=group), [name, f"{name}.dlq"])
    wait_until(lambda: name not in admin.list_topics(timeout=10).topics, what="the topic is gone")
    assert group not in groups()
    remove_topics(settings(kafka, group=group), [name])


def test_a_group_is_removed_once_the_session_of_a_killed_member_ends(kafka: KafkaServer, topic: TopicFactory) -> None:
    name, group = topic(partitions=1), f"group-{uuid.uuid4().hex[:8]}"
    config = {"bootstrap.servers": kafka.bootstrap, "group.id": group, "session.timeout.ms": 6000}
    code = f"from confluent_kafka import Consumer\nc = Consumer({config!r})\nc.subscribe([{name!r}])\nc.poll(60)"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def members() -> int:
        return len(admin.describe_consumer_groups([group])[group].result().members)

    with subprocess.Popen([sys.executable, "-c", code]) as member:
        wait_until(members, what="it has joined")
        member.kill()
    remove_topics(settings(kafka, group=group), [name])
    assert group not in {listing.group_id for listing in admin.list_consumer_groups().result().valid}
