"""Where the producer's client sends what it is given."""

from collections import Counter
from typing import Any

import pytest

from velox.kafka import publisher
from velox.kafka.publisher import Publisher
from velox.settings import ClientSettings

TOPICS = ("camera_1", "camera_2", "camera_3")


class FakeProducer:
    """Takes everything."""

    def __init__(self, _config: dict[str, Any]) -> None:
        self.sent: list[str] = []

    def produce(self, topic: str, _value: bytes, **_more: object) -> None:
        self.sent.append(topic)

    def poll(self, _timeout_s: float) -> None:
        """Nothing comes."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> tuple[Publisher, list[str]]:
    monkeypatch.setattr(publisher, "Producer", FakeProducer)
    made = Publisher(ClientSettings(), TOPICS)
    fake: Any = made._producer
    return made, fake.sent


def test_several_topics_take_their_turns(sent: tuple[Publisher, list[str]]) -> None:
    made, topics = sent
    for _ in range(6):
        made.publish(b"", key=None, headers=[])
    assert topics == [*TOPICS, *TOPICS]


def test_a_key_stays_in_its_topic(sent: tuple[Publisher, list[str]]) -> None:
    made, topics = sent
    keys = [b"key %d" % (number % 30) for number in range(90)]
    for key in keys:
        made.publish(b"", key=key, headers=[])
    assert all(count == 3 for count in Counter(zip(keys, topics, strict=True)).values())
    assert set(topics) == set(TOPICS)


def test_a_topic_that_is_named_is_the_one(sent: tuple[Publisher, list[str]]) -> None:
    made, topics = sent
    made.publish(b"", key=b"key", headers=[], topic="camera_9")
    assert topics == ["camera_9"]
