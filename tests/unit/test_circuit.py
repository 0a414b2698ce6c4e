"""Too many bad records open the circuit, a few among many good ones never do."""

import pytest

from velox.core.circuit import Circuit
from velox.records import Partition

P0, P1 = Partition("image_data", 0), Partition("image_data", 1)
GOOD, BAD = False, True


def test_it_opens_at_its_share_of_the_window_and_not_before() -> None:
    circuit = Circuit(ratio=0.5, window=100, run=0)
    circuit.count(P0, [BAD] * 49)
    assert circuit.cause is None
    circuit.count(P1, [BAD])
    assert circuit.cause == "50 of the last 50 records were bad"


def test_good_records_between_do_not_hide_the_bad_ones() -> None:
    circuit = Circuit(ratio=0.5, window=100, run=0)
    circuit.count(P0, [GOOD, BAD] * 49)
    assert circuit.cause is None
    circuit.count(P0, [GOOD, BAD])
    assert circuit.cause == "50 of the last 100 records were bad"


def test_what_has_left_the_window_does_not_count() -> None:
    circuit = Circuit(ratio=0.5, window=100, run=0)
    for _ in range(20):
        circuit.count(P0, [BAD] * 40 + [GOOD] * 60)
    assert circuit.cause is None


def test_a_run_in_one_partition_opens_it_while_the_others_are_well() -> None:
    circuit = Circuit(ratio=0, window=100, run=20)
    for _ in range(19):
        circuit.count(P0, [GOOD] * 10)
        circuit.count(P1, [BAD])
    assert circuit.cause is None
    circuit.count(P1, [BAD])
    assert circuit.cause == "the last 20 records of image_data-1 were all bad"


def test_a_good_record_ends_a_run() -> None:
    circuit = Circuit(ratio=0, window=100, run=20)
    for _ in range(10):
        circuit.count(P0, [BAD] * 19 + [GOOD])
    assert circuit.cause is None


def test_a_run_does_not_outlive_the_ownership_of_its_partition() -> None:
    circuit = Circuit(ratio=0, window=100, run=20)
    circuit.count(P0, [BAD] * 19)
    circuit.forget([P0])
    circuit.count(P0, [BAD])
    assert circuit.cause is None


@pytest.mark.parametrize("ratio", [0.1, 1.0])
def test_a_ratio_of_one_takes_a_whole_window_of_bad_records(ratio: float) -> None:
    circuit = Circuit(ratio=ratio, window=10, run=0)
    circuit.count(P0, [BAD] * 9)
    assert (circuit.cause is None) == (ratio == 1.0)
    circuit.count(P0, [BAD])
    assert circuit.cause is not None


def test_zero_is_off() -> None:
    circuit = Circuit(ratio=0, window=10, run=0)
    circuit.count(P0, [BAD] * 1000)
    assert circuit.cause is None


def test_an_open_circuit_stays_open_and_keeps_its_cause() -> None:
    circuit = Circuit(ratio=0, window=100, run=2)
    circuit.count(P0, [BAD, BAD])
    first = circuit.cause
    circuit.count(P0, [GOOD] * 1000 + [BAD] * 3)
    assert circuit.cause == first
