"""Brokers that die, stop, come late or change: nothing acknowledged is lost, and consumers go on by themselves."""

import time

import psutil
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tests.e2e.pipeline import BOTH_DELIVERIES, wait_until
from tests.faults.conftest import LedgerFactory
from tests.faults.ledger import Ledger
from tests.servers.cluster import KafkaCluster
from tests.servers.kafka import KafkaServer


def admin(one: Ledger) -> AdminClient:
    """Name what this gives: it takes its unanswered requests with it when it is collected."""
    return AdminClient({"bootstrap.servers": one.pipeline.bootstrap, "log_level": 0})


@pytest.mark.fault("broker away", "alive all the time, goes on by itself, uses no processor meanwhile")
@pytest.mark.timeout(240)
@BOTH_DELIVERIES
@pytest.mark.parametrize(
    "away",
    ["restarted", "killed, 2 s", pytest.param("killed, 9 s", marks=pytest.mark.representative), "killed, 60 s"],
)
def test_a_broker_that_comes_back_costs_no_record(ledger: LedgerFactory, away: str, delivery: str) -> None:
    with KafkaServer() as broker:
        # As users have it: a restarted broker needs some of that time to be the group's coordinator again.
        one = ledger(broker=broker, DELIVERY=delivery, SESSION_TIMEOUT_MS=6000)
        one.load.begin()
        consumer = one.consume()
        one.wait_until_stored(50)
        (broker.stop if away == "restarted" else broker.kill)()
        fetcher = psutil.Process(consumer.process.pid)
        used_s, began_s = cpu_s(fetcher), time.monotonic()
        time.sleep(0 if away == "restarted" else int(away.split()[1]))  # the fault itself
        used_s, took_s = cpu_s(fetcher) - used_s, time.monotonic() - began_s
        assert consumer.probe("/livez")[0] == 200
        if away == "killed, 60 s":
            assert consumer.not_ready_because()
            assert used_s < 0.05 * took_s, "no thread of the driver's spins"
        broker.start()
        one.fault()
        one.wait_for_more(100)
        one.finish(consumer)


def cpu_s(process: psutil.Process) -> float:
    """The processor time that a process itself has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


@pytest.mark.fault("broker down at the start", "alive, not ready, and it says why")
@BOTH_DELIVERIES
def test_a_broker_that_comes_late_is_waited_for(ledger: LedgerFactory, delivery: str) -> None:
    broker = KafkaServer()
    try:
        one = ledger(DELIVERY=delivery, broker=broker)
        consumer = one.consume()
        consumer.wait_until_it_says("cannot be reached")
        assert consumer.probe("/livez")[0] == 200
        assert consumer.not_ready_because()
        broker.start()
        one.fault()
        wait_until(lambda: one.pipeline.topic in admin(one).list_topics(timeout=5).topics, what="the topic is made")
        one.load.begin()
        one.wait_for_more(100)
        one.finish(consumer)
    finally:
        broker.close()


@pytest.mark.fault("leader of a partition killed, three brokers", "another broker takes over")
@BOTH_DELIVERIES
def test_a_leader_that_dies_costs_no_record(ledger: LedgerFactory, delivery: str) -> None:
    with KafkaCluster() as cluster:
        one = ledger(DELIVERY=delivery, broker=cluster)
        one.load.begin()
        consumer = one.consume()
        one.wait_until_stored(50)
        cluster.leader(TopicPartition(one.pipeline.topic, 0)).kill()
        one.fault()
        one.wait_for_more(200)
        one.finish(consumer)


@pytest.mark.fault("three brokers restarted one after the other", "the coordinator of the group moves each time")
@BOTH_DELIVERIES
def test_a_rolling_restart_costs_no_record(ledger: LedgerFactory, delivery: str) -> None:
    with KafkaCluster() as cluster:
        one = ledger(DELIVERY=delivery, broker=cluster)
        one.load.begin()
        consumer = one.consume()
        one.wait_until_stored(50)
        one.fault()
        for node in cluster.nodes:
            node.restart()
            wait_until(lambda: cluster.is_in_sync(one.pipeline.topic), what="all replicas in sync")
            one.wait_for_more()
        one.finish(consumer)


@pytest.mark.fault("partitions added while it runs", "new partitions are read from their beginning within 15 s")
@BOTH_DELIVERIES
def test_partitions_that_are_added_are_read(ledger: LedgerFactory, delivery: str) -> None:
    one = ledger(DELIVERY=delivery, partitions=2)
    one.load.begin()
    consumer = one.consume()
    one.wait_until_stored(50)
    client = admin(one)
    client.create_partitions([NewPartitions(one.pipeline.topic, 4)])[one.pipeline.topic].result(10)
    one.fault()
    wait_until(lambda: consumer.metric("velox_assigned_partitions") == 4, what="four partitions", timeout_s=30)
    one.wait_for_more(100)
    assert {record_id.rsplit("-", 2)[1] for record_id in list(one.load.acknowledged)} == set("0123")
    one.finish(consumer)


@pytest.mark.fault(
    "retention removed what was not read yet, AUTO_OFFSET_RESET=earliest",
    "goes on with the oldest left, and says what is lost",
)
def test_offsets_out_of_range_go_on_with_the_oldest_that_is_left(ledger: LedgerFactory) -> None:
    one = ledger(partitions=1)
    expire_unread(one)
    one.fault()
    second = one.consume()
    one.wait_until_stored(80)
    wait_until(lambda: second.metric("velox_expired_records_total") == 20, what="the loss in the metrics")
    assert second.says(f"Lost 20 records of {one.pipeline.topic}-0: Kafka had removed them before they were read")
    one.finish(second)


@pytest.mark.fault(
    "retention removed what was not read yet, AUTO_OFFSET_RESET=error", "ends with one clear line, code 2"
)
def test_offsets_out_of_range_end_it_when_that_is_asked_for(ledger: LedgerFactory) -> None:
    one = ledger(partitions=1)
    expire_unread(one)
    consumer = one.consume(AUTO_OFFSET_RESET="error")
    assert consumer.process.wait(30) == 2
    last = consumer.output.strip().splitlines()[-1]
    assert last.startswith("velox consume: AUTO_OFFSET_RESET=error: ")
    assert "set earliest or latest" in last
    one.check_no_orphans()


def expire_unread(one: Ledger) -> None:
    """Have 50 records stored, and 20 of the next 50 removed before anybody reads them."""
    one.load.publish(*(f"good {i}" for i in range(50)))
    first = one.consume()
    one.wait_until_stored(50)
    assert first.stop() == 0
    one.load.publish(*(f"good {i}" for i in range(50, 100)))
    upto = TopicPartition(one.pipeline.topic, 0, 70)
    client = admin(one)
    client.delete_records([upto])[upto].result(10)
    for offset in range(50, 70):
        del one.load.acknowledged[f"{one.pipeline.topic}-0-{offset}"]


@pytest.mark.fault(
    "topic deleted while it runs, then made again",
    "ends with one clear line, code 2; started again, it reads the new topic whole",
)
def test_a_topic_made_again_is_read_from_its_beginning(ledger: LedgerFactory, kafka: KafkaServer) -> None:
    one = ledger(partitions=1, SINKS="sqlite,tests.faults.journal:JournalSink")
    one.load.publish(*(f"good {i}" for i in range(50)))
    consumer = one.consume()
    one.wait_until_stored(50)
    client = admin(one)
    client.delete_topics([one.pipeline.topic])[one.pipeline.topic].result(10)
    wait_until(lambda: one.pipeline.topic not in client.list_topics(timeout=5).topics, what="the topic is gone")
    assert consumer.process.wait(30) == 2
    assert f"{one.pipeline.topic} is gone: was it deleted?" in consumer.output.splitlines()[-1]
    one.load.acknowledged.clear()
    kafka.create_topic(one.pipeline.topic, partitions=1)
    one.fault()
    one.load.publish(*(f"good new {i}" for i in range(60)))  # more than there were: the old offset would be valid
    consumer = one.consume()
    one.wait_until_stored(60)
    one.finish(consumer)
