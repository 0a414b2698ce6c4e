"""A member of a group whose broker is far away: its answers come late, in an order of their own."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing

import pytest
from confluent_kafka import Producer

from tests.e2e.pipeline import PATIENCE_S
from tests.servers.distant_kafka import LIST_OFFSETS, DistantBroker
from velox.kafka.client import KafkaClient
from velox.records import Partition
from velox.settings import Settings


@pytest.fixture(scope="module")
def distant() -> Iterator[DistantBroker]:
    broker = DistantBroker()
    with broker.proxy, closing(broker):
        yield broker.start()


class Nothing:
    """Whom partitions do not interest."""

    def assigned(self, starts: Mapping[Partition, int]) -> None:
        pass

    def revoked(self, partitions: Sequence[Partition]) -> None:
        pass

    def lost(self, partitions: Sequence[Partition]) -> None:
        pass

    def refused(self, error: str) -> None:
        pass


@pytest.mark.parametrize("reset", ["latest", "earliest"])
def test_what_appears_is_read_from_its_beginning_however_late_the_driver_would_hear_where_its_end_is(
    distant: DistantBroker, reset: str
) -> None:
    names = f"far-{uuid.uuid4().hex[:8]}"
    distant.create_topic(f"{names}_1", partitions=1)
    distant.proxy.held[LIST_OFFSETS] = 0.3
    settings = Settings(
        kafka_bootstrap_server=distant.far,
        kafka_topic=f"^{names}_\\d+$",
        kafka_consumer_group=names,
        dead_letter_topic=f"{names}.dlq",
        auto_offset_reset=reset,
    )
    with closing(KafkaClient(settings)) as client:
        client.subscribe(Nothing(), lambda _offsets: None)
        _fetch(client, until=lambda: bool(client.positions()))
        distant.create_topic(f"{names}_2", partitions=1)
        producer = Producer({"bootstrap.servers": distant.bootstrap})
        for number in range(20):
            producer.produce(f"{names}_2", str(number).encode())
        assert producer.flush(PATIENCE_S) == 0
        read: list[int] = []
        _fetch(client, until=lambda: len(read) == 20, into=read)
    assert read == list(range(20))


def _fetch(client: KafkaClient, *, until: Callable[[], bool], into: list[int] | None = None) -> None:
    """Fetch until that holds, or nothing more is to be expected; as the fetcher does, which looks once a second."""
    end = time.monotonic() + PATIENCE_S / 2
    while not until() and time.monotonic() < end:
        client.look(client.positions(), is_reading=True)
        for message in client.fetch(100, 0.1):
            value = message.value()
            if into is not None and value is not None:
                into.append(int(value))
