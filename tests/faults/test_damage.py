"""What lies damaged in a broker's log: it is named, nothing else is lost, and on demand it is skipped and counted."""

from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.e2e.pipeline import BOTH_DELIVERIES, wait_until
from tests.faults.conftest import LedgerFactory
from tests.faults.ledger import Ledger
from tests.servers.kafka import KafkaServer

BATCHES, RECORDS = 3, 20
_RECORDS_BEGIN = 61
"""Bytes into a batch, by the format's second version: from here on it may be compressed."""


def publish_batches(one: Ledger, compression: str) -> None:
    producer = Producer(
        {"bootstrap.servers": one.pipeline.bootstrap, "compression.type": compression, "linger.ms": 500}
    )
    for batch in range(BATCHES):
        for number in range(RECORDS):
            producer.produce(one.pipeline.topic, f"record {batch} {number} ".encode() * 20, partition=0)
        assert producer.flush(10) == 0


def damage(broker: KafkaServer, topic: str, batch: int) -> None:
    (log,) = Path(broker.folder).glob(f"data/{topic}-0/*.log")
    content = bytearray(log.read_bytes())
    end = 0
    for _ in range(batch + 1):  # an offset, a length, and then as many bytes
        begin, end = end, end + 12 + int.from_bytes(content[end + 8 : end + 12], "big")
    for at in range(begin + _RECORDS_BEGIN, end - 4):
        content[at] ^= 0x5A
    log.write_bytes(content)


@pytest.mark.fault("a batch damaged in the broker's log", "named, alerted, and waited for: the rest goes on")
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_a_damaged_batch_is_named_and_holds_up_only_its_partition(ledger: LedgerFactory, compression: str) -> None:
    with KafkaServer() as broker:
        one = ledger(broker=broker, partitions=2)
        publish_batches(one, compression)
        broker.stop()
        damage(broker, one.pipeline.topic, 1)
        broker.start()
        consumer = one.consume()
        place = f"{one.pipeline.topic}-0 stands still at offset {RECORDS}, a damaged batch"
        consumer.wait_until_it_says(place)
        assert consumer.says("DAMAGED_BATCHES=skip")
        assert consumer.output.count(place) == 1, "told once in a while, not each time it is tried"
        cause = f"damaged batch: {one.pipeline.topic}-0 stands still at offset {RECORDS}"
        wait_until(lambda: consumer.not_ready_because() == cause, what=cause)
        wait_until(lambda: consumer.metric("velox_damaged_partitions") == 1, what="the metric says so")
        one.load.begin()
        one.wait_until_stored(RECORDS + 50)
        one.load.end()
        assert consumer.metric("velox_damaged_records_total") == 0
        assert one.committed()[0] == RECORDS, "nothing behind it is passed over"
        assert consumer.stop() == 0, consumer.output
        one.check_no_orphans()


@pytest.mark.fault("a batch damaged in the broker's log, DAMAGED_BATCHES=skip", "lost and counted, and nothing else is")
@pytest.mark.parametrize("batch", range(BATCHES))
@BOTH_DELIVERIES
def test_a_damaged_batch_is_skipped_on_demand_and_counted(ledger: LedgerFactory, delivery: str, batch: int) -> None:
    with KafkaServer() as broker:
        one = ledger(broker=broker, partitions=1, DELIVERY=delivery, DAMAGED_BATCHES="skip")
        publish_batches(one, "zstd")
        broker.stop()
        damage(broker, one.pipeline.topic, batch)
        broker.start()
        consumer = one.consume()
        consumer.wait_until_it_says("Metrics and health")
        wait_until(lambda: consumer.metric("velox_damaged_records_total") == RECORDS, what=lambda: consumer.output)
        wait_until(lambda: one.committed()[0] >= BATCHES * RECORDS, what="it is committed over")
        wait_until(lambda: not consumer.not_ready_because(), what="ready again")
        wait_until(lambda: consumer.metric("velox_consumer_lag") == 0, what="nothing lies behind it")
        publish_batches(one, "zstd")
        one.wait_until_stored((2 * BATCHES - 1) * RECORDS)
        wait_until(lambda: one.pipeline.uncommitted() == 0, what="all committed")
        assert consumer.metric("velox_damaged_records_total") == RECORDS
        assert consumer.metric("velox_records_total", outcome="predicted") == one.stored(), "none is read twice"
        assert consumer.stop() == 0, consumer.output
        if delivery == "exactly_once":
            assert set(Counter(message.key() for message in one.pipeline.visible()).values()) == {1}
        one.check_no_orphans()


@pytest.mark.fault("a consumer so slow that partitions wait for their turn, DAMAGED_BATCHES=skip", "nothing is skipped")
def test_a_partition_that_waits_for_its_turn_is_not_damaged(ledger: LedgerFactory) -> None:
    with KafkaServer() as broker:
        one = ledger(
            broker=broker,
            partitions=4,
            DAMAGED_BATCHES="skip",
            LOG_LEVEL="DEBUG",
            QUEUE_SIZE=16,
        )
        producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 500})
        for number in range(4 * 4000):
            producer.produce(one.pipeline.topic, f"slow {number} ".encode() * 100, partition=number % 4)
            producer.poll(0)
        assert producer.flush(30) == 0
        consumer = one.consume()
        consumer.wait_until_it_says("can be read: its turn has not come", timeout_s=100)
        wait_until(lambda: consumer.output.count("its turn has not come") > 3, what="several wait", timeout_s=100)
        assert not consumer.says("damaged batch")
        assert consumer.metric("velox_damaged_records_total") == 0
        assert consumer.stop() == 0, consumer.output
