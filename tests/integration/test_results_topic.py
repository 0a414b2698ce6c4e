"""The sink kafka on a real broker: what readers of the results topic find there."""

import json
import secrets
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # exported at run time only
from confluent_kafka.cimpl import NewTopic

from tests.e2e.pipeline import read_all
from tests.results import make_result, make_results
from tests.servers.kafka import KafkaServer, TopicFactory
from velox.errors import RefusedResultsError, SinkUnavailableError
from velox.settings import Settings
from velox.sinks.documents import document
from velox.sinks.kafka import KafkaSink, results_topic


@pytest.fixture
def settings(kafka: KafkaServer, topic: TopicFactory) -> Settings:
    return Settings(
        kafka_bootstrap_server=kafka.bootstrap, kafka_topic=topic(1), kafka_partitions=3, max_message_bytes=2_000_000
    )


@pytest.fixture
def sink(settings: Settings) -> Iterator[KafkaSink]:
    sink = KafkaSink(settings)
    sink.open()
    yield sink
    sink.close()


def admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka_bootstrap_server})


def test_every_result_is_there_when_write_returns(sink: KafkaSink, settings: Settings) -> None:
    sink.write(make_results(500))
    messages = read_all(settings.kafka_bootstrap_server, results_topic(settings))
    found = {(message.key() or b"").decode(): json.loads(message.value() or b"") for message in messages}
    assert found == {result.id: document(result) for result in make_results(500)}


def test_a_replay_adds_equal_messages_under_the_same_keys_in_the_same_partition(
    sink: KafkaSink, settings: Settings
) -> None:
    for _ in range(2):
        sink.write(make_results(20))
    messages = read_all(settings.kafka_bootstrap_server, results_topic(settings))
    assert len(messages) == 40, "a log keeps both: only a reader, or compaction, keeps one per key"
    assert len({(message.key(), message.value(), message.partition()) for message in messages}) == 20


def test_the_topic_is_created_as_the_settings_say(sink: KafkaSink, settings: Settings) -> None:
    name = results_topic(settings)
    assert sink.name == "kafka"
    client = admin(settings)
    assert len(client.list_topics(name, timeout=10).topics[name].partitions) == settings.kafka_partitions
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    limit = client.describe_configs([resource])[resource].result(10)["max.message.bytes"].value
    assert int(limit or 0) > settings.max_message_bytes


def test_a_topic_that_is_deleted_while_running_is_made_anew(kafka: KafkaServer, topic: TopicFactory) -> None:
    settings = Settings(kafka_bootstrap_server=kafka.bootstrap, kafka_topic=topic(1), sink_timeout_s=5)
    sink = KafkaSink(settings)
    sink.open()
    sink.write(make_results(1))
    client = admin(settings)
    client.delete_topics([results_topic(settings)])[results_topic(settings)].result(10)
    for _ in range(30):
        try:
            sink.write(make_results(3))
            break
        except SinkUnavailableError:
            continue
    sink.close()
    assert len(read_all(settings.kafka_bootstrap_server, results_topic(settings))) == 3


def test_a_result_larger_than_its_topic_takes_is_refused_by_id_and_its_neighbours_are_stored(
    settings: Settings,
) -> None:
    name = results_topic(settings)
    narrow = NewTopic(name, num_partitions=1, config={"max.message.bytes": "1000"})
    client = admin(settings)
    client.create_topics([narrow])[name].result(10)
    sink = KafkaSink(settings)
    sink.open()
    large = make_result(0, label=secrets.token_hex(5000))
    with pytest.raises(RefusedResultsError) as refused:
        sink.write([make_result(1), large, make_result(2)])
    assert refused.value.refused.keys() == {large.id}
    assert f"and {name} takes 1000" in refused.value.refused[large.id]
    assert len(read_all(settings.kafka_bootstrap_server, name)) == 2
    sink.write([make_result(3)])
    sink.close()
    assert len(read_all(settings.kafka_bootstrap_server, name)) == 3
