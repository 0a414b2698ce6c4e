"""What goes into a transaction, and what becomes of it: results and offsets stay together."""

import time
from dataclasses import replace
from itertools import repeat
from typing import Any, cast

import pytest

from tests.e2e.pipeline import wait_until
from tests.fakes import FakeBroker
from tests.results import make_results
from velox.consumer import exactly_once
from velox.consumer.exactly_once import ExactlyOnce
from velox.core.offsets import Offsets
from velox.errors import BrokerUnavailableError, RefusedResultsError, VeloxError
from velox.kafka.transactions import InDoubtError
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Partition, Position, Result
from velox.settings import Settings

P0, P1 = Partition("image_data", 0), Partition("image_data", 1)


class FakeMember:
    def __init__(self) -> None:
        self.owned = frozenset({P0, P1})

    def membership(self) -> str:
        return "member 1 of generation 7"


class Bench:
    """Exactly-once with fakes on both sides. Of `make_results`, every sixth offset is in partition 0."""

    def __init__(self, broker: FakeBroker) -> None:
        self.offsets = Offsets()
        self.member = FakeMember()
        self.metrics = ConsumerMetrics()
        self.once = ExactlyOnce(
            Settings(sinks=("kafka",), delivery="exactly_once"), self.metrics, self.offsets, cast("Any", self.member)
        )
        self.broker = broker

    def fetch(self, partition: int, *offsets: int) -> None:
        for offset in offsets:
            self.offsets.fetched(Position("image_data", partition, offset))

    def write(self, *results: Result, epoch: int | None = None) -> None:
        """What the writer does."""
        now = self.offsets.epoch if epoch is None else epoch
        self.once.write([replace(result, record=replace(result.record, epoch=now)) for result in results])

    def note_done(self, *results: Result, epoch: int | None = None) -> None:
        """What the fetcher does then."""
        for result in results:
            self.offsets.done(result.record.position, epoch=self.offsets.epoch if epoch is None else epoch)

    def store(self, *results: Result) -> None:
        """Both."""
        self.write(*results)
        self.note_done(*results)

    def commit(self) -> None:
        self.once.commit_now(self.offsets.committable())

    def blocked_by(self) -> str | None:
        return self.once.blocked_by

    def visible(self) -> list[str]:
        return [(message["key"] or b"").decode() for t in self.broker.committed for message in t.batch]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    broker = FakeBroker()
    monkeypatch.setattr(exactly_once, "TransactionalProducer", broker.producer)
    monkeypatch.setattr(exactly_once, "committed_offsets", broker.committed_offsets)
    monkeypatch.setattr(exactly_once, "backoff_s", lambda: repeat(0))
    return Bench(broker)


RESULTS = {result.record.position.offset: result for result in make_results(31)}


def test_it_asks_for_the_results_topic() -> None:
    with pytest.raises(ValueError, match="add kafka to SINKS=mongo,disk"):
        Settings(delivery="exactly_once")


def test_results_go_with_the_offsets_that_cover_them_and_the_membership(bench: Bench) -> None:
    bench.fetch(0, 0, 6)
    bench.fetch(1, 1)
    bench.store(RESULTS[1], RESULTS[6], RESULTS[0])
    bench.commit()
    (transaction,) = bench.broker.committed
    assert bench.visible() == ["image_data-0-0", "image_data-0-6", "image_data-1-1"]
    assert transaction.offsets == {P0: 7, P1: 2}
    assert transaction.group == "member 1 of generation 7"
    assert bench.offsets.committable() == {}


def test_two_records_with_one_id_are_two_messages_with_one_key(bench: Bench) -> None:
    twins = [replace(RESULTS[at], record=replace(RESULTS[at].record, id="same")) for at in (0, 6)]
    bench.fetch(0, 0, 6)
    bench.store(*twins)
    bench.commit()
    (transaction,) = bench.broker.committed
    positions = [dict(message["headers"])["velox-position"] for message in transaction.batch]
    assert (bench.visible(), positions) == (["same", "same"], [b"image_data-0-0", b"image_data-0-6"])


def test_a_result_waits_for_those_before_it(bench: Bench) -> None:
    bench.fetch(0, 0, 6, 12)
    bench.store(RESULTS[6])
    bench.commit()
    assert bench.broker.committed == []
    bench.store(RESULTS[0])
    bench.commit()
    assert bench.visible() == ["image_data-0-0", "image_data-0-6"]
    assert bench.broker.committed[0].offsets == {P0: 12}


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
    bench.note_done(RESULTS[0])
    bench.commit()
    assert bench.broker.committed[0].offsets == {P0: 1}


def test_an_aborted_transaction_is_tried_again_and_holds_up_fetching_until_it_succeeds(bench: Bench) -> None:
    bench.fetch(0, 0, 6)
    bench.store(RESULTS[0])
    bench.broker.errors = [InDoubtError("no")]
    bench.commit()
    assert bench.broker.committed == []
    assert bench.blocked_by() == "transactions"
    assert bench.metrics.registry.get_sample_value("velox_sink_retries_total", {"sink": "kafka"}) == 1
    bench.store(RESULTS[6])
    bench.commit()
    assert bench.visible() == ["image_data-0-0", "image_data-0-6"]
    assert bench.blocked_by() is None


def test_a_failure_ends_with_the_partitions_it_was_about(bench: Bench) -> None:
    bench.fetch(0, 0)
    bench.store(RESULTS[0])
    bench.broker.errors = [InDoubtError("no")]
    bench.commit()
    bench.offsets.forget([P0])
    bench.commit()
    assert bench.blocked_by() is None


def test_a_transaction_in_doubt_that_the_broker_had_committed_is_not_sent_again(bench: Bench) -> None:
    bench.fetch(0, 0, 6)
    bench.store(RESULTS[0])
    bench.broker.errors = [InDoubtError("no answer")]
    bench.broker.offsets = {P0: 6}
    bench.commit()
    assert bench.broker.committed == [], "its producer does not know"
    assert bench.offsets.committable() == {}
    assert bench.blocked_by() is None
    bench.store(RESULTS[6])
    bench.commit()
    assert bench.visible() == ["image_data-0-6"]


def test_a_producer_that_failed_is_replaced_by_one_with_the_same_name(bench: Bench) -> None:
    bench.fetch(0, 0)
    bench.store(RESULTS[0])
    bench.broker.errors = [InDoubtError("fenced"), InDoubtError("fenced")]
    bench.broker.refusals = [BrokerUnavailableError("not yet"), BrokerUnavailableError("not yet")]
    bench.commit()
    bench.commit()
    bench.commit()
    assert bench.visible() == ["image_data-0-0"]
    assert len(bench.broker.names) == 3
    assert len(set(bench.broker.names)) == 1


def test_a_broker_that_refuses_transactions_for_good_ends_the_consumer(bench: Bench) -> None:
    bench.fetch(0, 0)
    bench.store(RESULTS[0])
    bench.broker.errors = [InDoubtError("fenced")]
    bench.broker.refusals = [VeloxError("Kafka refuses transactions")]
    bench.once.commit(bench.offsets.committable())
    with pytest.raises(VeloxError, match="Kafka refuses transactions"):
        wait_until(lambda: bench.once.commit(bench.offsets.committable()), what="it says so")
    assert bench.visible() == []


def test_a_transaction_that_takes_too_long_is_given_up_and_settled_by_asking(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fetch(0, 0)
    bench.store(RESULTS[0])
    bench.broker.may_end.clear()
    bench.once.commit(bench.offsets.committable())
    bench.once.commit(bench.offsets.committable())
    assert len(bench.broker.names) == 1, "it has time"
    monkeypatch.setattr(exactly_once, "monotonic", lambda: time.monotonic() + 12)
    bench.once.commit({})
    wait_until(lambda: len(bench.broker.names) == 2, what="another producer")
    assert bench.blocked_by() == "transactions"
    bench.broker.may_end.set()
    bench.commit()
    wait_until(lambda: len(bench.broker.committed) == 2, what="the call that was given up, and the new transaction")
    assert bench.offsets.committable() == {}, "only the new one counts"


def test_a_call_that_never_returns_ends_the_consumer_once_the_broker_is_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fetch(0, 0, 6)
    bench.store(RESULTS[0])
    bench.broker.may_end.clear()
    bench.once.commit(bench.offsets.committable())
    monkeypatch.setattr(exactly_once, "monotonic", lambda: time.monotonic() + 12)
    bench.broker.offsets = {P0: 6}

    def is_settled() -> bool:
        bench.once.commit({})
        return not bench.offsets.committable()

    wait_until(is_settled, what="the broker says how it ended")
    monkeypatch.setattr(exactly_once, "monotonic", lambda: time.monotonic() + 70)
    bench.once.commit({})
    monkeypatch.setattr(exactly_once, "monotonic", lambda: time.monotonic() + 80)
    with pytest.raises(
        VeloxError, match="a call of Kafka's driver has not returned for 80 s; start the consumer again"
    ):
        bench.once.commit({})
    bench.broker.may_end.set()


def test_polling_goes_on_while_a_transaction_runs_and_none_begins_beside_it(bench: Bench) -> None:
    bench.fetch(0, 0, 6)
    bench.store(RESULTS[0])
    bench.broker.may_end.clear()
    bench.once.commit(bench.offsets.committable())
    bench.store(RESULTS[6])
    bench.once.commit(bench.offsets.committable())
    assert bench.broker.committed == []
    bench.broker.may_end.set()
    bench.commit()
    assert [t.offsets for t in bench.broker.committed] == [{P0: 6}, {P0: 7}]


def test_nothing_is_committed_for_partitions_that_are_another_members(bench: Bench) -> None:
    bench.fetch(0, 0)
    bench.fetch(1, 1)
    bench.store(RESULTS[0], RESULTS[1])
    bench.member.owned = frozenset({P1})
    bench.commit()
    assert bench.visible() == ["image_data-1-1"]
    assert bench.broker.committed[0].offsets == {P1: 2}


def test_results_from_before_a_partition_went_and_came_back_are_not_sent(bench: Bench) -> None:
    bench.fetch(0, 0, 6, 12)
    bench.write(RESULTS[0], RESULTS[6])  # finished too late: the partition has gone
    bench.offsets.forget([P0])
    bench.fetch(0, 6, 12)  # another member has committed up to 6
    bench.store(RESULTS[6])
    bench.commit()
    assert bench.visible() == ["image_data-0-6"]
    bench.store(RESULTS[6], RESULTS[12])
    bench.commit()
    assert bench.visible() == ["image_data-0-6", "image_data-0-12"]


def test_a_partition_that_goes_and_comes_back_between_staging_and_done_loses_nothing(bench: Bench) -> None:
    """Staged; the next sink still writes; partition lost, a commit runs; back, fetched again; only now done."""
    bench.fetch(0, 0, 6)
    before = bench.offsets.epoch
    bench.write(RESULTS[0], RESULTS[6])
    bench.offsets.forget([P0])
    bench.member.owned = frozenset({P1})
    bench.commit()
    bench.member.owned = frozenset({P0, P1})
    bench.fetch(0, 0, 6)
    bench.note_done(RESULTS[0], RESULTS[6], epoch=before)
    bench.commit()
    assert (bench.broker.committed, bench.offsets.committable()) == ([], {}), "the old ones say nothing of the new"
    bench.store(RESULTS[0], RESULTS[6])
    bench.commit()
    assert bench.visible() == ["image_data-0-0", "image_data-0-6"]
    assert bench.broker.committed[0].offsets == {P0: 7}


def test_a_result_of_an_earlier_epoch_that_comes_late_does_not_take_the_place_of_the_new_one(bench: Bench) -> None:
    bench.fetch(0, 0)
    before = bench.offsets.epoch
    bench.offsets.forget([P0])
    bench.fetch(0, 0)
    bench.write(RESULTS[0])
    bench.write(RESULTS[0], epoch=before)
    bench.note_done(RESULTS[0])
    bench.commit()
    assert bench.visible() == ["image_data-0-0"]


def test_what_the_topic_would_refuse_is_not_staged_and_its_neighbours_are(bench: Bench) -> None:
    cast("Any", bench.once)._limit_bytes = 800
    large = replace(RESULTS[6], record=replace(RESULTS[6].record, ground_truth="x" * 256))
    bench.fetch(0, 0, 6, 12)
    with pytest.raises(RefusedResultsError) as refusal:
        bench.write(RESULTS[0], large, RESULTS[12])
    assert list(refusal.value.refused) == ["image_data-0-6"]
    bench.note_done(RESULTS[0], large, RESULTS[12])
    bench.commit()
    assert bench.visible() == ["image_data-0-0", "image_data-0-12"]


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
