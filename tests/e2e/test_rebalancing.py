"""Members that come and go while batches are in flight: nothing is lost, and no partition is left behind."""

import random
import time
from collections import Counter

import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import ConsumerProgram, Pipeline, wait_until

STORM_S = 20


def stored_exactly_once(storm: Pipeline, expected: list[str]) -> None:
    """The ledger: every record one document, no dead letters, nothing left uncommitted."""
    storm.wait_for_documents(len(expected))
    wait_until(lambda: storm.uncommitted() == 0, what="all committed")
    assert Counter(document["predicted_label"] for document in storm.documents()) == Counter(expected)
    assert not storm.dead_letters()


@pytest.mark.parametrize("partitions", [2, 6])
def test_a_storm_of_joining_and_leaving_members_loses_nothing(pipeline: PipelineFactory, partitions: int) -> None:
    storm = pipeline(partitions=partitions, QUEUE_SIZE=16, BATCH_SIZE=2, COMMIT_INTERVAL_S=0.1, REVOKE_WAIT_S=0.2)
    steady = storm.consume()
    steady.wait_until_ready()
    members: list[ConsumerProgram] = []
    sent: list[str] = []
    draw = random.Random(7)  # noqa: S311 - repeats the same storm
    until = time.monotonic() + STORM_S
    while time.monotonic() < until:
        labels = [f"{'slow' if draw.random() < 0.2 else 'quick'} {len(sent) + i}" for i in range(40)]
        storm.publish(*(label.encode() for label in labels))
        sent += labels
        if len(members) < 3 and draw.random() < 0.6:
            members.append(storm.consume())
        elif members:
            leaving = members.pop(draw.randrange(len(members)))
            if draw.random() < 0.3:
                leaving.process.kill()
            else:
                leaving.process.terminate()
        time.sleep(draw.uniform(0.2, 1.5))
    for member in members:
        member.process.terminate()
    stored_exactly_once(storm, sent)
    last = [f"last {i}" for i in range(60)]
    storm.publish(*(label.encode() for label in last))
    stored_exactly_once(storm, sent + last)
    assert "Traceback" not in steady.output
    assert steady.stop() == 0


def test_what_is_done_is_committed_before_a_partition_goes(pipeline: PipelineFactory) -> None:
    handing_over = pipeline(COMMIT_INTERVAL_S=60)  # no other commit comes in between
    first = handing_over.consume()
    first.wait_until_ready()
    handing_over.publish(*(f"quick {i}".encode() for i in range(300)))
    handing_over.wait_for_documents(300)
    assert handing_over.uncommitted() == 300
    second = handing_over.consume()
    first.wait_until_it_says("Revoked")
    wait_until(lambda: second.says("Assigned"), what="the second consumer has its share")
    assert 0 < handing_over.uncommitted() < 300
    assert first.stop() == 0
    assert second.stop() == 0
    assert handing_over.uncommitted() == 0
    assert ": 0 predicted" in second.output
