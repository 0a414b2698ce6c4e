"""Where a group begins in partitions for which it has committed nothing; how that comes out is in test_kafka_client."""

from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.fakes import ScriptedConsumer
from velox.errors import VeloxError
from velox.kafka.beginnings import Beginnings
from velox.settings import Settings

LOW, HIGH = 2, 9
"""Where each partition begins, and ends."""


class Bench:
    """A broker, and what it is asked before this member joins."""

    def __init__(self, reset: str) -> None:
        self.beginnings = Beginnings(Settings(auto_offset_reset=reset))
        self.driver = ScriptedConsumer()
        self.driver.watermarks = (LOW, HIGH)
        self.driver.offsets = {}
        self.waits: list[float] = []
        self.comes_back_after = 0
        self.is_stopping = False

    def survey(self) -> None:
        def listen(timeout_s: float) -> None:
            self.waits.append(timeout_s)
            self.driver.silent = len(self.waits) < self.comes_back_after

        self.driver.silent = self.comes_back_after > 0
        self.beginnings.survey(cast("Consumer", self.driver), listen=listen, is_stopping=lambda: self.is_stopping)

    def choose(self, *numbers: int) -> dict[int, int]:
        asked = [TopicPartition("image_data", number) for number in numbers]
        _, chosen = self.beginnings.find(cast("Consumer", self.driver), asked)
        return {at.number: offset for at, offset in chosen.items()}


@pytest.mark.parametrize(("reset", "start"), [("earliest", LOW), ("latest", HIGH)])
def test_a_group_that_starts_begins_as_it_is_told(reset: str, start: int) -> None:
    bench = Bench(reset)
    bench.survey()
    assert bench.choose(0, 1) == {0: start, 1: start}


@pytest.mark.parametrize("reset", ["earliest", "latest", "error"])
@pytest.mark.parametrize("appears", ["meanwhile", "in a topic that was empty"])
def test_a_partition_that_was_not_there_is_read_from_its_beginning(reset: str, appears: str) -> None:
    bench = Bench(reset)
    bench.driver.there = [0] if appears == "meanwhile" else []
    bench.survey()
    assert bench.choose(1) == {1: LOW}


@pytest.mark.parametrize("reset", ["earliest", "latest", "error"])
@pytest.mark.parametrize("committed", [3, 0])
def test_in_a_group_that_is_at_work_a_partition_without_an_offset_is_new(reset: str, committed: int) -> None:
    bench = Bench(reset)
    bench.driver.offsets = {0: committed}
    bench.survey()
    assert bench.choose(1) == {1: LOW}


@pytest.mark.parametrize("reset", ["earliest", "latest", "error"])
def test_a_group_whose_offset_a_transaction_is_about_to_move_is_at_work(reset: str) -> None:
    bench = Bench(reset)
    bench.driver.unstable = {0}
    bench.survey()
    assert bench.choose(1) == {1: LOW}


def test_a_new_group_that_is_told_to_begin_nowhere_ends_with_the_remedy() -> None:
    bench = Bench("error")
    bench.survey()
    with pytest.raises(VeloxError, match="no committed offset in image_data-1; set earliest or latest, or reset"):
        bench.choose(1)


def test_a_broker_that_is_away_is_asked_again_less_and_less_often_and_why_is_heard_meanwhile() -> None:
    bench = Bench("latest")
    bench.comes_back_after = 8
    bench.survey()
    assert len(bench.waits) == 8
    assert all(0 < wait_s <= 2 for wait_s in bench.waits)
    assert bench.waits[-1] > 4 * bench.waits[0]
    assert bench.choose(0) == {0: HIGH}


def test_a_stop_ends_the_wait_for_a_broker() -> None:
    bench = Bench("latest")
    bench.comes_back_after = 1000
    bench.is_stopping = True
    bench.survey()
    assert bench.waits == []


def test_a_broker_that_does_not_answer_when_a_place_is_chosen_is_an_outage() -> None:
    bench = Bench("latest")
    bench.survey()
    bench.driver.silent = True
    with pytest.raises(KafkaException):
        bench.choose(0)
