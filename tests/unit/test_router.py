"""The router: each record to one version, each answer onward once, and a shadow that nothing depends on."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from tests.fakes import FAKE_MODEL, FakeDispatcher, make_record
from velox.consumer.comparison import Shadow
from velox.consumer.dispatch import Dispatcher
from velox.consumer.router import Router
from velox.core.deadline import Deadline
from velox.core.idleness import Cause
from velox.errors import BadRecordError, InferenceFailedError, Reason
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, Prediction, Record


class Routing:
    """A router over pretended dispatchers, and what it handed on."""

    def __init__(self, *, shadows_label: str = "", room: int = 100) -> None:
        self.main, self.v2, self.v3 = FakeDispatcher(), FakeDispatcher(), FakeDispatcher()
        self.answers: list[Answered] = []
        self.metrics = ConsumerMetrics()
        self.shadow = None
        if shadows_label:
            self.shadow = Shadow(
                "v3", cast("Dispatcher", self.v3), self.metrics, most_records=room, most_bytes=1_000_000
            )
        versions = cast("dict[str, Dispatcher]", {"main": self.main, "v2": self.v2})
        self.router = Router(versions, {"main": 70, "v2": 30}, "main", self.shadow)
        self.router.start(self.answers.extend)
        self._label = shadows_label

    def submit(self, count: int, *, payload: bytes = b"payload", version: str = "") -> list[Record]:
        headers = [("velox-model-version", version.encode())] if version else []
        records = [make_record(offset, payload=payload, headers=headers) for offset in range(count)]
        self.router.submit(records)
        return records

    def answer_as_shadow(self, records: Sequence[Record]) -> None:
        hear = cast("Callable[[list[Answered]], None]", self.v3._answered)
        hear([Answered(record, Prediction(self._label, 0.5), FAKE_MODEL) for record in records])

    def counted(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("velox_shadow_total", {"model": "v3", "outcome": outcome}) or 0


def test_every_record_is_answered_once_by_the_version_that_its_result_names() -> None:
    routing = Routing()

    records = routing.submit(1000)

    assert sorted(each.record.position for each in routing.answers) == [each.position for each in records]
    named = Counter(each.model.version for each in routing.answers if each.model)
    assert named == {"main": len(routing.main.records), "v2": len(routing.v2.records)}
    assert 200 < named["v2"] < 400


def test_a_record_that_asks_for_a_version_gets_it() -> None:
    routing = Routing()

    routing.submit(20, version="v2")

    assert len(routing.v2.records) == 20


def test_a_record_that_asks_for_a_version_that_there_is_not_is_refused_by_name() -> None:
    routing = Routing()

    routing.submit(1, version="v9")

    [only] = routing.answers
    assert isinstance(only.answer, BadRecordError)
    assert only.answer.reason is Reason.UNKNOWN_VERSION
    assert "'v9'" in only.answer.detail
    assert "main, v2" in only.answer.detail


def test_what_a_dispatcher_is_asked_all_versions_answer() -> None:
    routing = Routing(shadows_label="red_circle")
    routing.main.in_hand, routing.v2.in_hand, routing.v3.in_hand = 3, 4, 50
    routing.v3.is_warm, routing.v3.ready_processes, routing.v3.stuck_because = False, 0, "the shadow hangs"
    routing.v2.ready_processes = 2

    assert (routing.router.in_hand, routing.router.ready_processes, routing.router.is_warm) == (7, 1, True)
    assert routing.router.stuck() is None
    routing.router.lacks_because(Cause.NO_WORK)
    assert routing.main.lacks == routing.v2.lacks == [Cause.NO_WORK]
    routing.v2.stuck_because, routing.v2.is_warm = "it hangs", False
    assert (routing.router.stuck(), routing.router.is_warm) == ("it hangs", False)


def test_a_version_that_cannot_go_on_is_named() -> None:
    routing = Routing()
    routing.v2.failure = InferenceFailedError("it keeps dying")

    assert isinstance(routing.router.failure, InferenceFailedError)
    assert str(routing.router.failure) == "version v2: it keeps dying"


def test_all_are_closed_also_when_one_does_not_end() -> None:
    routing = Routing(shadows_label="red_circle")
    routing.main.ends = False

    assert not routing.router.close(Deadline(5))
    assert None not in {each.given_to_end_s for each in (routing.main, routing.v2, routing.v3)}


@pytest.mark.parametrize(("label", "outcome"), [("red_circle", "agreed"), ("blue_square", "disagreed")])
def test_a_shadows_answers_are_compared_and_handed_to_nobody(label: str, outcome: str) -> None:
    routing = Routing(shadows_label=label)

    held = routing.submit(10, payload=b"hold")
    assert routing.counted(outcome) == 0
    for dispatcher, name in ((routing.main, "main"), (routing.v2, "v2")):
        routing.router._hear(
            name, [Answered(record, Prediction("red_circle", 0.9), FAKE_MODEL) for record in dispatcher.records]
        )
    routing.answer_as_shadow(held)

    assert routing.counted(outcome) == 10
    assert len(routing.answers) == 10
    assert routing.shadow is not None
    report = routing.shadow.report()
    assert report["agreement"] == (1 if outcome == "agreed" else 0)
    assert report["drift"] == pytest.approx(0.4)
    assert len(report["examples"]) == (0 if outcome == "agreed" else 10)


def test_a_shadow_without_room_misses_records_that_are_answered_all_the_same() -> None:
    routing = Routing(shadows_label="red_circle", room=4)

    held = routing.submit(10, payload=b"hold")

    assert len(routing.v3.records) == 4
    assert routing.counted("skipped") == 6
    assert len(routing.main.records) + len(routing.v2.records) == len(held)


def test_a_shadow_that_fails_switches_only_itself_off(caplog: pytest.LogCaptureFixture) -> None:
    routing = Routing(shadows_label="red_circle")
    routing.submit(3, payload=b"hold")
    routing.v3.failure = InferenceFailedError("it keeps dying")

    routing.submit(5)
    routing.submit(5)

    assert len(routing.answers) == 10
    assert routing.router.failure is None
    assert (routing.counted("failed"), routing.counted("skipped")) == (3, 10)
    assert [message for message in caplog.messages if "switched off" in message] == [
        "The shadow v3 is switched off, all else goes on: it keeps dying"
    ]
