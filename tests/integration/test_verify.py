"""What ``velox verify`` asks of a real broker."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.e2e.pipeline import wait_until
from tests.servers.kafka import KafkaServer, TopicFactory
from velox.core.deadline import Deadline
from velox.core.envelope import Codec
from velox.core.letters import VALUE_OMITTED, dead_letter_headers
from velox.errors import BadRecordError, Reason
from velox.kafka.dead_letters import DeadLetters
from velox.kafka.lag import Observer
from velox.kafka.parsing import parse
from velox.kafka.publisher import Publisher
from velox.kafka.topics import remove_topics
from velox.models import numbered
from velox.records import ModelInfo, Partition, Prediction, Record, Result
from velox.settings import Settings
from velox.sinks.images import image_path
from velox.sources.source import Item
from velox.tools.verify.evidence import inspect
from velox.tools.verify.ledger import Ledger, reconcile
from velox.tools.verify.load import Load
from velox.tools.verify.numbered import Records
from velox.tools.verify.plan import Plan
from velox.tools.verify.premises import Premises, establish


class Payloads:
    """A source of these payloads."""

    interval_s: float | None = None

    def __init__(self, *payloads: bytes) -> None:
        self._payloads = payloads

    def __iter__(self) -> Iterator[Item]:
        return (Item(None, {}, payload) for payload in self._payloads)


def settings(kafka: KafkaServer, *, topic: str = "none", group: str = "nobody") -> Settings:
    return Settings(kafka_bootstrap_server=kafka.bootstrap, kafka_topic=topic, kafka_consumer_group=group)


def publish(kafka: KafkaServer, topic: str, numbers: range) -> dict[int, tuple[Partition, int]]:
    """Publish numbers; answer where the broker put each."""
    places: dict[int, tuple[Partition, int]] = {}
    publisher = Publisher(settings(kafka, topic=topic), [topic])
    for number in numbers:

        def acknowledged(partition: Partition, offset: int, number: int = number) -> None:
            places[number] = (partition, offset)

        publisher.publish(b"%d" % number, key=None, headers=(), acknowledged=acknowledged)
    assert publisher.flush(Deadline(20)) == 0
    return places


def test_the_publisher_tells_where_each_record_lies(kafka: KafkaServer, topic: TopicFactory) -> None:
    name = topic(partitions=3)
    places = publish(kafka, name, range(100))
    observer = Observer(settings(kafka))
    lying = {
        int(m.value() or b""): (Partition(m.topic() or "", m.partition() or 0), m.offset())
        for m in observer.read_all(name, within_s=20)
    }
    assert places == lying
    observer.close()


def test_a_topic_is_read_from_where_it_matters(kafka: KafkaServer, topic: TopicFactory) -> None:
    name = topic(partitions=2)
    publish(kafka, name, range(50))
    observer = Observer(settings(kafka))
    since = {partition: extent.high for partition, extent in observer.extents(name).items()}
    publish(kafka, name, range(50, 60))
    read = observer.read_all(name, within_s=20, since=since)
    assert sorted(int(message.value() or b"") for message in read) == list(range(50, 60))
    observer.close()


def test_what_the_broker_refuses_is_not_acknowledged(kafka: KafkaServer) -> None:
    """Every second payload is too large for the topic; each record goes alone, as a refusal takes its batch along."""
    name = f"topic-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name, partitions=2, config={"max.message.bytes": "2000"})
    records = Records("run", Codec.RAW, 0.0, Payloads(b"small", os.urandom(5000)))
    load = Load(settings(kafka, topic=name), Plan(count=6, rate=1e6), records, dict, [name])
    for number in range(6):
        load.publish(number + 1)
        assert load.publisher.flush(Deadline(20)) == 0
    assert load.published == 6
    assert [number in load.acknowledged for number in range(6)] == [True, False] * 3
    observer = Observer(settings(kafka))
    lying = {
        (m.key() or b"").decode(): (m.topic(), m.partition(), m.offset()) for m in observer.read_all(name, within_s=20)
    }
    assert lying == {f"key {number}": load.acknowledged.get(number) for number in (0, 2, 4)}
    assert sum(load.ends.values()) == 3
    observer.close()


def test_while_the_broker_hangs_nothing_is_acknowledged() -> None:
    with KafkaServer() as server:
        server.create_topic("records", partitions=1)
        records = Records("run", Codec.RAW, 0.0, None)
        load = Load(settings(server, topic="records"), Plan(count=5, rate=1e6), records, dict, ["records"])
        load.publish(1)
        assert load.publisher.flush(Deadline(20)) == 0
        os.kill(server.pid, signal.SIGSTOP)
        try:
            load.publish(5)
            assert load.publisher.flush(Deadline(1)) == 4
            assert (load.published, len(load.acknowledged)) == (5, 1)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert load.publisher.flush(Deadline(60)) == 0
        assert len(load.acknowledged) == 5


class Inspected:
    """Four good records and a bad one, published; what is found of them, with what a test puts beside."""

    def __init__(self, kafka: KafkaServer, folder: Path) -> None:
        user = settings(kafka, topic=f"topic-{uuid.uuid4().hex[:8]}").model_copy(
            update={
                "sinks": ("sqlite", "disk"),
                "sqlite_path": folder / "v.db",
                "storage_path": folder,
                "codec": Codec.RAW,
            }
        )
        self.premises = establish(user, Plan(), "run", None)
        self.premises.prepare()
        self.records = Records("run", Codec.RAW, 0.0, None)
        self.load = Load(self.premises.settings, Plan(count=5, rate=1e6), self.records, dict, self.premises.topics)
        self.load.publish(4)
        self.records.poison = 1.0
        self.load.publish(5)
        assert self.load.publisher.flush(Deadline(20)) == 0
        self.letters = DeadLetters(self.premises.settings)
        for name, sink in self.premises.sinks():
            sink.open()
            results = [self.result(number) for number in range(4)]
            sink.write(results if name == "sqlite" else results[:1])
            sink.close()

    def record(self, number: int) -> Record:
        """A record as a consumer gets it."""
        position = self.load.acknowledged.get(number)
        assert position is not None
        observer = Observer(self.premises.settings)
        found = {
            m.offset(): m for m in observer.read_all(position.topic, within_s=20) if m.partition() == position.partition
        }
        observer.close()
        record, _ = parse(found[position.offset], codec=Codec.RAW, max_bytes=10**6)
        return record

    def result(self, number: int) -> Result:
        label = numbered.label(number)
        return Result(
            record=self.record(number),
            prediction=Prediction(label, 1.0),
            model=ModelInfo("numbered", "1", numbered.LABELS, "cpu"),
            is_detection=label == numbered.LABELS[0],
            predicted_at=1000.0 + number,
            file_path="",
        )

    def write_letter(self, record: Record) -> None:
        self.letters.write([(record, BadRecordError(Reason.NOT_AN_IMAGE, "html"))])

    def ledger(self, *, since: Mapping[Partition, int] | None = None, premises: Premises | None = None) -> Ledger:
        """Inspect everything; of the letters only what lies beyond ``since``."""
        observer = Observer(self.premises.settings)
        try:
            found = inspect(
                premises or self.premises, self.load, observer, uncommitted=0, dead_letters_since=since or {}
            )
            assert found.problems == []
            return reconcile(found.evidence, self.records)
        finally:
            observer.close()

    def ends(self) -> dict[Partition, int]:
        observer = Observer(self.premises.settings)
        try:
            return {
                partition: extent.high for partition, extent in observer.extents(self.premises.letters_topic).items()
            }
        finally:
            observer.close()


@pytest.fixture
def inspected(kafka: KafkaServer, tmp_path: Path) -> Iterator[Inspected]:
    made = Inspected(kafka, tmp_path)
    yield made
    made.letters.close()
    made.premises.clear("")


def test_what_is_as_it_should_be_is_found_so(inspected: Inspected) -> None:
    inspected.write_letter(inspected.record(4))
    assert inspected.ledger().problems() == []


@pytest.mark.parametrize("what", ["value", "no value", "key", "headers", "position"])
def test_a_dead_letter_that_does_not_carry_its_record_is_found_out(inspected: Inspected, what: str) -> None:
    record = inspected.record(4)
    changes: dict[str, dict[str, Any]] = {
        "value": {"payload": record.payload + b"x"},
        "no value": {"head": b"", "payload": b""},
        "key": {"key": b"another"},
        "headers": {"headers": ()},
        "position": {"position": record.position._replace(offset=record.position.offset + 1)},
    }
    inspected.write_letter(replace(record, **changes[what]))
    assert inspected.ledger().problems() == [f"1 record altered in dead letters: {record.id}"]


def test_a_dead_letter_that_leaves_its_value_behind_and_says_so_is_whole(
    inspected: Inspected, kafka: KafkaServer
) -> None:
    record = inspected.record(4)
    headers: Any = [*dead_letter_headers(record, BadRecordError(Reason.NOT_AN_IMAGE, "html")), (VALUE_OMITTED, b"21")]
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(inspected.premises.letters_topic, None, key=record.key, headers=headers)
    assert producer.flush(20) == 0
    assert inspected.ledger().problems() == []


def test_only_letters_written_since_the_run_began_are_read(inspected: Inspected) -> None:
    inspected.write_letter(inspected.record(4))
    assert inspected.ledger(since=inspected.ends()).missing == {"dead letters": [inspected.records.id(4)]}


def test_what_else_lies_on_the_dead_letter_topic_is_a_stranger_on_our_own_alone(
    inspected: Inspected, kafka: KafkaServer
) -> None:
    inspected.write_letter(inspected.record(4))
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    topic = inspected.premises.letters_topic
    producer.produce(topic, b"no letter", headers=[("velox-dlq-id", b"verify-run-00000001")], partition=0)
    not_text: Any = [(b"\xff", b"")]
    producer.produce(topic, b"no letter", headers=not_text, partition=1)
    assert producer.flush(20) == 0
    strangers = inspected.ledger().strangers
    assert list(strangers) == ["dead letters"] and len(strangers["dead letters"]) == 2
    assert all(identity.startswith(f"{topic}-") for identity in strangers["dead letters"])
    assert inspected.ledger(premises=replace(inspected.premises, own=False)).problems() == []


@pytest.mark.parametrize("what", ["another's", "cut short", "unreadable"])
def test_an_image_that_is_not_the_payload_is_found_out(inspected: Inspected, what: str) -> None:
    inspected.write_letter(inspected.record(4))
    path = Path(image_path(inspected.premises.settings.storage_path, inspected.records.id(0)))
    if what == "unreadable":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(numbered.payload(1) if what == "another's" else path.read_bytes()[:-1])
    assert inspected.ledger().problems() == [f"1 record altered in disk: {inspected.records.id(0)}"]
    if path.is_dir():
        path.rmdir()


def test_topics_and_their_group_are_removed_and_what_is_not_there_is_well(
    kafka: KafkaServer, topic: TopicFactory
) -> None:
    name, group = topic(partitions=1), f"group-{uuid.uuid4().hex[:8]}"
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(name, 0, 0)], asynchronous=False)
    consumer.close()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def groups() -> set[str]:
        return {listing.group_id for listing in admin.list_consumer_groups().result().valid}

    assert group in groups()
    remove_topics(settings(kafka, group=group), [name, f"{name}.dlq"])
    wait_until(lambda: name not in admin.list_topics(timeout=10).topics, what="the topic is gone")
    assert group not in groups()
    remove_topics(settings(kafka, group=group), [name])


def test_a_group_is_removed_once_the_session_of_a_killed_member_ends(kafka: KafkaServer, topic: TopicFactory) -> None:
    name, group = topic(partitions=1), f"group-{uuid.uuid4().hex[:8]}"
    config = {"bootstrap.servers": kafka.bootstrap, "group.id": group, "session.timeout.ms": 6000}
    code = f"from confluent_kafka import Consumer\nc = Consumer({config!r})\nc.subscribe([{name!r}])\nc.poll(60)"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def members() -> int:
        return len(admin.describe_consumer_groups([group])[group].result().members)

    with subprocess.Popen([sys.executable, "-c", code]) as member:
        wait_until(members, what="it has joined")
        member.kill()
    remove_topics(settings(kafka, group=group), [name])
    assert group not in {listing.group_id for listing in admin.list_consumer_groups().result().valid}
