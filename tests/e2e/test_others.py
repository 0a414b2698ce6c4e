"""What others do with the same topics and the same group: compaction, transactions, clocks, another strategy."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported at run time only
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import BOTH_DELIVERIES, Pipeline, wait_until
from tests.servers.kafka import KafkaServer


def doctor(pipeline: Pipeline) -> dict[str, dict[str, str]]:
    """What ``velox doctor`` finds, by what it looked at."""
    done = subprocess.run(
        [sys.executable, "-m", "velox", "doctor", "--json"],
        cwd=pipeline.folder,
        env=pipeline.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    found: dict[str, dict[str, str]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        if found.get(finding["what"], {}).get("level") != "error":
            found[finding["what"]] = finding
    return found


@BOTH_DELIVERIES
def test_a_topic_that_is_compacted_has_deletions_which_are_no_records(
    pipeline: PipelineFactory, kafka: KafkaServer, delivery: str
) -> None:
    compacted = pipeline(partitions=1, DELIVERY=delivery)
    compacted.topic += "-compacted"
    compacted.settings["KAFKA_TOPIC"] = compacted.topic
    kafka.create_topic(compacted.topic, partitions=1, config={"cleanup.policy": "compact"})
    producer = Producer({"bootstrap.servers": compacted.bootstrap})
    for number in range(300):
        value = f"r {number}" if number < 20 or number >= 280 else None
        producer.produce(compacted.topic, value and value.encode(), key=f"key {number}".encode())
    assert producer.flush(10) == 0
    consumer = compacted.consume()
    compacted.wait_for_documents(40)
    wait_until(lambda: compacted.uncommitted() == 0, what="committed to the end")
    consumer.wait_until_ready()
    assert consumer.metric("velox_dropped_records_total", cause="null_value") == 260
    assert compacted.count() == 40
    assert compacted.dead_letters() == []
    assert consumer.stop() == 0, consumer.output


def test_a_record_without_a_time_gets_that_of_its_reading_and_no_latency(pipeline: PipelineFactory) -> None:
    timeless = pipeline(partitions=1)
    producer = Producer({"bootstrap.servers": timeless.bootstrap})
    producer.produce(timeless.topic, b"r", timestamp=-1)
    assert producer.flush(10) == 0
    assert timeless.records()[0].timestamp()[1] == -1
    before = time.time()
    consumer = timeless.consume()
    timeless.wait_for_documents(1)
    (document,) = timeless.documents()
    assert before - 1 < document["timestamp"] < time.time() + 1
    wait_until(lambda: consumer.metric("velox_records_total", outcome="predicted") == 1, what="it is counted")
    assert consumer.metric("velox_end_to_end_seconds_count") == 0
    assert consumer.stop() == 0, consumer.output


@BOTH_DELIVERIES
def test_topics_written_in_transactions_are_committed_to_their_end(pipeline: PipelineFactory, delivery: str) -> None:
    marked = pipeline(partitions=2, DELIVERY=delivery)
    producer = Producer({"bootstrap.servers": marked.bootstrap, "transactional.id": f"{marked.topic}-others"})
    producer.init_transactions(10)
    for number in range(3):
        producer.begin_transaction()
        for text in range(10):
            producer.produce(marked.topic, f"r {number} {text}".encode(), partition=text % 2)
        producer.commit_transaction(10)
    producer.begin_transaction()
    producer.produce(marked.topic, b"never happened", partition=0)
    producer.flush(10)
    producer.abort_transaction(10)
    consumer = marked.consume()
    marked.wait_for_documents(30)
    wait_until(lambda: marked.uncommitted() == 0, what="committed behind the last mark")
    assert marked.count() == 30
    assert consumer.stop() == 0, consumer.output
    assert marked.uncommitted() == 0


@contextmanager
def open_transaction(pipeline: Pipeline) -> Iterator[None]:
    producer = Producer({"bootstrap.servers": pipeline.bootstrap, "transactional.id": f"{pipeline.topic}-open"})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(pipeline.topic, b"r of a transaction", partition=0)
    producer.flush(10)
    yield
    producer.commit_transaction(10)


def test_records_behind_an_open_transaction_are_told_of_and_read_when_it_ends(pipeline: PipelineFactory) -> None:
    hidden = pipeline(partitions=1)
    consumer = hidden.consume()
    consumer.wait_until_ready()
    with open_transaction(hidden):
        hidden.publish(*(b"r %d" % number for number in range(20)))
        found = doctor(hidden)
        assert found["transactions"]["level"] == "warning"
        assert found["transactions"]["value"].startswith("21 records wait behind an open transaction")
        consumer.wait_until_it_says("wait behind an open transaction of a producer")
        assert hidden.count() == 0
    hidden.wait_for_documents(21)
    assert "transactions" not in doctor(hidden)
    assert consumer.stop() == 0, consumer.output


def test_a_member_with_another_strategy_is_told_of_with_the_remedy(pipeline: PipelineFactory) -> None:
    shared = pipeline(partitions=2)
    other = Consumer(
        {
            "bootstrap.servers": shared.bootstrap,
            "group.id": shared.settings["KAFKA_CONSUMER_GROUP"],
            "partition.assignment.strategy": "range",
        }
    )
    try:
        other.subscribe([shared.topic])
        wait_until(lambda: other.poll(0.1) is not None or other.assignment(), what="the other is in the group")
        consumer = shared.consume()
        remedy = "share partitions otherwise than by GROUP_PROTOCOL=cooperative-sticky: set what they use, or stop them"
        wait_until(lambda: other.poll(0.1) is not None or consumer.says(remedy), what=lambda: consumer.output)
        wait_until(lambda: remedy in consumer.not_ready_because(), what="the cause on /readyz")
        group = f"group {shared.settings['KAFKA_CONSUMER_GROUP']}"
        found = doctor(shared)[group]
        assert found["level"] == "error"
        assert "share partitions by range" in found["value"]
        time.sleep(5)  # refused every 2 s
        assert consumer.output.count(remedy) == 1
    finally:
        other.close()
    consumer.wait_until_ready()
    assert consumer.stop() == 0, consumer.output


def test_a_compacted_dead_letter_topic_is_named_with_the_remedy_and_letters_wait(
    pipeline: PipelineFactory, kafka: KafkaServer
) -> None:
    blocked = pipeline(partitions=1)
    letters = f"{blocked.topic}.dlq"
    kafka.create_topic(letters, partitions=1, config={"cleanup.policy": "compact"})
    blocked.publish(b"bad one", b"good")
    consumer = blocked.consume()
    consumer.wait_until_it_says("the topic is compacted")
    assert consumer.says("set its cleanup.policy to delete")
    found = doctor(blocked)[f"clean-up of {letters}"]
    assert found["level"] == "error"
    policy = ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, letters, incremental_configs=[policy])
    admin = AdminClient({"bootstrap.servers": blocked.bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(10)
    blocked.wait_for_documents(1)
    wait_until(lambda: blocked.uncommitted() == 0, what="all committed")
    assert len(blocked.dead_letters()) == 1
    assert consumer.stop() == 0, consumer.output
