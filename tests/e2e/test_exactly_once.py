"""DELIVERY=exactly_once: whoever is killed, stopped or joins, a read_committed reader sees each result once."""

import random
import signal
import time
from collections import Counter
from typing import Any

import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import PATIENCE_S, QUICK_SESSION, Pipeline, wait_until

ONCE: dict[str, Any] = {
    **QUICK_SESSION,
    "SINKS": "kafka",
    "DELIVERY": "exactly_once",
    "COMMIT_INTERVAL_S": 0.05,  # most of the time a transaction is open
    "QUEUE_SIZE": 32,
    "BATCH_SIZE": 4,
}


def labels(count: int, *, first: int = 0) -> list[str]:
    """Some slow ones among them, so that they are finished out of order."""
    return [f"{'slow' if number % 7 == 3 else 'quick'} {number}" for number in range(first, first + count)]


def publish(pipeline: Pipeline, texts: list[str]) -> None:
    pipeline.publish(*(text.encode() for text in texts))


def each_is_visible_once(pipeline: Pipeline) -> None:
    """The ledger: every record's id exactly once, all offsets committed."""
    wait_until(lambda: pipeline.uncommitted() == 0, what="all committed")
    ids = Counter((message.key() or b"").decode() for message in pipeline.visible())
    expected = {f"{m.topic()}-{m.partition()}-{m.offset()}" for m in pipeline.records()}
    assert {identity: count for identity, count in ids.items() if count > 1} == {}
    assert set(ids) == expected


def test_results_become_visible_with_their_offsets(pipeline: PipelineFactory) -> None:
    once = pipeline(**{**ONCE, "SINKS": "mongo,kafka"})
    publish(once, [*labels(200), "bad record"])
    consumer = once.consume()
    consumer.wait_until_ready()
    wait_until(lambda: once.uncommitted() == 0, what="all committed")
    assert len(once.visible()) == 200
    assert once.count() == 200
    assert len(once.dead_letters()) == 1
    publish(once, labels(50, first=200))
    wait_until(lambda: len(once.visible()) == 250, what="the new ones too")
    publish(once, labels(50, first=250))
    assert consumer.stop() == 0
    restarted = once.consume()
    wait_until(lambda: once.uncommitted() == 0, what="all committed")
    assert restarted.stop() == 0
    assert once.count() == len(once.visible()) == 300
    assert len(once.dead_letters()) == 1


@pytest.mark.parametrize("where", ["before_transaction_offsets", "before_transaction_commit"])
def test_a_consumer_killed_in_the_middle_of_a_transaction_leaves_nothing_of_it_visible(
    pipeline: PipelineFactory, where: str
) -> None:
    once = pipeline(**ONCE)
    publish(once, labels(200))
    killed = once.consume(VELOX_FAILPOINT=f"{where}:3:kill")
    assert killed.process.wait(PATIENCE_S) == -signal.SIGKILL
    assert len(once.visible()) < 200
    publish(once, labels(100, first=200))
    consumer = once.consume()
    each_is_visible_once(once)
    assert consumer.stop() == 0


def test_a_consumer_stopped_in_the_middle_of_a_transaction_and_woken_too_late_adds_nothing(
    pipeline: PipelineFactory,
) -> None:
    once = pipeline(**ONCE)
    publish(once, labels(200))
    zombie = once.consume(VELOX_FAILPOINT="before_transaction_commit:3:stop")
    wait_until((once.folder / "failpoint-before_transaction_commit").exists, what="it stopped")
    heir = once.consume()
    each_is_visible_once(once)
    zombie.process.send_signal(signal.SIGCONT)
    publish(once, labels(100, first=200))
    each_is_visible_once(once)
    zombie.process.terminate()
    zombie.process.wait(PATIENCE_S)
    publish(once, labels(50, first=300))
    each_is_visible_once(once)
    assert heir.stop() == 0


def test_kills_joins_and_departures_double_and_lose_nothing(pipeline: PipelineFactory) -> None:
    once = pipeline(**ONCE)
    draw = random.Random(7)  # noqa: S311 - repeats the same kills
    sent = 0
    consumer = once.consume()
    consumer.wait_until_ready()
    other = None
    for turn in range(4):
        publish(once, labels(200, first=sent))
        sent += 200
        time.sleep(draw.uniform(0.2, 1.0))
        if turn == 1:
            other = once.consume()
            other.wait_until_it_says("Assigned")
            publish(once, labels(200, first=sent))
            sent += 200
        if turn == 2 and other is not None:
            assert other.stop() == 0
        consumer.process.kill()
        consumer = once.consume()
        consumer.wait_until_it_says("Assigned")
    each_is_visible_once(once)
    assert len(once.visible()) == sent
    assert consumer.stop() == 0
