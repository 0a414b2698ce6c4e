"""Where a group begins: what was published while it was at work is read, whenever it is started again."""

import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import BOTH_DELIVERIES, PATIENCE_S, QUICK_SESSION, Pipeline, wait_until


def publish_to(pipeline: Pipeline, partition: int, count: int) -> None:
    refused: list[object] = []
    producer = Producer({"bootstrap.servers": pipeline.bootstrap})
    for number in range(count):
        producer.produce(
            pipeline.topic,
            f"r {number}".encode(),
            partition=partition,
            on_delivery=lambda error, _message: refused.append(error) if error else None,
        )
    assert producer.flush(PATIENCE_S) == 0
    assert not refused


def add_partition(pipeline: Pipeline) -> None:
    """Have the topic's second partition, with somebody who takes its records."""
    admin = AdminClient({"bootstrap.servers": pipeline.bootstrap})
    admin.create_partitions([NewPartitions(pipeline.topic, 2)])[pipeline.topic].result(10)

    def is_there() -> bool:
        partitions = admin.list_topics(pipeline.topic, timeout=5).topics[pipeline.topic].partitions
        return len(partitions) == 2 and partitions[1].leader >= 0

    wait_until(is_there, what="it is there")


@BOTH_DELIVERIES
@pytest.mark.parametrize("reset", ["latest", "earliest"])
def test_what_came_before_the_first_commit_is_read_after_a_kill(
    pipeline: PipelineFactory, reset: str, delivery: str
) -> None:
    group = pipeline(partitions=1, AUTO_OFFSET_RESET=reset, INFERENCE_TIMEOUT_S=120, DELIVERY=delivery, **QUICK_SESSION)
    group.publish(b"r before")
    consumer = group.consume()
    consumer.wait_until_ready()
    if reset == "earliest":
        group.wait_for_documents(1)
    group.publish(b"hang", *(b"r %d" % number for number in range(50)))
    wait_until(lambda: consumer.metric("velox_in_flight_records") > 0, what="the records are in hand")
    consumer.process.kill()
    consumer.process.wait()
    group.settings["MODEL"] = "tests.e2e.fragile:LengthModel"  # which does not obey
    again = group.consume()
    group.wait_for_documents(52 if reset == "earliest" else 51)
    wait_until(lambda: group.uncommitted() == 0, what="all committed")
    assert again.stop() == 0, again.output
    assert group.count() == (52 if reset == "earliest" else 51), "nothing from before a group that begins at the end"


@BOTH_DELIVERIES
@pytest.mark.parametrize("reset", ["latest", "earliest"])
def test_a_partition_that_appears_is_read_from_its_beginning(
    pipeline: PipelineFactory, reset: str, delivery: str
) -> None:
    group = pipeline(partitions=1, AUTO_OFFSET_RESET=reset, DELIVERY=delivery)
    consumer = group.consume()
    consumer.wait_until_ready()
    add_partition(group)
    publish_to(group, 1, 20)
    group.wait_for_documents(20)
    wait_until(lambda: group.uncommitted() == 0, what="all committed")
    assert consumer.stop() == 0, consumer.output


def test_a_partition_that_appears_while_nobody_is_there_is_read_from_its_beginning(pipeline: PipelineFactory) -> None:
    group = pipeline(partitions=1, AUTO_OFFSET_RESET="latest")
    consumer = group.consume()
    consumer.wait_until_ready()
    assert consumer.stop() == 0, consumer.output
    add_partition(group)
    publish_to(group, 0, 5)
    publish_to(group, 1, 20)
    again = group.consume()
    group.wait_for_documents(25)
    assert again.stop() == 0, again.output


@pytest.mark.parametrize("protocol", ["cooperative-sticky", "range", "consumer"])
def test_a_partition_that_appears_in_a_group_that_is_to_begin_nowhere_is_read_too(
    pipeline: PipelineFactory, protocol: str
) -> None:
    group = pipeline(partitions=1, GROUP_PROTOCOL=protocol)
    first = group.consume()
    first.wait_until_ready()
    wait_until(lambda: group.uncommitted() == 0, what="its beginnings are committed")
    assert first.stop() == 0, first.output
    group.settings["AUTO_OFFSET_RESET"] = "error"
    consumer = group.consume()
    consumer.wait_until_ready()
    add_partition(group)
    publish_to(group, 1, 20)
    group.wait_for_documents(20)
    assert consumer.stop() == 0, consumer.output


def test_a_new_group_that_begins_at_the_end_has_said_so_to_the_broker(pipeline: PipelineFactory) -> None:
    group = pipeline(partitions=3, AUTO_OFFSET_RESET="latest")
    group.publish(*(b"r %d" % number for number in range(30)))
    consumer = group.consume()
    consumer.wait_until_ready()
    wait_until(lambda: group.uncommitted() == 0, what="its beginnings are committed")
    time.sleep(0.5)  # nothing is to come
    assert group.count() == 0
    assert consumer.stop() == 0, consumer.output
