"""The producer against a real broker, and against the embedded one."""

import json
import os
import signal
import struct
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined] # not in its __all__

from tests.e2e.pipeline import Program, headers, read_all, wait_until
from tests.servers.kafka import KafkaServer, TopicFactory
from velox.errors import BrokerUnavailableError
from velox.kafka.lag import Observer
from velox.kafka.topics import ensure_topic
from velox.settings import Settings

JPEG_MAGIC = b"\xff\xd8\xff"


@pytest.fixture
def produce(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts producers; keyword arguments are settings."""
    started: list[Program] = []

    def start(*args: str, **settings: object) -> Program:
        env = {"PATH": os.environ["PATH"], **{name: str(value) for name, value in settings.items()}}
        started.append(Program("producer", *args, folder=tmp_path, env=env))
        return started[-1]

    yield start
    for program in started:
        program.end()


def unpack(message: Message) -> tuple[dict[str, object], bytes]:
    """Take a value apart by the documented layout alone."""
    value = message.value() or b""
    (length,) = struct.unpack(">I", value[:4])
    return json.loads(value[4 : 4 + length]), value[4 + length :]


def test_what_arrives_has_the_documented_layout(
    kafka: KafkaServer, topic: TopicFactory, produce: Callable[..., Program]
) -> None:
    name, before = topic(), time.time()
    program = produce("--count", "40", "--rate", "0", KAFKA_BOOTSTRAP_SERVER=kafka.bootstrap, KAFKA_TOPIC=name)
    assert program.process.wait(30) == 0, program.output
    assert program.says("Delivered 40 of 40 records (0 failed)")
    messages = read_all(kafka.bootstrap, name)
    assert len(messages) == 40
    assert len({headers(message)["velox-id"] for message in messages}) == 40
    labels: list[object] = []
    for message in messages:
        metadata, payload = unpack(message)
        assert message.key() is None
        assert metadata.keys() == {"timestamp", "shape_label", "color_label", "dtype"}
        assert metadata["dtype"] == "jpeg"
        assert isinstance(metadata["timestamp"], float)
        assert before <= metadata["timestamp"] <= time.time()
        image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == (512, 512, 3)
        labels.append((metadata["color_label"], metadata["shape_label"]))
    assert {label: labels.count(label) for label in labels} == {
        (color, shape): 10 for color in ("red", "green") for shape in ("circle", "square")
    }


def test_a_missing_topic_is_created_and_said_so(kafka: KafkaServer, produce: Callable[..., Program]) -> None:
    name = f"made-{uuid.uuid4().hex[:8]}"
    settings = {"KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap, "KAFKA_TOPIC": name, "KAFKA_PARTITIONS": 3}
    program = produce("--count", "1", MAX_MESSAGE_BYTES=3_000_000, **settings)
    assert program.process.wait(30) == 0, program.output
    assert program.says(f"Created topic {name}: 3 partitions")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    assert len(admin.list_topics(timeout=10).topics[name].partitions) == 3
    (described,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name)]).values()
    limit = int(described.result(timeout=10)["max.message.bytes"].value)
    assert 3_000_000 < limit < 3_200_000


def test_a_topic_that_is_there_stays_as_it_is(
    kafka: KafkaServer, topic: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    name = topic(2)
    with caplog.at_level("INFO"):
        ensure_topic(Settings(kafka_bootstrap_server=kafka.bootstrap, kafka_partitions=9, max_message_bytes=1024), name)
    assert not caplog.messages
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    assert len(admin.list_topics(timeout=10).topics[name].partitions) == 2


def images(folder: Path, sizes: list[int]) -> Path:
    """A folder of JPEG files of these sizes in bytes, as far as the producer can tell."""
    folder.mkdir()
    for number, size in enumerate(sizes):
        (folder / f"{number}.jpg").write_bytes(JPEG_MAGIC.ljust(size, b"\0"))
    return folder


def test_a_record_too_large_costs_only_itself(
    kafka: KafkaServer, topic: TopicFactory, produce: Callable[..., Program], tmp_path: Path
) -> None:
    name, lines = topic(), tmp_path / "lines.txt"
    # The source skips longer lines; in these there is no room for what a record carries beside its payload.
    lines.write_text("\n".join("x" * size for size in (100, 9_990, 200, 9_995, 300)))
    program = produce(
        *("--source", f"lines:{lines}", "--rate", "0"),
        KAFKA_BOOTSTRAP_SERVER=kafka.bootstrap,
        KAFKA_TOPIC=name,
        MAX_MESSAGE_BYTES=10_000,
    )
    assert program.process.wait(30) == 1, program.output
    assert program.says("Delivered 3 of 5 records (2 failed)")
    assert program.output.count("Delivery failed") == 1, "the first of a kind is logged, the others are counted"
    assert program.says("MAX_MESSAGE_BYTES")
    assert sorted(len(unpack(message)[1]) for message in read_all(kafka.bootstrap, name)) == [100, 200, 300]


def test_a_record_too_large_for_the_topic_is_a_failed_delivery(
    kafka: KafkaServer, produce: Callable[..., Program], tmp_path: Path
) -> None:
    name, folder = f"narrow-{uuid.uuid4().hex[:8]}", images(tmp_path / "images", [100, 50_000])
    kafka.create_topic(name, partitions=1, config={"max.message.bytes": "20000"})
    settings = {"KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap, "KAFKA_TOPIC": name, "COMPRESSION_TYPE": "none"}
    program = produce("--source", f"folder:{folder}", "--rate", "5", **settings)
    assert program.process.wait(30) == 1, program.output
    # Kafka refuses a batch whole, and both may have been in one.
    failed = 2 - len(read_all(kafka.bootstrap, name))
    assert failed >= 1
    assert program.says(f"Delivered {2 - failed} of 2 records ({failed} failed)")
    assert program.says("max.message.bytes")


def records_in(bootstrap: str, topic: str) -> int:
    observer = Observer(Settings(kafka_bootstrap_server=bootstrap, kafka_consumer_group="nobody"))
    try:
        return sum(extent.high for extent in observer.extents(topic).values())
    except BrokerUnavailableError:  # a topic that was made a moment ago has no leaders yet
        return 0
    finally:
        observer.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_everything_delivered(
    kafka: KafkaServer, topic: TopicFactory, produce: Callable[..., Program], number: int
) -> None:
    name = topic()
    program = produce("--rate", "0", KAFKA_BOOTSTRAP_SERVER=kafka.bootstrap, KAFKA_TOPIC=name)
    program.wait_until_it_says("Producing shapes")
    wait_until(lambda: records_in(kafka.bootstrap, name) > 100, what="a producer under way")
    assert program.stop(number) == 0, program.output
    count = records_in(kafka.bootstrap, name)
    assert program.says(f"Delivered {count} of {count} records (0 failed)")


def test_it_waits_for_a_broker_that_is_not_up_yet_and_outlives_its_death(produce: Callable[..., Program]) -> None:
    server = KafkaServer()
    try:
        program = produce("--count", "150", "--rate", "50", KAFKA_BOOTSTRAP_SERVER=server.bootstrap)
        program.wait_until_it_says("does not answer")
        server.start()
        program.wait_until_it_says("Producing shapes")
        wait_until(lambda: records_in(server.bootstrap, "image_data") > 10, what="some records out")
        server.kill()
        program.wait_until_it_says("records wait, and go out when it is back")
        server.start()
        assert program.process.wait(60) == 0, program.output
        assert program.says("Delivered 150 of 150 records (0 failed)")
        ids = {headers(message)["velox-id"] for message in read_all(server.bootstrap, "image_data")}
        assert len(ids) == 150
    finally:
        server.close()


def test_its_heartbeat_stops_with_the_broker_and_goes_on_with_it(
    produce: Callable[..., Program], tmp_path: Path
) -> None:
    heartbeat = tmp_path / "heartbeat"

    def age_s() -> float:
        return time.time() - heartbeat.stat().st_mtime

    server = KafkaServer()
    try:
        program = produce("--rate", "50", "--heartbeat", str(heartbeat), KAFKA_BOOTSTRAP_SERVER=server.bootstrap)
        program.wait_until_it_says("does not answer")
        assert not heartbeat.exists()
        server.start()
        wait_until(heartbeat.exists, what="a first heartbeat")
        server.kill()
        wait_until(lambda: age_s() > 3, what="a heartbeat that has stopped")
        server.start()
        wait_until(lambda: age_s() < 2, what="a heartbeat again")
        assert program.stop() == 0, program.output
    finally:
        server.close()


def test_a_signal_while_the_broker_is_down_ends_it_within_its_deadline(produce: Callable[..., Program]) -> None:
    with KafkaServer() as server:
        program = produce("--rate", "100", KAFKA_BOOTSTRAP_SERVER=server.bootstrap, DRAIN_S=1)
        program.wait_until_it_says("Producing shapes")
        server.kill()
        program.wait_until_it_says("records wait, and go out when it is back")
        time.sleep(0.3)  # records pile up
        started = time.monotonic()
        assert program.stop() == 1, program.output
        assert time.monotonic() - started < 15, "DRAIN_S is 20 by default"
        assert program.says("without an answer from Kafka")


def test_without_a_broker_the_wait_ends_with_one_clear_error() -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=r"KAFKA_BOOTSTRAP_SERVER=127\.0\.0\.1:1"):
        ensure_topic(Settings(kafka_bootstrap_server="127.0.0.1:1"), "images", wait_s=1)
    assert time.monotonic() - started < 15, "by default it waits for 60 s"
