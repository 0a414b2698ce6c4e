"""What is said of a topic that Kafka does not create: which setting names it, and what to do."""

import uuid
from typing import Any

import pytest

from tests.servers.kafka import KafkaServer
from velox.errors import BrokerUnavailableError, SinkUnavailableError
from velox.kafka.topics import ensure_topic
from velox.settings import Settings
from velox.sinks.kafka import KafkaSink


@pytest.fixture
def taken(kafka: KafkaServer) -> str:
    """A name that differs from that of a topic which is there only in its dot."""
    name = f"taken-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(f"{name}_here")
    return f"{name}.here"


@pytest.mark.parametrize("setting", ["KAFKA_TOPIC", "DEAD_LETTER_TOPIC", "RESULTS_TOPIC"])
def test_a_name_that_collides_with_another_topic_is_told_with_its_setting(
    kafka: KafkaServer, taken: str, setting: str
) -> None:
    given: dict[str, Any] = {setting.lower(): taken}
    settings = Settings(kafka_bootstrap_server=kafka.bootstrap, **given)
    with pytest.raises(BrokerUnavailableError) as caught:
        ensure_topic(settings, taken)
    said = str(caught.value)
    assert said.startswith(f"{setting}={taken}: Kafka does not create this topic (Topic '{taken}' collides with ")
    assert said.endswith(f"; set {setting} to another name: for Kafka, a dot and _ are the same")
    assert "is Kafka running" not in said


def test_the_dead_letter_topic_of_a_topic_may_collide_too(kafka: KafkaServer) -> None:
    name = f"a-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(f"{name}_dlq")
    settings = Settings(kafka_bootstrap_server=kafka.bootstrap, kafka_topic=name)
    with pytest.raises(BrokerUnavailableError, match=rf"^DEAD_LETTER_TOPIC={name}\.dlq: Kafka does not create"):
        ensure_topic(settings, f"{name}.dlq")


def test_the_sink_tells_the_same_of_the_results_topic(kafka: KafkaServer, taken: str) -> None:
    sink = KafkaSink(Settings(kafka_bootstrap_server=kafka.bootstrap, sinks=("kafka",), results_topic=taken))
    with pytest.raises(SinkUnavailableError, match=f"RESULTS_TOPIC={taken}: Kafka does not create this topic"):
        sink.open()
