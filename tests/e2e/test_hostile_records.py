"""Records that are odd as Kafka records, on a real broker: each costs only itself, and its dead letter is complete."""

import struct
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import Message, Producer

from tests.e2e.conftest import PipelineFactory, pipelines
from tests.e2e.pipeline import BOTH_DELIVERIES, PATIENCE_S, ConsumerProgram, Pipeline, wait_until
from tests.e2e.pipeline import headers as headers_of
from tests.servers.kafka import KafkaServer
from tests.servers.librdkafka import Client
from tests.servers.mongo import MongoServer
from velox.core.envelope import checksum, frame

GOOD = b"good"
MIB = 1024 * 1024


Headers = list[tuple[str, bytes | None]]


def letters_after(pipeline: Pipeline, results: int, dead_letters: int) -> dict[str, tuple[bytes | None, Headers]]:
    """Consume all; answer each reason's value and raw headers, when the counts are as told and all is committed."""
    consumer = pipeline.consume()
    pipeline.wait_for_documents(results)
    wait_until(lambda: pipeline.uncommitted() == 0, what="everything committed")
    assert consumer.stop() == 0
    letters = pipeline.records(f"{pipeline.topic}.dlq")
    assert (pipeline.count(), len(letters)) == (results, dead_letters)
    return by_reason(letters)


def by_reason(letters: Sequence[Message]) -> dict[str, tuple[bytes | None, Headers]]:
    """Each reason's value and raw headers."""
    raw = [(letter.value(), cast("Headers", letter.headers())) for letter in letters]
    return {(dict(headers)["velox-dlq-reason"] or b"").decode(): (value, headers) for value, headers in raw}


def source_offset(letter: Message) -> int:
    return int(dict(cast("Headers", letter.headers()))["velox-dlq-offset"] or b"")


MANY: list[tuple[str, str | bytes | None]] = [(f"header-{i % 10}", f"{i}".encode()) for i in range(10_000)]
LARGE: list[tuple[str, str | bytes | None]] = [("large", bytes(900_000)), ("velox-id", b"mine")]


def nothing_odd(odd: Pipeline) -> int:
    """Enough for Python to have made its fast paths, which check less, of what every record goes through."""
    odd.publish(*[GOOD] * 30)
    return 30


def many_headers(odd: Pipeline) -> int:
    odd.publish(GOOD, headers=MANY)
    odd.publish(b"bad one", headers=MANY)
    odd.publish(GOOD)
    return 3


def large_header(odd: Pipeline) -> int:
    odd.publish(GOOD, b"bad one", headers=LARGE)
    odd.publish(GOOD)
    return 3


def other_encodings(odd: Pipeline) -> int:
    with Client(bootstrap_servers=odd.bootstrap) as client:
        client.publish(odd.topic, GOOD, [(b"odd", b"\xff\xfe\x00")])
        client.publish(odd.topic, b"bad one", [(b"odd", b"\xff\xfe\x00"), (b"velox-id", b"\xff")])
        client.publish(odd.topic, GOOD, [(b"\xff\xfe", b"value"), (b"velox-id", b"mine")])
    return 3


def nothing_in_it(odd: Pipeline) -> int:
    odd.publish(None, b"", GOOD)
    return 3


def wrong_checksum(odd: Pipeline) -> int:
    odd.publish(b"die", headers=[("velox-crc32", checksum(b"dig"))])
    odd.publish(GOOD, headers=[("velox-crc32", checksum(GOOD))])
    return 2


ODD: tuple[Callable[[Pipeline], int], ...] = (
    nothing_odd, many_headers, large_header, other_encodings, nothing_in_it, wrong_checksum
)  # fmt: skip
"""Each publishes some records, one after the other, and answers how many."""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What became of some odd records."""

    topic: str
    first: int
    """The offset of the first of them."""
    results: int
    letters: list[Message]


Aftermaths = Mapping[Callable[[Pipeline], int], Aftermath]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory, kafka: KafkaServer, mongo: MongoServer) -> Aftermaths:
    """All the odd records on one topic, consumed by one consumer: what became of each kind."""
    with pipelines(tmp_path_factory.mktemp("odd"), kafka, mongo, database=f"db_{uuid.uuid4().hex[:12]}") as make:
        odd = make(partitions=1)
        counts = {publish: publish(odd) for publish in ODD}
        consumer = odd.consume()
        wait_until(lambda: odd.uncommitted() == 0, what=lambda: f"everything committed:\n{consumer.output}")
        assert consumer.stop() == 0, consumer.output
        letters = {source_offset(letter): letter for letter in odd.records(f"{odd.topic}.dlq")}
        stored = {int(document["offset"]) for document in odd.documents()}
    assert letters.keys() | stored == set(range(sum(counts.values())))
    found, first = {}, 0
    for publish, count in counts.items():
        own = range(first, first + count)
        found[publish] = Aftermath(odd.topic, first, len(stored & set(own)), [letters[n] for n in own if n in letters])
        first += count
    return found


def test_a_record_with_10_000_headers_is_a_record_like_others(aftermath: Aftermaths) -> None:
    odd = aftermath[many_headers]
    assert (odd.results, len(odd.letters)) == (2, 1)
    value, headers = by_reason(odd.letters)["undecodable"]
    assert value == b"bad one"
    assert headers[:10_000] == MANY


def test_a_header_of_900_kilobytes_is_carried_along(aftermath: Aftermaths) -> None:
    odd = aftermath[large_header]
    assert (odd.results, len(odd.letters)) == (2, 1)
    value, headers = by_reason(odd.letters)["undecodable"]
    assert value == b"bad one"
    assert headers[:2] == LARGE


def test_headers_that_are_not_utf_8_are_data_in_values_and_bad_metadata_in_names(aftermath: Aftermaths) -> None:
    odd = aftermath[other_encodings]
    assert (odd.results, len(odd.letters)) == (1, 2)
    letters = by_reason(odd.letters)
    value, headers = letters["undecodable"]
    assert value == b"bad one"
    assert headers[:2] == [("odd", b"\xff\xfe\x00"), ("velox-id", b"\xff")]
    assert ("velox-dlq-id", f"{odd.topic}-0-{odd.first + 1}".encode()) in headers
    value, headers = letters["bad_metadata"]
    assert value == GOOD
    assert ("velox-dlq-error", b"UnicodeDecodeError: the name of a header is not UTF-8") in headers


def test_tombstones_and_empty_values_are_empty(aftermath: Aftermaths) -> None:
    odd = aftermath[nothing_in_it]
    assert (odd.results, len(odd.letters)) == (1, 2)
    assert by_reason(odd.letters).keys() == {"empty"}


def test_a_value_that_does_not_agree_with_its_checksum_is_never_decoded(aftermath: Aftermaths) -> None:
    odd = aftermath[wrong_checksum]
    assert (odd.results, len(odd.letters)) == (1, 1)
    value, _ = by_reason(odd.letters)["checksum_mismatch"]
    assert value == b"die"


def test_a_record_of_exactly_the_largest_size_is_predicted_and_one_byte_more_is_too_large(
    pipeline: PipelineFactory,
) -> None:
    exact = pipeline(partitions=1, MAX_MESSAGE_BYTES=50_000)
    exact.publish(b"x" * 50_000, b"x" * 50_001, b"bad" + bytes(49_997))
    letters = letters_after(exact, results=1, dead_letters=2)
    assert letters["too_large"][0] == b"x" * 50_001
    assert letters["undecodable"][0] == b"bad" + bytes(49_997)


@BOTH_DELIVERIES
def test_a_trace_of_ten_megabytes_is_not_handed_on_and_holds_nobody_up(
    pipeline: PipelineFactory, delivery: str
) -> None:
    odd = pipeline(partitions=1, SINKS="mongo,kafka", DELIVERY=delivery)
    trace: list[tuple[str, str | bytes | None]] = [("tracestate", b"a" * 10_485_400), ("traceparent", b"no trace")]
    odd.publish(GOOD, headers=trace)
    odd.publish(*[GOOD] * 50)
    consumer = odd.consume()
    odd.wait_for_documents(51)
    wait_until(lambda: odd.uncommitted() == 0, what="everything committed")
    assert consumer.stop() == 0, consumer.output
    assert (odd.count(), len(odd.visible())) == (51, 51)
    assert not odd.dead_letters()
    names = {name for message in odd.visible() for name in headers_of(message)}
    assert names.isdisjoint({"tracestate", "traceparent"})


def publish_compressed(pipeline: Pipeline, *values: bytes) -> None:
    config = {"bootstrap.servers": pipeline.bootstrap, "compression.type": "zstd", "message.max.bytes": 1_000_000_000}
    producer = Producer(config)
    for value in values:
        producer.produce(pipeline.topic, value)
        assert producer.flush(PATIENCE_S) == 0


def highest_memory(consumer: ConsumerProgram) -> int:
    """The most bytes that the consumer's own process ever had in memory."""
    status = Path(f"/proc/{consumer.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_metadata_of_ten_megabytes_takes_neither_memory_nor_the_probes_time(pipeline: PipelineFactory) -> None:
    odd = pipeline(partitions=1, CODEC="framed")
    consumer = odd.consume()
    consumer.wait_until_ready()
    before = highest_memory(consumer)
    empties = b",[]" * (9_900_000 // 3)
    metadata = b'{"timestamp":%d,"a":[[]%s]}' % (time.time(), empties)
    publish_compressed(odd, *[struct.pack(">I", len(metadata)) + metadata + GOOD] * 12)
    while odd.uncommitted():
        assert consumer.probe("/livez", timeout_s=5)[0] == 200
    assert odd.reasons() == {"bad_metadata": 12}
    # What has been prefetched and what is in flight, of 120 MB altogether; parsed, it would be 3 GB.
    assert highest_memory(consumer) - before < 500 * MIB
    assert consumer.stop() == 0, consumer.output


def test_metadata_nested_as_deep_as_it_goes_costs_only_its_record(pipeline: PipelineFactory) -> None:
    odd = pipeline(partitions=1, CODEC="framed")
    depths = range(930, 1010)
    labels = [b'{"color_label":%s%s}' % (b"[" * depth, b"]" * depth) for depth in depths]
    publish_compressed(odd, *(struct.pack(">I", len(label)) + label + GOOD for label in labels))
    odd.publish(frame({}, GOOD))
    consumer = odd.consume()
    wait_until(lambda: odd.uncommitted() == 0, what="everything committed")
    assert consumer.stop() == 0, consumer.output
    assert odd.count() + len(odd.dead_letters()) == len(depths) + 1
    assert {len(document["ground_truth"]) < 1000 for document in odd.documents()} == {True}


def test_headers_count_as_what_they_hold_in_memory(pipeline: PipelineFactory) -> None:
    odd = pipeline(partitions=1, QUEUE_BYTES=64 * MIB, QUEUE_SIZE=200)
    consumer = odd.consume()
    consumer.wait_until_ready()
    before = highest_memory(consumer)
    for _ in range(30):
        odd.publish(b"slow", headers=[("large", bytes(9 * MIB))])
    most = 0.0

    def all_is_done() -> bool:
        nonlocal most
        most = max(most, consumer.metric("velox_in_flight_bytes"))
        return odd.count() == 30

    wait_until(all_is_done, what="30 documents")
    assert 9 * MIB < most <= 64 * MIB + 32 * MIB, "the last turn's may come on top"
    assert highest_memory(consumer) - before < 300 * MIB
    assert consumer.stop() == 0, consumer.output


def test_what_a_stranger_writes_makes_no_line_of_the_log(pipeline: PipelineFactory) -> None:
    odd = pipeline(partitions=1, TARGET_LABELS="*")
    lie = b"2026-01-01 00:00:00 - ERROR - lie"
    odd.publish(GOOD + b"\n" + lie, b"bad\n" + lie)
    odd.publish(GOOD, headers=[("velox-crc32", b"x\n" + lie), ("velox-id", b"\x1b[2J\n" + lie)])
    consumer = odd.consume()
    wait_until(lambda: odd.uncommitted() == 0, what="everything committed")
    assert consumer.stop() == 0, consumer.output
    assert consumer.says("lie"), "it is told of"
    assert not any(line.startswith(lie.decode()) for line in consumer.output.splitlines())
    assert "\x1b" not in consumer.output
