"""What ``velox prepare`` leaves in a real Kafka and a real PostgreSQL."""

import uuid

import psycopg
import pytest

from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from velox.errors import BrokerUnavailableError
from velox.kafka.topics import topics_now
from velox.requests.store import RequestStore
from velox.settings import Settings
from velox.tools import prepare


def test_topics_and_tables_are_there_afterwards_and_a_second_time_changes_nothing(
    kafka: KafkaServer, postgres: PostgresServer
) -> None:
    topic = f"prepared-{uuid.uuid4().hex[:8]}"
    database = topic.replace("-", "_")
    postgres.execute("postgres", f"CREATE DATABASE {database}")
    url = postgres.url(database)
    settings = Settings(
        kafka_bootstrap_server=kafka.bootstrap,
        kafka_topic=topic,
        kafka_partitions=5,
        sinks=("requests", "postgres", "kafka"),
        requests_url=url,
        postgres_dsn=url,
    )
    there = prepare.run(settings)
    assert there == [
        *(f"topic {topic}", f"topic {topic}.dlq", f"topic {topic}.results"),
        *("sink requests", "sink postgres"),
    ]
    assert topics_now(settings) == (topic,)
    with psycopg.connect(url) as connection:
        tables = {name for (name,) in connection.execute("SELECT tablename FROM pg_tables")}
    assert {"requests", "prediction_results"} <= tables
    assert prepare.run(settings) == there
    store = RequestStore(url)
    store.open()
    assert store.pending() == {}
    store.close()


def test_a_broker_that_does_not_come_ends_it_in_time() -> None:
    with pytest.raises(BrokerUnavailableError, match=r"^KAFKA_BOOTSTRAP_SERVER=127\.0\.0\.1:1: "):
        prepare.run(Settings(kafka_bootstrap_server="127.0.0.1:1"), wait_s=0)
