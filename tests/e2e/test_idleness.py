"""Each stage is made slow on purpose, through real processes: the idle device names it."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import ConsumerProgram, wait_until
from velox.core.idleness import Cause
from velox.metrics.consumer import ConsumerMetrics

TICK_S = 1.0
"""More than what the seconds of an idle process are behind by, on a busy machine too."""


def idle(consumer: ConsumerProgram) -> dict[Cause, float]:
    return {cause: consumer.metric(ConsumerMetrics.idle.name, cause=cause.value) for cause in Cause}


def done(consumer: ConsumerProgram) -> float:
    return consumer.metric("velox_records_total")


def cause_between(consumer: ConsumerProgram, first: int, last: int) -> Cause:
    """What the process was idle for most, from its first to its last so many records."""
    wait_until(lambda: done(consumer) >= first, what=f"{first} records:\n{consumer.output}")
    before = idle(consumer)
    wait_until(lambda: done(consumer) >= last, what=f"{last} records:\n{consumer.output}")
    after = idle(consumer)
    return max(Cause, key=lambda cause: after[cause] - before[cause])


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"MODEL": "tests.e2e.paced:SlowlyDecoding"}, Cause.DECODE),
        ({"SINKS": "tests.e2e.paced:SlowSink", "QUEUE_SIZE": 32}, Cause.SINK),
    ],
    ids=["decode", "sink"],
)
def test_a_slow_stage_is_what_the_device_is_idle_for(
    pipeline: PipelineFactory, settings: dict[str, Any], cause: Cause
) -> None:
    one = pipeline(**settings)
    one.publish(*[b"good"] * 200)
    consumer = one.consume()
    consumer.wait_until_ready()
    assert cause_between(consumer, 50, 150) == cause
    assert consumer.stop() == 0


@pytest.mark.parametrize(("timeout_ms", "cause"), [(1, Cause.NO_WORK), (2000, Cause.BATCH_WAIT)])
def test_a_slow_producer_is_no_work_unless_its_records_wait_for_a_full_batch(
    pipeline: PipelineFactory, timeout_ms: int, cause: Cause
) -> None:
    one = pipeline(BATCH_SIZE=8, BATCH_TIMEOUT_MS=timeout_ms)
    consumer = one.consume()
    consumer.wait_until_ready()
    before, started = idle(consumer), time.monotonic()
    for _ in range(12):
        one.publish(b"good")
        time.sleep(0.2)  # the producer's pace
    wait_until(lambda: done(consumer) == 12, what="all records")
    after, passed_s = idle(consumer), time.monotonic() - started
    assert max(Cause, key=lambda cause: after[cause] - before[cause]) == cause
    predicting = consumer.metric("velox_stage_seconds_sum", stage="inference")
    assert predicting + sum(after.values()) - sum(before.values()) == pytest.approx(passed_s, abs=TICK_S)
    assert consumer.stop() == 0


@pytest.fixture
def distant_broker() -> Iterator[Producer]:
    """A broker in this process, each of whose answers takes a while."""
    mock = {"test.mock.num.brokers": 1, "test.mock.broker.rtt": 300, "log_level": 0}
    yield Producer({"bootstrap.servers": "embedded", "batch.num.messages": 1, "max.in.flight": 100, **mock})


def test_a_distant_broker_is_a_lack_of_fetching(pipeline: PipelineFactory, distant_broker: Producer) -> None:
    one = pipeline(SINKS="tests.e2e.own_sink:LinesSink", MAX_MESSAGE_BYTES=1024)
    for topic in (one.topic, f"{one.topic}.dlq"):  # asking for it creates it
        (broker,) = distant_broker.list_topics(topic, timeout=10).brokers.values()
    for _ in range(100):
        distant_broker.produce(one.topic, b"a thousand bytes" * 62, partition=0)
    assert distant_broker.flush(30) == 0
    consumer = one.consume(KAFKA_BOOTSTRAP_SERVER=f"{broker.host}:{broker.port}")
    consumer.wait_until_ready()
    assert cause_between(consumer, 4, 12) == Cause.FETCH
