"""Dead letters on a real topic: they fit whatever its limit, and the producer outlives its own fatal error."""

import uuid
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.e2e.pipeline import read_all
from tests.fakes import make_record
from tests.servers.kafka import KafkaServer
from tests.servers.librdkafka import CLUSTER_AUTHORIZATION_FAILED, INIT_PRODUCER_ID, MockBroker
from velox.errors import BadRecordError, BrokerUnavailableError, Reason
from velox.kafka.dead_letters import DeadLetters
from velox.records import Headers, Position, Record
from velox.settings import Settings

BAD = BadRecordError(Reason.NOT_AN_IMAGE, "starts with 3c68746d")
LIMIT_BYTES = 100_000


@pytest.fixture
def source(kafka: KafkaServer) -> str:
    """A topic whose dead-letter topic takes records of up to 100,000 bytes."""
    name = f"topic-{uuid.uuid4().hex[:12]}"
    kafka.create_topic(f"{name}.dlq", partitions=1, config={"max.message.bytes": str(LIMIT_BYTES)})
    return name


def settings(kafka: KafkaServer, source: str, **more: Any) -> Settings:  # noqa: ANN401 - any setting's type
    return Settings(kafka_bootstrap_server=kafka.bootstrap, kafka_topic=source, **more)


def record(source: str, offset: int, *, value: bytes = b"value", headers: Headers = ()) -> Record:
    made = make_record(offset, head=value, payload=b"", headers=headers)
    return replace(made, position=Position(source, 0, offset), key=b"key")


def letters(kafka: KafkaServer, source: str) -> list[tuple[bytes | None, bytes | None, dict[str, bytes]]]:
    """Key, value and headers of every dead letter."""
    messages = read_all(kafka.bootstrap, f"{source}.dlq")
    return [(m.key(), m.value(), dict(cast("list[Any]", m.headers()))) for m in messages]


def test_a_letter_that_no_longer_fits_points_to_its_record(kafka: KafkaServer, source: str) -> None:
    small, large = record(source, 1), record(source, 2, value=bytes(LIMIT_BYTES - 100), headers=[("a", b"1")])
    wide = record(source, 3, headers=[("wide", bytes(LIMIT_BYTES))])
    dead_letters = DeadLetters(settings(kafka, source, compression_type="none"))
    dead_letters.write([(each, BAD) for each in (small, large, wide)])
    dead_letters.close()
    written = {headers["velox-dlq-offset"]: (key, value, headers) for key, value, headers in letters(kafka, source)}
    assert written[b"1"][:2] == (b"key", b"value")
    key, value, headers = written[b"2"]
    assert (key, value, headers["a"]) == (b"key", None, b"1")
    assert headers["velox-dlq-value-omitted-bytes"] == str(LIMIT_BYTES - 100).encode()
    key, value, headers = written[b"3"]
    assert (key, value) == (None, None)
    assert int(headers["velox-dlq-record-omitted-bytes"]) >= LIMIT_BYTES
    assert (headers["velox-dlq-reason"], "wide" in headers) == (b"not_an_image", False)


def test_every_size_around_the_limit_becomes_a_letter(kafka: KafkaServer, source: str) -> None:
    dead_letters = DeadLetters(settings(kafka, source, compression_type="none"))
    sizes = range(LIMIT_BYTES - 500, LIMIT_BYTES + 20, 20)
    for size in sizes:
        dead_letters.write([(record(source, size, value=bytes(size)), BAD)])
    dead_letters.close()
    written = letters(kafka, source)
    assert [int(headers["velox-dlq-offset"]) for _, _, headers in written] == list(sizes)
    whole = [value is not None for _, value, _ in written]
    assert True in whole
    assert whole == sorted(whole, reverse=True), "what fits is whole, and only what does not fit is a pointer"
    for _, value, headers in written:
        assert (value is None) == ("velox-dlq-value-omitted-bytes" in headers)


def test_headers_beyond_what_the_client_itself_may_send_are_left_behind(kafka: KafkaServer, source: str) -> None:
    dead_letters = DeadLetters(settings(kafka, source, max_message_bytes=1024, sink_timeout_s=5))
    dead_letters.write([(record(source, 1, headers=[("wide", bytes(3_000_000))]), BAD)])
    dead_letters.close()
    ((key, value, headers),) = letters(kafka, source)
    assert (key, value) == (None, None)
    assert int(headers["velox-dlq-record-omitted-bytes"]) >= 3_000_000


def test_a_producer_that_failed_for_good_is_replaced() -> None:
    with MockBroker() as broker:
        broker.refuse_next(INIT_PRODUCER_ID, CLUSTER_AUTHORIZATION_FAILED)
        dead_letters = DeadLetters(
            Settings(kafka_bootstrap_server=broker.bootstrap, kafka_topic="images", sink_timeout_s=10)
        )
        with pytest.raises(BrokerUnavailableError, match="Cluster authorization failed"):
            dead_letters.write([(record("images", 1), BAD)])
        dead_letters.write([(record("images", 1), BAD)])
        dead_letters.close()
        (letter,) = read_all(broker.bootstrap, "images.dlq")
        assert letter.value() == b"value"
