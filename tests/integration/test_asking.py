"""The gateway's Kafka client against real brokers: every record is answered for, whatever becomes of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from tests.e2e.pipeline import read_all
from tests.servers.kafka import KafkaServer, TopicFactory
from tests.servers.process import free_port
from velox.core.deadline import Deadline
from velox.errors import BadRecordError, BrokerUnavailableError
from velox.kafka.asking import Asker
from velox.settings import Settings

Answers = SimpleQueue[BrokerUnavailableError | None]


@contextmanager
def asker(bootstrap: str, *, accept_timeout_s: float = 20) -> Iterator[Asker]:
    settings = Settings(kafka_bootstrap_server=bootstrap, max_message_bytes=100_000)
    made = Asker(settings, accept_timeout_s=accept_timeout_s)
    try:
        yield made
    finally:
        made.close(Deadline(0))


def test_each_record_is_acknowledged_with_its_key_and_headers(kafka: KafkaServer, topic: TopicFactory) -> None:
    name, answers = topic(2), Answers()
    with asker(kafka.bootstrap) as asking:
        for number in range(200):
            key = b"key-%d" % number
            asking.ask(name, key=key, value=b"v", headers=[("velox-id", key)], answered=answers.put)
        assert [answers.get(timeout=60) for _ in range(200)] == [None] * 200
        assert asking.waiting == 0
    records = read_all(kafka.bootstrap, name, {})
    assert {record.key() for record in records} == {b"key-%d" % number for number in range(200)}
    assert all(record.headers() == [("velox-id", record.key())] for record in records)


def test_threads_may_ask_at_once(kafka: KafkaServer, topic: TopicFactory) -> None:
    name, answers = topic(2), Answers()
    with asker(kafka.bootstrap) as asking:

        def ask() -> None:
            for _ in range(100):
                asking.ask(name, key=b"k", value=b"v", headers=[], answered=answers.put)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert [answers.get(timeout=60) for _ in range(400)] == [None] * 400
        for thread in threads:
            thread.join()


def test_a_broker_that_is_not_there_is_told_within_the_time(topic: TopicFactory) -> None:
    answers, port = Answers(), free_port()
    with asker(f"127.0.0.1:{port}", accept_timeout_s=0.5) as asking:
        asking.ask(topic(1), key=b"k", value=b"v", headers=[], answered=answers.put)
        answer = answers.get(timeout=60)
        assert isinstance(answer, BrokerUnavailableError)
        assert "ACCEPT_TIMEOUT_S=0.5" in str(answer)
        assert f"127.0.0.1:{port} cannot be reached" in str(answer)
        with pytest.raises(BrokerUnavailableError, match="cannot be reached"):
            asking.check("any", 0.5)


def test_a_topic_that_is_not_there_is_told(kafka: KafkaServer) -> None:
    answers = Answers()
    with asker(kafka.bootstrap, accept_timeout_s=2) as asking:
        asking.ask("no-such-topic", key=b"k", value=b"v", headers=[], answered=answers.put)
        assert isinstance(answers.get(timeout=60), BrokerUnavailableError)


def test_a_record_that_is_too_large_is_refused_at_once(kafka: KafkaServer, topic: TopicFactory) -> None:
    with asker(kafka.bootstrap) as asking, pytest.raises(BadRecordError, match="MAX_MESSAGE_BYTES"):
        asking.ask(topic(1), key=b"k", value=b"v" * 200_000, headers=[], answered=lambda _error: None)


def test_a_client_that_has_failed_for_good_is_replaced(kafka: KafkaServer, topic: TopicFactory) -> None:
    name, answers = topic(1), Answers()
    with asker(kafka.bootstrap) as asking:
        before = asking._producer
        asking._has_failed.set()
        while asking._producer is before:
            asking.ask(name, key=b"k", value=b"v", headers=[], answered=answers.put)
            answers.get(timeout=60)  # delivered, or thrown away with the client
        asking.ask(name, key=b"k", value=b"v", headers=[], answered=answers.put)
        assert answers.get(timeout=60) is None


def test_closing_waits_for_the_answers(kafka: KafkaServer, topic: TopicFactory) -> None:
    name, answers = topic(1), Answers()
    asking = Asker(Settings(kafka_bootstrap_server=kafka.bootstrap), accept_timeout_s=20)
    for _ in range(50):
        asking.ask(name, key=b"k", value=b"v", headers=[], answered=answers.put)
    assert asking.close(Deadline(30)) == 0
    assert asking.close(Deadline(30)) == 0
    assert [answers.get_nowait() for _ in range(50)] == [None] * 50
