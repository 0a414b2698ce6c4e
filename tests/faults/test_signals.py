"""Signals: asked to end in any state it ends in time, and a zombie does no harm."""

import os
import signal

import pytest

from tests.e2e.pipeline import BOTH_DELIVERIES, wait_until
from tests.faults.conftest import LedgerFactory
from tests.faults.ledger import Ledger
from tests.servers.mongo import MongoServer
from tests.servers.proxy import TcpProxy

STOPS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])


def take_over(one: Ledger) -> None:
    """A consumer goes on where the first one ended."""
    one.fault()
    one.check_committed()
    second = one.consume()
    one.wait_for_more()
    one.finish(second)


@pytest.mark.fault("asked to end under load", "what is in flight is finished and committed, exit code 0")
@pytest.mark.representative
@STOPS
@BOTH_DELIVERIES
def test_a_stop_under_load_finishes_what_is_in_flight(
    ledger: LedgerFactory, number: signal.Signals, delivery: str
) -> None:
    one = ledger(DELIVERY=delivery)
    one.load.begin()
    first = one.consume()
    one.wait_until_stored(100)
    assert first.stop(number) == 0
    assert first.says(" 0 in flight left"), first.output
    stored = one.stored()
    take_over(one)
    assert one.duplicates() == 0, f"{stored} had been stored"


@pytest.mark.fault("SIGTERM while a rebalance is under way", "both members end with exit code 0, nothing is read twice")
@BOTH_DELIVERIES
def test_a_stop_during_a_rebalance_is_clean(ledger: LedgerFactory, delivery: str) -> None:
    one = ledger(DELIVERY=delivery, partitions=6)
    one.load.begin()
    first = one.consume()
    one.wait_until_stored(50)
    second = one.consume()
    first.wait_until_it_says("Revoked")
    assert first.stop() == 0
    one.fault()
    one.wait_for_more()
    one.finish(second)
    assert one.duplicates() == 0


@pytest.mark.fault("SIGTERM while a sink is down", "ends after DRAIN_S with exit code 1, commits only what is stored")
@pytest.mark.representative
def test_a_stop_during_a_sink_outage_commits_only_what_is_stored(ledger: LedgerFactory, mongo: MongoServer) -> None:
    with TcpProxy(mongo.port) as proxy:
        one = ledger(
            SINKS="disk,mongo,tests.faults.journal:JournalSink",
            MONGO_URI=f"mongodb://127.0.0.1:{proxy.port}/",
            SINK_TIMEOUT_S=1,
            DRAIN_S=2,
        )
        one.load.begin()
        first = one.consume()
        one.wait_until_stored(50)
        proxy.block()
        first.wait_until_it_says("Paused: blocked by mongo")
        assert first.stop(timeout_s=20) == 1
        one.check_committed()
        proxy.unblock()
        take_over(one)


@pytest.mark.fault("SIGTERM while the model loads", "ends at once with exit code 0")
def test_a_stop_while_the_model_loads_is_quick(ledger: LedgerFactory) -> None:
    one = ledger()
    one.load.publish("good 1")
    first = one.consume("before_load:1:sleep", DRAIN_S=3)
    one.wait_for_failpoint("before_load")
    first.wait_until_it_says("Metrics and health on port")
    assert first.stop(timeout_s=15) in {0, 1}
    one.check_no_orphans()
    take_over_of_one(one)


def take_over_of_one(one: Ledger) -> None:
    one.fault()
    second = one.consume()
    one.wait_until_stored(1)
    one.finish(second)


@pytest.mark.fault("SIGTERM twice", "ends at once with exit code 1, commits nothing that is not done")
@BOTH_DELIVERIES
def test_a_second_stop_is_at_once_and_commits_nothing_undone(ledger: LedgerFactory, delivery: str) -> None:
    one = ledger(DELIVERY=delivery)
    one.load.begin()
    first = one.consume("mid_batch:10:stop", DRAIN_S=300)  # what is in flight never ends
    one.wait_for_failpoint("mid_batch")
    first.process.terminate()
    wait_until(lambda: first.not_ready_because() == "draining", what="draining")
    assert first.stop() == 1
    one.check_no_orphans()
    take_over(one)


@pytest.mark.fault("kill -9 while draining", "what was not finished is read again")
@BOTH_DELIVERIES
def test_a_kill_while_draining_loses_nothing(ledger: LedgerFactory, delivery: str) -> None:
    one = ledger(DELIVERY=delivery)
    one.load.begin(rate=15, text="slow {}".format)
    first = one.consume("while_draining:2:kill")
    one.wait_until_stored(50)
    assert first.stop() == -9
    take_over(one)


@pytest.mark.fault(
    "consumer stopped beyond the session time-out, then continued", "it moves no offset, and joins again"
)
@pytest.mark.representative
def test_a_zombie_never_moves_the_groups_offsets(ledger: LedgerFactory) -> None:
    # Not into SQLite: who is stopped in the middle of a write holds the file's lock, and nobody else can write.
    one = ledger(SINKS="disk,tests.faults.journal:JournalSink")
    one.load.begin()
    zombie = one.consume("before_commit:5:stop")  # about to commit when it freezes
    one.wait_for_failpoint("before_commit")
    one.fault()
    other = one.consume()
    other.wait_until_it_says("Assigned")
    wait_until(lambda: other.metric("velox_assigned_partitions") == 3, what="the other has all partitions")
    one.wait_for_more(200)
    before = one.committed()
    os.kill(zombie.process.pid, signal.SIGCONT)
    zombie.wait_until_it_says("Lost")
    assert not [at for at, offset in one.committed().items() if offset < before[at]], "the group was rewound"
    one.wait_for_more()
    one.finish(other, zombie)


@pytest.mark.fault("poll loop stuck beyond MAX_POLL_INTERVAL_MS", "its partitions go to others, and it joins again")
@BOTH_DELIVERIES
def test_a_poll_loop_that_stood_still_commits_nothing_for_what_it_lost(ledger: LedgerFactory, delivery: str) -> None:
    one = ledger(DELIVERY=delivery, MAX_POLL_INTERVAL_MS=6000)
    one.load.begin()
    stuck = one.consume("after_fetch:20:sleep")
    one.wait_for_failpoint("after_fetch")
    one.fault()
    other = one.consume()
    one.wait_for_more(200)
    stuck.wait_until_it_says("Lost")
    one.wait_for_more()
    one.finish(other, stuck)


@pytest.mark.fault("batch that takes longer than MAX_POLL_INTERVAL_MS", "polling goes on, the group stays as it is")
def test_a_batch_longer_than_the_poll_interval_costs_no_partition(ledger: LedgerFactory) -> None:
    one = ledger(MAX_POLL_INTERVAL_MS=6000)
    one.load.begin()
    consumer = one.consume("mid_batch:10:sleep")
    one.wait_for_failpoint("mid_batch")
    one.fault()
    one.wait_for_more(200)
    assert not consumer.says("Lost")
    one.finish(consumer)
    assert consumer.output.count("Assigned") == 1
    assert one.duplicates() == 0
