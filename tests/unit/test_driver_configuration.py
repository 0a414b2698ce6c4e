"""These settings become this driver configuration, for every client: all of it, so that nothing goes unnoticed."""

from collections.abc import Callable
from typing import Any, Literal

import pytest

from velox.kafka import client, contents, damage, delivery, ends, lag, publisher, replayer, transactions
from velox.kafka.dead_letters import DeadLetters
from velox.kafka.heeding import Heeding
from velox.kafka.membership import consumer_config
from velox.records import Partition
from velox.settings import MIB, Settings

SETTINGS = Settings(
    kafka_bootstrap_server="broker.example:9092",
    kafka_consumer_group="readers",
    max_message_bytes=40 * MIB,
    compression_type="lz4",
    sink_timeout_s=7.5,
    session_timeout_ms=9000,
    max_poll_interval_ms=12_000,
    fetch_wait_ms=250,
    auto_offset_reset="latest",
    damaged_batches="skip",
)
P0 = Partition("image_data", 0)


class MadeError(Exception):
    """Ends whoever makes a client: its configuration is known."""


Configuration = Callable[[Callable[[], object]], dict[str, Any]]


@pytest.fixture
def configuration(monkeypatch: pytest.MonkeyPatch) -> Configuration:
    """Answers with what a client is made, of those that something makes."""
    given: list[dict[str, Any]] = []

    def make(config: dict[str, Any]) -> None:
        given.append(config)
        raise MadeError

    for module in (client, contents, damage, delivery, lag, publisher, replayer, transactions):
        for name in {"Consumer", "Producer"} & vars(module).keys():
            monkeypatch.setattr(module, name, make)
    monkeypatch.setattr(ends, "AdminClient", make)
    monkeypatch.setattr(client, "lag_client", lambda _settings: None)

    def of(whoever: Callable[[], object]) -> dict[str, Any]:
        with pytest.raises(MadeError):
            whoever()
        (config,) = given
        return config

    return of


def common(client_id: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": "broker.example:9092",
        "client.id": client_id,
        "security.protocol": "PLAINTEXT",
        "log_level": 0,
    }


def without_callbacks(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if not callable(value)}


def test_the_consumer_commits_only_what_it_is_told_to(configuration: Configuration) -> None:
    config = configuration(lambda: client.KafkaClient(SETTINGS))
    assert without_callbacks(config) == {
        **common("velox-consumer"),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "group.id": "readers",
        "auto.offset.reset": "latest",
        "allow.auto.create.topics": False,
        "max.poll.interval.ms": 12_000,
        "session.timeout.ms": 9000,
        "heartbeat.interval.ms": 2250,
        "partition.assignment.strategy": "cooperative-sticky",
        "socket.timeout.ms": 15_000,
        "topic.metadata.refresh.interval.ms": 10_000,
        "fetch.wait.max.ms": 250,
        "fetch.message.max.bytes": 40 * MIB,
        "fetch.max.bytes": 40 * MIB,
        "receive.message.max.bytes": 100_000_000,
        "queued.max.messages.kbytes": 32 * 1024,
        "fetch.queue.backoff.ms": 5,
    }
    assert config["on_commit"].__name__ == "answered"
    assert config["error_cb"].__func__ is Heeding.client


@pytest.mark.parametrize(
    ("protocol", "membership"),
    [
        ("cooperative-sticky", {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 9000}),
        ("range", {"partition.assignment.strategy": "range", "session.timeout.ms": 9000}),
        ("consumer", {"group.protocol": "consumer"}),
    ],
)
@pytest.mark.parametrize("name", ["none", "consumer-0"])
def test_a_member_of_the_group_is_as_the_settings_say(
    protocol: Literal["cooperative-sticky", "range", "consumer"], name: str, membership: dict[str, Any]
) -> None:
    settings = SETTINGS.model_copy(update={"group_protocol": protocol, "group_instance_id": name})
    config = consumer_config(settings, on_commit=print, on_error=print)
    names = ("partition.assignment.strategy", "session.timeout.ms", "group.protocol", "group.instance.id")
    assert {key: config[key] for key in names if key in config} == membership | (
        {} if name == "none" else {"group.instance.id": "consumer-0"}
    )


def test_the_producer_publishes_in_order_without_doubles_once_all_replicas_have_it(
    configuration: Configuration,
) -> None:
    config = configuration(lambda: publisher.Publisher(SETTINGS, ["image_data"]))
    assert without_callbacks(config) == {
        **common("velox-producer"),
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "message.max.bytes": 40 * MIB,
        "queue.buffering.max.kbytes": 80 * 1024,
        "linger.ms": 5,
    }
    assert config["error_cb"].__name__ == "_on_client_error"


def test_results_are_delivered_within_the_time_of_a_sink(configuration: Configuration) -> None:
    made = configuration(lambda: delivery.Delivery(SETTINGS, "velox-results", max_message_bytes=1000))
    assert without_callbacks(made) == {
        **common("velox-results"),
        "enable.idempotence": True,
        "compression.type": "lz4",
        "message.max.bytes": 1000,
        "batch.size": 1000,
        "queue.buffering.max.kbytes": 64 * 1024,
        "message.timeout.ms": 7500,
        "linger.ms": 5,
    }


def test_a_dead_letter_may_be_as_large_as_a_record_and_what_is_said_of_it(configuration: Configuration) -> None:
    assert without_callbacks(configuration(lambda: DeadLetters(SETTINGS))) == {
        **common("velox-dead-letters"),
        "enable.idempotence": True,
        "compression.type": "lz4",
        "message.max.bytes": 41 * MIB,
        "batch.size": 1_000_000,
        "queue.buffering.max.kbytes": 82 * 1024,
        "message.timeout.ms": 7500,
        "linger.ms": 5,
    }


def test_a_transaction_of_a_consumer_that_was_killed_ends_with_its_session(configuration: Configuration) -> None:
    made = configuration(lambda: transactions.TransactionalProducer(SETTINGS, "readers-image_data-1"))
    assert without_callbacks(made) == {
        **common("velox-results"),
        "transactional.id": "readers-image_data-1",
        "transaction.timeout.ms": 9000,
        "compression.type": "lz4",
        "message.max.bytes": 40 * MIB,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": 0,
        "linger.ms": 5,
        "metadata.recovery.strategy": "none",
    }


def test_what_is_replayed_is_refused_alone(configuration: Configuration) -> None:
    assert without_callbacks(configuration(lambda: replayer.Replayer(SETTINGS))) == {
        **common("velox-dlq"),
        "enable.idempotence": True,
        "compression.type": "lz4",
        "message.max.bytes": 41 * MIB + 64 * 1024,
        "message.timeout.ms": 7500,
        "batch.num.messages": 1,
    }


def test_who_only_looks_at_a_group_changes_nothing_of_it(configuration: Configuration) -> None:
    assert without_callbacks(configuration(lambda: lag.Observer(SETTINGS))) == {
        **common("velox-observer"),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "group.id": "readers",
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 10,
    }


def test_who_reads_a_topic_to_its_end_sees_what_is_committed_and_commits_nothing(configuration: Configuration) -> None:
    assert without_callbacks(configuration(lambda: list(contents.contents(SETTINGS, "image_data", within_s=1)))) == {
        **common("velox-reader"),
        "enable.auto.commit": False,
        "group.id": "velox-reader",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 10,
    }


def test_who_looks_for_the_end_of_damage_reads_records_as_large_as_any_and_commits_nothing(
    configuration: Configuration,
) -> None:
    assert without_callbacks(configuration(lambda: damage.first_readable(SETTINGS, P0, 7))) == {
        **common("velox-damage"),
        "enable.auto.commit": False,
        "group.id": "readers",
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.error.backoff.ms": 10,
        "fetch.wait.max.ms": 10,
        "fetch.message.max.bytes": 40 * MIB,
    }


def test_who_asks_for_the_lag_is_configured_like_every_client(configuration: Configuration) -> None:
    assert without_callbacks(configuration(lambda: ends.lag_client(SETTINGS))) == common("velox-lag")
