"""What goes into a transaction, and what becomes of it: results and offsets stay together."""

import threading
from typing import Any, cast

import pytest

from tests.e2e.pipeline import wait_until
from tests.results import make_results
from velox.consumer import exactly_once
from velox.consumer.exactly_once import ExactlyOnce
from velox.core.offsets import Offsets
from velox.errors import BrokerUnavailableError, VeloxError
from velox.kafka.transactions import Transaction
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Partition, Position, Result
from velox.settings import Settings

P0, P1 = Partition("image_data", 0), Partition("image_data", 1)


class FakeProducer:
    """Remembers transactions; fails as told, and takes as long as told."""

    def __init__(self, _settings: Settings) -> None:
        self.committed: list[Transaction] = []
        self.errors: list[VeloxError] = []
        self.may_end = threading.Event()
        self.may_end.set()

    def commit(self, transaction: Transaction) -> None:
        assert self.may_end.wait(60)
        if self.errors:
            raise self.errors.pop(0)
        self.committed.append(transaction)


class FakeMember:
    def __init__(self) -> None:
        self.owned = frozenset({P0, P1})

    def membership(self) -> str:
        return "member 1 of generation 7"


class Bench:
    """Exactly-once with fakes on both sides. Of `make_results`, every sixth offset is in partition 0."""

    def __init__(self) -> None:
        self.offsets = Offsets()
        self.member = FakeMember()
        self.metrics = ConsumerMetrics()
        self.once = ExactlyOnce(Settings(sinks=("kafka",), delivery="exactly_once"), self.metrics, self.offsets)
        self.once.through(cast("Any", self.member))
        self.producer = cast("FakeProducer", cast("Any", self.once)._producer)

    def fetch(self, partition: int, *offsets: int) -> None:
        for offset in offsets:
            self.offsets.fetched(Position("image_data", partition, offset))

    def store(self, *results: Result) -> None:
        """What the writer does, then the fetcher."""
        self.once.write(results)
        for result in results:
            self.offsets.done(result.record.position)

    def commit(self) -> None:
        self.once.commit_now(self.offsets.committable())

    def blocked_by(self) -> str | None:
        return self.once.blocked_by

    def visible(self) -> list[str]:
        return [(message["key"] or b"").decode() for t in self.producer.committed for message in t.batch]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(exactly_once, "TransactionalProducer", FakeProducer)
    return Bench()


RESULTS = {result.record.position.offset: result for result in make_results(31)}


def test_it_asks_for_the_results_topic() -> None:
    with pytest.raises(ValueError, match="add kafka to SINKS=mongo,disk"):
        Settings(delivery="exactly_once")


def test_results_go_with_the_offsets_that_cover_them_and_the_membership(bench: Bench) -> None:
    bench.fetch(0, 0, 6)
    bench.fetch(1, 1)
    bench.store(RESULTS[1], RESULTS[6], RESULTS[0])
    bench.commit()
    (transaction,) = bench.producer.committed
    assert bench.visible() == ["image_data-0-0", "image_data-0-6", "image_data-1-1"]
    assert transaction.offsets == {P0: 7, P1: 2}
    assert transaction.group == "member 1 of generation 7"
    assert bench.offsets.committable() == {}


def test_a_result_waits_for_those_before_it(bench: Bench) -> None:
    bench.fetch(0, 0, 6, 12)
    bench.store(RESULTS[6])
    bench.commit()
    assert bench.producer.committed == []
    bench.store(RESULTS[0])
    bench.commit()
    assert bench.visible() == ["image_data-0-0", "image_data-0-6"]
    assert bench.producer.committed[0].offsets == {P0: 7}


def test_what_was_committed_is_not_sent_again(bench: Bench) -> None:
    bench.fetch(0, 0, 6)
    bench.store(RESULTS[0])
    bench.commit()
    bench.store(RESULTS[6])
    bench.commit()
    bench.commit()
    assert bench.visible() == ["image_data-0-0", "image_data-0-6"]


def test_offsets_without_results_are_committed_too(bench: Bench) -> None:
    bench.fetch(0, 0)
    bench.offsets.done(Position("image_data", 0, 0))
    bench.commit()
    assert bench.producer.committed[0].offsets == {P0: 1}


def test_an_aborted_transaction_is_tried_again_and_holds_up_fetching_until_it_succeeds(bench: Bench) -> None:
    bench.fetch(0, 0, 6)
    bench.store(RESULTS[0])
    bench.producer.errors = [BrokerUnavailableError("transaction aborted: no")]
    bench.commit()
    assert bench.producer.committed == []
    assert bench.blocked_by() == "transactions"
    assert bench.metrics.registry.get_sample_value("velox_sink_retries_total", {"sink": "kafka"}) == 1
    bench.store(RESULTS[6])
    bench.commit()
    assert bench.visible() == ["image_data-0-0", "image_data-0-6"]
    assert bench.blocked_by() is None


def test_a_failure_ends_with_the_partitions_it_was_about(bench: Bench) -> None:
    bench.fetch(0, 0)
    bench.store(RESULTS[0])
    bench.producer.errors = [BrokerUnavailableError("transaction aborted: no")]
    bench.commit()
    bench.offsets.forget([P0])
    bench.commit()
    assert bench.blocked_by() is None


def test_a_producer_that_failed_for_good_ends_the_consumer(bench: Bench) -> None:
    bench.fetch(0, 0)
    bench.store(RESULTS[0])
    bench.producer.errors = [VeloxError("fenced"), VeloxError("fenced")]
    bench.commit()
    with pytest.raises(VeloxError, match="fenced"):
        wait_until(lambda: bench.once.commit(bench.offsets.committable()), what="it says so")
    assert bench.visible() == []


def test_polling_goes_on_while_a_transaction_runs_and_none_begins_beside_it(bench: Bench) -> None:
    bench.fetch(0, 0, 6)
    bench.store(RESULTS[0])
    bench.producer.may_end.clear()
    bench.once.commit(bench.offsets.committable())
    bench.store(RESULTS[6])
    bench.once.commit(bench.offsets.committable())
    assert bench.producer.committed == []
    bench.producer.may_end.set()
    bench.commit()
    assert [t.offsets for t in bench.producer.committed] == [{P0: 1}, {P0: 7}]


def test_nothing_is_committed_for_partitions_that_are_another_members(bench: Bench) -> None:
    bench.fetch(0, 0)
    bench.fetch(1, 1)
    bench.store(RESULTS[0], RESULTS[1])
    bench.member.owned = frozenset({P1})
    bench.commit()
    assert bench.visible() == ["image_data-1-1"]
    assert bench.producer.committed[0].offsets == {P1: 2}


def test_results_from_before_a_partition_went_and_came_back_are_not_sent(bench: Bench) -> None:
    bench.fetch(0, 0, 6, 12)
    bench.once.write([RESULTS[0], RESULTS[6]])  # finished too late: the partition has gone
    bench.offsets.forget([P0])
    bench.fetch(0, 6, 12)  # another member has committed up to 6
    bench.store(RESULTS[6])
    bench.commit()
    assert bench.visible() == ["image_data-0-6"]
    bench.store(RESULTS[6], RESULTS[12])
    bench.commit()
    assert bench.visible() == ["image_data-0-6", "image_data-0-12"]


def test_nothing_more_is_fetched_when_too_many_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exactly_once, "_MOST_STAGED", 1)
    bench.fetch(0, 0, 6, 12)
    bench.store(RESULTS[6])
    assert bench.blocked_by() is None
    bench.store(RESULTS[12])
    assert bench.blocked_by() == "transactions"
    bench.store(RESULTS[0])
    bench.commit()
    assert bench.blocked_by() is None


def test_closing_the_sink_keeps_what_the_last_commit_needs(bench: Bench) -> None:
    bench.fetch(0, 0)
    bench.store(RESULTS[0])
    bench.once.close()
    bench.commit()
    assert bench.visible() == ["image_data-0-0"]
