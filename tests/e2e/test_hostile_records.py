"""Records that are odd as Kafka records, on a real broker: each costs only itself, and its dead letter is complete."""

from typing import cast

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import Pipeline, wait_until
from tests.servers.librdkafka import Client
from velox.core.envelope import checksum

GOOD = b"good"


Headers = list[tuple[str, bytes | None]]


def letters_after(pipeline: Pipeline, results: int, dead_letters: int) -> dict[str, tuple[bytes | None, Headers]]:
    """Consume all; answer each reason's value and raw headers, when the counts are as told and all is committed."""
    consumer = pipeline.consume()
    pipeline.wait_for_documents(results)
    wait_until(lambda: pipeline.uncommitted() == 0, what="everything committed")
    assert consumer.stop() == 0
    letters = pipeline.records(f"{pipeline.topic}.dlq")
    assert (pipeline.count(), len(letters)) == (results, dead_letters)
    raw = [(letter.value(), cast("Headers", letter.headers())) for letter in letters]
    return {(dict(headers)["velox-dlq-reason"] or b"").decode(): (value, headers) for value, headers in raw}


def test_a_record_with_10_000_headers_is_a_record_like_others(pipeline: PipelineFactory) -> None:
    odd = pipeline(partitions=1)
    many: list[tuple[str, str | bytes | None]] = [(f"header-{i % 10}", f"{i}".encode()) for i in range(10_000)]
    odd.publish(GOOD, headers=many)
    odd.publish(b"bad one", headers=many)
    odd.publish(GOOD)
    value, headers = letters_after(odd, results=2, dead_letters=1)["undecodable"]
    assert value == b"bad one"
    assert headers[:10_000] == many


def test_a_header_of_900_kilobytes_is_carried_along(pipeline: PipelineFactory) -> None:
    odd = pipeline(partitions=1)
    large: list[tuple[str, str | bytes | None]] = [("large", bytes(900_000)), ("velox-id", b"mine")]
    odd.publish(GOOD, b"bad one", headers=large)
    odd.publish(GOOD)
    value, headers = letters_after(odd, results=2, dead_letters=1)["undecodable"]
    assert value == b"bad one"
    assert headers[:2] == large


def test_headers_that_are_not_utf_8_are_data_in_values_and_bad_metadata_in_names(pipeline: PipelineFactory) -> None:
    odd = pipeline(partitions=1)
    with Client(bootstrap_servers=odd.bootstrap) as client:
        client.publish(odd.topic, GOOD, [(b"odd", b"\xff\xfe\x00")])
        client.publish(odd.topic, b"bad one", [(b"odd", b"\xff\xfe\x00"), (b"velox-id", b"\xff")])
        client.publish(odd.topic, GOOD, [(b"\xff\xfe", b"value"), (b"velox-id", b"mine")])
    letters = letters_after(odd, results=1, dead_letters=2)
    value, headers = letters["undecodable"]
    assert value == b"bad one"
    assert headers[:2] == [("odd", b"\xff\xfe\x00"), ("velox-id", b"\xff")]
    assert ("velox-dlq-id", f"{odd.topic}-0-1".encode()) in headers
    value, headers = letters["bad_metadata"]
    assert value == GOOD
    assert ("velox-dlq-error", b"UnicodeDecodeError: the name of a header is not UTF-8") in headers


def test_tombstones_and_empty_values_are_empty(pipeline: PipelineFactory) -> None:
    odd = pipeline(partitions=1)
    odd.publish(None, b"", GOOD)
    assert letters_after(odd, results=1, dead_letters=2).keys() == {"empty"}


def test_a_record_of_exactly_the_largest_size_is_predicted_and_one_byte_more_is_too_large(
    pipeline: PipelineFactory,
) -> None:
    exact = pipeline(partitions=1, MAX_MESSAGE_BYTES=50_000)
    exact.publish(b"x" * 50_000, b"x" * 50_001, b"bad" + bytes(49_997))
    letters = letters_after(exact, results=1, dead_letters=2)
    assert letters["too_large"][0] == b"x" * 50_001
    assert letters["undecodable"][0] == b"bad" + bytes(49_997)


def test_a_value_that_does_not_agree_with_its_checksum_is_never_decoded(pipeline: PipelineFactory) -> None:
    damaged = pipeline(partitions=1)
    damaged.publish(b"die", headers=[("velox-crc32", checksum(b"dig"))])
    damaged.publish(GOOD, headers=[("velox-crc32", checksum(GOOD))])
    value, _ = letters_after(damaged, results=1, dead_letters=1)["checksum_mismatch"]
    assert value == b"die"
