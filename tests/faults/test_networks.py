"""A network that fails between one consumer and its broker, while the broker and everybody else are well."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.e2e.pipeline import BOTH_DELIVERIES, wait_until
from tests.faults.conftest import LedgerFactory
from tests.servers.distant_kafka import DistantBroker
from tests.servers.proxy import TcpProxy


@pytest.fixture(scope="module")
def distant() -> Iterator[DistantBroker]:
    broker = DistantBroker()
    with broker.proxy, closing(broker):
        yield broker.start()


@pytest.fixture(autouse=True)
def whole_again(distant: DistantBroker) -> Iterator[None]:
    yield
    distant.proxy.unblock()


BREAK: dict[str, Callable[[TcpProxy], None]] = {
    "connections break": TcpProxy.block,
    "everything is dropped": TcpProxy.hang,
    "answers are dropped": lambda proxy: proxy.hang(answers_only=True),
}


@pytest.mark.fault(
    "network partition between one consumer and the broker", "others take over; healed, it rewinds nothing"
)
@pytest.mark.parametrize(
    "how",
    [
        pytest.param("everything is dropped", marks=pytest.mark.representative),
        "answers are dropped",
        "connections break",
    ],
)
@BOTH_DELIVERIES
def test_a_consumer_cut_off_is_replaced_and_moves_nothing_when_it_is_back(
    ledger: LedgerFactory, distant: DistantBroker, how: str, delivery: str
) -> None:
    one = ledger(DELIVERY=delivery, broker=distant)
    one.load.begin()
    cut_off = one.consume(KAFKA_BOOTSTRAP_SERVER=distant.far)
    one.wait_until_stored(100)
    BREAK[how](distant.proxy)
    one.fault()
    other = one.consume()
    other.wait_until_it_says("Metrics and health on port")
    wait_until(lambda: other.metric("velox_assigned_partitions") == 3, what="the other has all partitions")
    one.wait_for_more(200)
    before = one.committed()
    distant.proxy.unblock()
    wait_until(lambda: cut_off.metric("velox_assigned_partitions") > 0, what="it has a share again")
    assert not [at for at, offset in one.committed().items() if offset < before[at]], "the group was rewound"
    one.wait_for_more()
    one.finish(other, cut_off)


@pytest.mark.fault("network partition that heals, nobody else there", "it goes on by itself")
@pytest.mark.parametrize("how", BREAK)
@BOTH_DELIVERIES
def test_a_partition_that_heals_costs_only_time(
    ledger: LedgerFactory, distant: DistantBroker, how: str, delivery: str
) -> None:
    one = ledger(DELIVERY=delivery, broker=distant)
    one.load.begin()
    consumer = one.consume(KAFKA_BOOTSTRAP_SERVER=distant.far)
    one.wait_until_stored(100)
    BREAK[how](distant.proxy)
    consumer.wait_until_it_says("Lost")
    assert consumer.probe("/livez")[0] == 200
    distant.proxy.unblock()
    one.fault()
    one.wait_for_more(100)
    one.finish(consumer)


@pytest.mark.fault("connections cut for so many seconds, and then as before", "alive all the time, goes on by itself")
@BOTH_DELIVERIES
@pytest.mark.parametrize("seconds", [4, pytest.param(10, marks=pytest.mark.representative)])
def test_connections_that_are_cut_for_a_while_cost_only_time(
    ledger: LedgerFactory, distant: DistantBroker, seconds: int, delivery: str
) -> None:
    one = ledger(broker=distant, DELIVERY=delivery)
    one.load.begin()
    consumer = one.consume(KAFKA_BOOTSTRAP_SERVER=distant.far)
    one.wait_until_stored(100)
    distant.proxy.block()
    time.sleep(seconds)  # the fault itself
    assert consumer.probe("/livez")[0] == 200
    distant.proxy.unblock()
    one.fault()
    one.wait_for_more(100)
    one.finish(consumer)


@pytest.mark.fault("0.25 s of latency each way between the consumer and the broker", "throughput falls, nothing else")
@BOTH_DELIVERIES
def test_latency_costs_only_time(ledger: LedgerFactory, distant: DistantBroker, delivery: str) -> None:
    one = ledger(DELIVERY=delivery, broker=distant)
    distant.proxy.delay(0.25)
    one.load.begin(rate=50)
    consumer = one.consume(KAFKA_BOOTSTRAP_SERVER=distant.far)
    one.wait_until_stored(50)
    one.fault()
    one.wait_for_more(100)
    assert not consumer.says("Lost")
    one.finish(consumer)
