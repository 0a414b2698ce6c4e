"""Members that come and go while batches are in flight: nothing is lost, and no partition is left behind."""

import random
import time

import pytest

from tests.e2e.pipeline import BOTH_DELIVERIES, PATIENCE_S, ConsumerProgram, wait_until
from tests.faults.conftest import LedgerFactory
from tests.faults.ledger import Ledger

PROTOCOLS = ["cooperative-sticky", "range", "consumer"]


def now_and_then_slow(number: int) -> str:
    return f"{'slow' if number % 5 == 0 else 'bad' if number % 20 == 1 else 'good'} {number}"


def every_partition_is_read(one: Ledger, consumer: ConsumerProgram, partitions: int) -> None:
    """The oracle after a storm: no partition was left paused or forgotten."""
    wait_until(lambda: consumer.metric("velox_assigned_partitions") == partitions, what="all partitions are its own")
    one.wait_for_more(100)


@pytest.mark.fault("members join, leave and die every second; for so many seconds", "no partition is left behind")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("protocol", "partitions", "lasts_s"),
    [
        pytest.param("cooperative-sticky", 6, 20, marks=pytest.mark.representative),
        ("cooperative-sticky", 2, 60),
        ("range", 6, 60),
        ("consumer", 6, 60),
    ],
)
@BOTH_DELIVERIES
def test_a_storm_of_joining_and_leaving_members_loses_nothing(
    ledger: LedgerFactory, protocol: str, partitions: int, lasts_s: float, delivery: str
) -> None:
    one = ledger(
        DELIVERY=delivery,
        partitions=partitions,
        GROUP_PROTOCOL=protocol,
        QUEUE_SIZE=16,
        BATCH_SIZE=2,
        COMMIT_INTERVAL_S=0.1,
        REVOKE_WAIT_S=0.2,
    )
    one.load.begin(rate=50, text=now_and_then_slow)
    steady = one.consume()
    one.wait_until_stored(20)
    members: list[ConsumerProgram] = []
    draw = random.Random(7)  # noqa: S311 - repeats the same storm
    until = time.monotonic() + lasts_s
    one.fault()
    while time.monotonic() < until:
        if len(members) < 3 and draw.random() < 0.6:
            members.append(one.consume())
        elif members:
            leaving = members.pop(draw.randrange(len(members)))
            (leaving.process.kill if draw.random() < 0.3 else leaving.process.terminate)()
        time.sleep(draw.uniform(0.2, 1.5))  # the storm itself
    for member in members:
        member.process.terminate()
    every_partition_is_read(one, steady, partitions)
    one.finish(steady)


@pytest.mark.fault("from one member to eight and back to one, six partitions", "two members wait without a partition")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_more_members_than_partitions_come_and_go(ledger: LedgerFactory, protocol: str) -> None:
    one = ledger(partitions=6, GROUP_PROTOCOL=protocol)
    one.load.begin(rate=50)
    first = one.consume()
    one.wait_until_stored(20)
    others = [one.consume() for _ in range(7)]
    everyone = [first, *others]
    for member in others:
        member.wait_until_it_says("Metrics and health on port", timeout_s=120)

    def shares() -> list[float]:
        return sorted(member.metric("velox_assigned_partitions") for member in everyone)

    wait_until(lambda: shares() == [0, 0, 1, 1, 1, 1, 1, 1], what="six of eight have one", timeout_s=120)
    one.wait_for_more()
    one.fault()
    for member in others:
        member.process.terminate()
    for member in others:
        assert member.process.wait(PATIENCE_S) == 0, member.output
    every_partition_is_read(one, first, 6)
    one.finish(first)
    assert one.duplicates() == 0


@pytest.mark.fault("named member (GROUP_INSTANCE_ID) restarted", "keeps its partitions, nobody else is interrupted")
@pytest.mark.parametrize("protocol", ["cooperative-sticky", "consumer"])
@BOTH_DELIVERIES
def test_a_named_member_that_restarts_keeps_its_partitions(ledger: LedgerFactory, protocol: str, delivery: str) -> None:
    one = ledger(DELIVERY=delivery, partitions=4, GROUP_PROTOCOL=protocol, SESSION_TIMEOUT_MS=20_000)
    one.load.begin(rate=50)
    first, second = one.consume(GROUP_INSTANCE_ID="consumer-0"), one.consume(GROUP_INSTANCE_ID="consumer-1")
    both = (first, second)
    for member in both:
        member.wait_until_it_says("Metrics and health on port")
    wait_until(lambda: {m.metric("velox_assigned_partitions") for m in both} == {2}, what="two partitions each")
    changes = second.output.count("Assigned") + second.output.count("Revoked")
    assert first.stop() == 0
    one.fault()
    first = one.consume(GROUP_INSTANCE_ID="consumer-0")
    first.wait_until_it_says("Assigned")
    one.wait_for_more(100)
    assert second.output.count("Assigned") + second.output.count("Revoked") == changes, second.output
    one.finish(first, second)


@pytest.mark.fault("two members with one GROUP_INSTANCE_ID", "one of them ends with one clear line, code 2")
@pytest.mark.parametrize("protocol", ["cooperative-sticky", "consumer"])
@BOTH_DELIVERIES
def test_of_two_members_with_one_name_one_ends(ledger: LedgerFactory, protocol: str, delivery: str) -> None:
    one = ledger(DELIVERY=delivery, GROUP_PROTOCOL=protocol, GROUP_INSTANCE_ID="consumer-0")
    one.load.begin(rate=50)
    both = [one.consume()]
    one.wait_until_stored(20)
    both.append(one.consume())
    wait_until(lambda: any(member.process.poll() is not None for member in both), what="one of them ends")
    (ended,) = [member for member in both if member.process.poll() is not None]
    (other,) = [member for member in both if member is not ended]
    assert ended.process.returncode == 2, ended.output
    assert "this member of the group cannot go on" in ended.output.strip().splitlines()[-1]
    one.fault()
    one.wait_for_more()
    one.finish(other)


@pytest.mark.fault("a member joins", "what is done is committed before a partition goes, and nothing is read twice")
@pytest.mark.representative
@pytest.mark.parametrize("protocol", PROTOCOLS)
@BOTH_DELIVERIES
def test_what_is_done_is_committed_before_a_partition_goes(ledger: LedgerFactory, protocol: str, delivery: str) -> None:
    one = ledger(
        DELIVERY=delivery,
        partitions=6,
        GROUP_PROTOCOL=protocol,
        COMMIT_INTERVAL_S=60,  # no other commit comes in between
        SESSION_TIMEOUT_MS=6000,  # nobody is to be taken for dead on a busy machine
    )
    one.load.begin()
    first = one.consume()
    one.wait_until_stored(100)
    second = one.consume()
    first.wait_until_it_says("Revoked")
    one.fault()
    second.wait_until_it_says("Assigned")
    one.wait_for_more(100)
    one.load.end()
    one.wait_until_done()
    assert first.stop() == 0
    assert second.stop() == 0
    one.finish()
    assert one.duplicates() == 0
