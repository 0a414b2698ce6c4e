"""The topics of a pattern come and go while a consumer runs."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from tests.e2e.pipeline import wait_until
from tests.fakes import FakeClock
from velox.core.subscription import subscription
from velox.kafka.matching import LOOK_EVERY_S, Matching

CAMERAS = subscription(r"^camera_\d+$")


class ScriptedAdmin:
    """Knows the topics that a test gives it; None = it does not answer."""

    def __init__(self, *topics: str) -> None:
        self.topics: tuple[str, ...] | None = topics
        self.asked = 0

    def list_topics(self, *, timeout: float) -> Any:  # noqa: ANN401 - the driver's metadata
        assert timeout > 0
        self.asked += 1
        if self.topics is None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return SimpleNamespace(topics=dict.fromkeys(self.topics))


def made(admin: ScriptedAdmin, clock: FakeClock, *there: str) -> Matching:
    matching = Matching(CAMERAS, cast("AdminClient", admin), clock=clock)
    matching.start(there)
    return matching


def changes(matching: Matching, admin: ScriptedAdmin, clock: FakeClock) -> bool:
    """Whether the next answer, once it is there, is another."""
    before = admin.asked
    clock.advance(LOOK_EVERY_S)
    first = matching.has_changed()
    wait_until(lambda: admin.asked > before and not matching._is_asking, what="it was asked")
    return matching.has_changed() or first


def test_a_new_topic_is_found_and_one_that_has_gone_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock, admin = FakeClock(), ScriptedAdmin("camera_1", "camera_2", "image_data")
    matching = made(admin, clock, "camera_1")
    assert changes(matching, admin, clock)
    assert matching.topics == ("camera_1", "camera_2")
    assert not changes(matching, admin, clock), "nothing is new"
    admin.topics = ("camera_2",)
    assert changes(matching, admin, clock)
    assert list(matching.topics) == ["camera_2"]
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        r"KAFKA_TOPIC=^camera_\d+$ matches camera_1",
        r"KAFKA_TOPIC=^camera_\d+$ matches camera_2 too",
        r"KAFKA_TOPIC=^camera_\d+$: camera_1 gone from Kafka",
    ]


def test_it_is_not_asked_more_often_than_every_two_seconds() -> None:
    clock, admin = FakeClock(), ScriptedAdmin("camera_1")
    matching = made(admin, clock, "camera_1")
    changes(matching, admin, clock)
    for _ in range(10):
        matching.has_changed()
    assert admin.asked == 1
    changes(matching, admin, clock)
    assert admin.asked == 2


def test_a_broker_that_is_away_changes_nothing() -> None:
    clock, admin = FakeClock(), ScriptedAdmin()
    admin.topics = None
    matching = made(admin, clock, "camera_1")
    assert not changes(matching, admin, clock)
    assert matching.topics == ("camera_1",)
    admin.topics = ("camera_1", "camera_2")
    assert changes(matching, admin, clock)


def test_that_nothing_matches_is_said_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    clock, admin = FakeClock(), ScriptedAdmin("image_data")
    matching = made(admin, clock)
    for _ in range(5):
        changes(matching, admin, clock)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [r"No topic matches KAFKA_TOPIC=^camera_\d+$; one is read as soon as it is there"]
