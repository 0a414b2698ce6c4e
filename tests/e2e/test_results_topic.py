"""The results topic as a part of the whole pipeline."""

import json
import uuid

import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import PATIENCE_S, headers
from tests.servers.kafka import KafkaServer


def test_the_results_topic_holds_what_the_database_holds(pipeline: PipelineFactory) -> None:
    both = pipeline(SINKS="mongo,kafka")
    both.publish(*(f"quick {i}".encode() for i in range(100)), b"bad record")
    consumer = both.consume()
    both.wait_for_documents(100)
    assert consumer.stop() == 0
    results = both.records(f"{both.topic}.results")
    documents = {document["_id"]: document for document in both.documents()}
    assert {(message.key() or b"").decode(): json.loads(message.value() or b"") for message in results} == documents
    assert {headers(message)["velox-position"] for message in results} == set(documents)
    assert len(results) == 100
    assert both.uncommitted() == 0


@pytest.mark.parametrize("setting", ["DEAD_LETTER_TOPIC", "RESULTS_TOPIC"])
def test_a_topic_that_kafka_will_not_create_ends_the_consumer_and_is_named_with_its_setting(
    pipeline: PipelineFactory, kafka: KafkaServer, setting: str
) -> None:
    taken = f"taken-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(f"{taken}_here")
    consumer = pipeline(SINKS="kafka").consume(**{setting: f"{taken}.here"})
    assert consumer.process.wait(PATIENCE_S) == 2, consumer.output
    last = consumer.output.splitlines()[-1]
    assert last.startswith(f"velox consume: {setting}={taken}.here: Kafka does not create this topic")
    assert last.endswith(f"; set {setting} to another name: for Kafka, a dot and _ are the same")
    assert "Traceback" not in consumer.output
