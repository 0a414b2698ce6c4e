"""What lies damaged in a broker's log: it is named, nothing else is lost, and on demand it is skipped and counted."""

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


def damage_second_batch(broker: KafkaServer, topic: str) -> None:
    (log,) = Path(broker.folder).glob(f"data/{topic}-0/*.log")
    content = bytearray(log.read_bytes())
    begin = 12 + int.from_bytes(content[8:12], "big")  # an offset, a length, and then as many bytes
    end = begin + 12 + int.from_bytes(content[begin + 8 : begin + 12], "big")
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
        damage_second_batch(broker, one.pipeline.topic)
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
@BOTH_DELIVERIES
def test_a_damaged_batch_is_skipped_on_demand_and_counted(ledger: LedgerFactory, delivery: str) -> None:
    with KafkaServer() as broker:
        one = ledger(broker=broker, partitions=1, DELIVERY=delivery, DAMAGED_BATCHES="skip")
        publish_batches(one, "zstd")
        broker.stop()
        damage_second_batch(broker, one.pipeline.topic)
        broker.start()
        consumer = one.consume()
        one.wait_until_stored((BATCHES - 1) * RECORDS)
        wait_until(lambda: one.pipeline.uncommitted() == 0, what="all committed")
        assert consumer.metric("velox_damaged_records_total") == RECORDS
        assert one.stored() == (BATCHES - 1) * RECORDS
        wait_until(lambda: not consumer.not_ready_because(), what="ready again")
        assert consumer.stop() == 0, consumer.output
        one.check_no_orphans()
