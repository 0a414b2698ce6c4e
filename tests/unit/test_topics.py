"""How a topic is waited for: less and less often, told once in a while, and no longer than somebody wants."""

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from velox.kafka import topics
from velox.kafka.topics import ensure_topic
from velox.settings import Settings

TOO_FEW_BROKERS = KafkaError(KafkaError.INVALID_REPLICATION_FACTOR, "replication factor 3, 1 broker")


class RefusingAdmin:
    """Says at once that there are too few brokers for the topic, as long as the test likes."""

    def __init__(self) -> None:
        self.tries = 0
        self.waits: list[float] = []
        self.client = self

    def list_topics(self, *, timeout: float) -> SimpleNamespace:
        assert timeout > 0
        return SimpleNamespace(topics={})

    def create_topics(self, *_: object, **__: object) -> None:
        self.tries += 1
        raise KafkaException(TOO_FEW_BROKERS)

    def poll(self, timeout: float) -> None:
        self.waits.append(timeout)

    def explain(self, error: KafkaError) -> str:
        return error.str()


def test_a_broker_that_refuses_at_once_is_not_asked_again_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    admin = RefusingAdmin()
    monkeypatch.setattr(topics, "Admin", lambda _settings: admin)
    ensure_topic(Settings(), "image_data", wait_s=float("inf"), is_stopping=lambda: admin.tries == 20)
    assert len(admin.waits) == 20
    assert sum(admin.waits) > 10
    assert max(admin.waits) <= 1, "a stop is noticed"
    (told,) = caplog.messages
    assert "replication factor 3, 1 broker" in told
