"""How ``velox verify`` loads the topic: what it counts as acknowledged, and what it has to remember of each record."""

import tracemalloc
from collections.abc import Iterator, Mapping

import pytest

from tests.fakes import FakePublisher
from velox.core.envelope import Codec
from velox.models import numbered
from velox.records import Partition, Position
from velox.settings import Settings
from velox.sinks.sink import Stored
from velox.tools.verify import load
from velox.tools.verify.findings import DeadLetter, InDeadLetters, InSink
from velox.tools.verify.ledger import Evidence, reconcile
from velox.tools.verify.load import Load
from velox.tools.verify.numbered import Records
from velox.tools.verify.places import Places
from velox.tools.verify.plan import Plan

TOPIC = Settings().kafka_topic


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> FakePublisher:
    made = FakePublisher()
    monkeypatch.setattr(load, "Publisher", lambda *_, **__: made)
    return made


def nothing_committed() -> Mapping[Partition, int]:
    return {}


def test_a_record_is_acknowledged_when_the_broker_says_so_and_not_when_it_is_sent(publisher: FakePublisher) -> None:
    run = Load(Settings(), Plan(count=3), Records("run", Codec.RAW, 0.0, None), nothing_committed, [TOPIC])
    run.publish(3)
    assert len(publisher.sent) == run.published == 3
    assert len(run.acknowledged) == 0
    assert run.ends == {}
    publisher.answer(1, 4, 70)
    publisher.refuse(0)
    assert [number in run.acknowledged for number in range(3)] == [False, True, False]
    assert run.acknowledged.get(1) == Position(TOPIC, 4, 70)
    assert run.ends == {Partition(TOPIC, 4): 71}
    publisher.answer(2, 4, 9)
    assert len(run.acknowledged) == 2
    assert run.ends == {Partition(TOPIC, 4): 71}, "answers may come in any order"


def test_places_are_noted_in_any_order_and_only_once_they_are_known() -> None:
    places = Places()
    assert (len(places), 3 in places, places.get(3)) == (0, False, None)
    places.put(3, Partition("topic", 1), 0)
    places.put(0, Partition("topic", 0), 12)
    assert len(places) == 2
    assert [places.get(number) for number in range(5)] == [("topic", 0, 12), None, None, ("topic", 1, 0), None]


def test_a_run_of_millions_takes_some_bytes_a_record() -> None:
    """Ten million are allowed: with an object for each they would not fit into memory."""
    count = 5_000

    def rows() -> Iterator[Stored]:
        for number in range(count):
            label = numbered.label(number)
            position = (TOPIC, number % 6, number)
            yield Stored(records.id(number), label, label == numbered.LABELS[0], position, float(number))

    tracemalloc.start()
    try:
        records = Records("run", Codec.FRAMED, 0.001, None)
        places = Places()
        for number in range(count):
            records.build(number)
            places.put(number, Partition(TOPIC, number % 6), number)
        sinks = {name: InSink(records, places, count, takes_all=True) for name in ("mongo", "sqlite")}
        for sink in sinks.values():
            sink.read(row for row in rows() if records.due(int(row.id[-8:])) == "stored")
        letters = InDeadLetters(records, count)
        bad = [(number, due) for number in range(count) if (due := records.due(number)) and due != "stored"]
        letters.read(DeadLetter(records.id(number), due) for number, due in bad)
        assert reconcile(Evidence(count, places, sinks, letters, 0), records).problems() == []
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes / count < 60


def test_records_of_one_key_go_to_one_topic_and_every_topic_gets_some(publisher: FakePublisher) -> None:
    topics = [f"camera_{number}" for number in range(20)]
    run = Load(Settings(), Plan(count=128, rate=1e6), Records("run", Codec.RAW, 0.0, None), nothing_committed, topics)
    while run.published < 128:
        run.publish(128)
    assert set(publisher.topics) == set(topics)
    assert publisher.topics[:64] == publisher.topics[64:], "the keys repeat"
