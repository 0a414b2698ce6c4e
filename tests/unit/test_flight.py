"""What is in flight is bounded in records and in bytes, and done only when it is said to be."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.fakes import make_record
from velox.consumer.flight import Flight
from velox.core.circuit import Circuit
from velox.records import Partition, Pointer, Record

P0 = Partition("image_data", 0)


def sized(offset: int, size_bytes: int) -> Record:
    return replace(make_record(offset), size_bytes=size_bytes)


def fill(flight: Flight, records: Sequence[Record]) -> None:
    for record in records:
        flight.add(record)


@pytest.fixture
def flight() -> Flight:
    return Flight(max_records=10, max_bytes=1000, circuit=Circuit(ratio=0, window=10, run=2))


def test_it_counts_records_and_the_memory_they_hold(flight: Flight) -> None:
    fill(flight, [sized(0, 300), sized(1, 50)])
    assert (flight.records, flight.bytes, flight.room()) == (2, 350, 8)


def test_done_is_seen_only_when_settled(flight: Flight) -> None:
    records = [make_record(0), make_record(1)]
    fill(flight, records)
    flight.done(records)
    assert (flight.records, flight.offsets.committable()) == (2, {})
    flight.settle()
    assert (flight.records, flight.bytes, flight.offsets.committable()) == (0, 0, {P0: 2})


def test_the_offset_is_held_back_by_what_is_not_done(flight: Flight) -> None:
    first, second = make_record(0), make_record(1)
    fill(flight, [first, second])
    flight.done([second])
    flight.settle()
    assert (flight.records, flight.offsets.committable()) == (1, {})


def test_there_is_no_room_beyond_the_records(flight: Flight) -> None:
    fill(flight, [sized(offset, 1) for offset in range(12)])
    assert flight.room() == 0


def test_there_is_no_room_beyond_the_bytes(flight: Flight) -> None:
    fill(flight, [sized(0, 999)])
    assert flight.room() == 9
    fill(flight, [sized(1, 1)])
    assert flight.room() == 0


def test_what_is_done_makes_room_again_also_for_partitions_that_are_gone(flight: Flight) -> None:
    records = [sized(0, 1000)]
    fill(flight, records)
    flight.offsets.forget([P0])
    flight.done(records)
    flight.settle()
    assert (flight.room(), flight.bytes, flight.offsets.committable()) == (10, 0, {})


def test_a_wait_ends_as_soon_as_another_thread_is_done(flight: Flight) -> None:
    records = [make_record(0)]
    fill(flight, records)
    writer = threading.Thread(target=flight.done, args=(records,))
    writer.start()
    flight.wait(60)  # ends long before, or the test's own time limit does
    writer.join()
    flight.settle()
    assert flight.records == 0


def test_what_was_settled_is_not_waited_for_again(flight: Flight) -> None:
    records = [make_record(0)]
    fill(flight, records)
    flight.done(records)
    flight.settle()
    woken = threading.Event()

    def wait() -> None:
        flight.wait(60)
        woken.set()

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    assert not woken.wait(0.05)
    flight.done([])
    waiter.join()


def test_a_run_of_bad_records_is_counted_in_the_order_of_the_partition_not_of_their_ends(flight: Flight) -> None:
    bad, good, worse = make_record(0), make_record(1), make_record(2)
    fill(flight, [bad, good, worse])
    flight.done([], [bad, worse])
    flight.settle()
    assert flight.circuit.cause is None, "the good one between them takes longer"
    flight.done([good])
    flight.settle()
    assert flight.circuit.cause is None
    fill(flight, [make_record(3)])
    flight.done([], [make_record(3)])
    flight.settle()
    assert flight.circuit.cause == "the last 2 records of image_data-0 were all bad"


def test_bad_records_before_a_partition_went_are_not_in_a_row_with_those_after_it_came_back(flight: Flight) -> None:
    for offset in range(2):
        record = make_record(offset, epoch=flight.offsets.epoch)
        fill(flight, [record])
        flight.done([], [record])
        flight.settle()
        assert flight.offsets.committable() == {P0: offset + 1}
        flight.forget([P0])
    assert flight.circuit.cause is None


def downloaded(flight: Flight, offset: int, payload_bytes: int) -> Record:
    """A record of 10 bytes whose payload has come, as the flight was told."""
    record = replace(sized(offset, 10), payload=b"", pointer=Pointer(key="a"))
    flight.add(record)
    whole = replace(record, payload=bytes(payload_bytes), size_bytes=10 + payload_bytes)
    flight.downloaded(whole)
    return whole


def test_a_payload_that_was_downloaded_counts_until_its_record_is_done(flight: Flight) -> None:
    whole = downloaded(flight, 0, 500)
    assert flight.bytes == 510
    flight.done([whole])
    flight.settle()
    assert (flight.records, flight.bytes) == (0, 0)


def test_payloads_that_use_up_the_bytes_leave_no_room_for_another_until_one_is_done(flight: Flight) -> None:
    wholes = [downloaded(flight, offset, 490) for offset in range(2)]
    assert not flight.wait_for_room(0)
    assert flight.room() == 0
    woken = threading.Event()

    def wait() -> None:
        assert flight.wait_for_room(60)
        woken.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not woken.wait(0.05)
    flight.done(wholes[:1])
    flight.settle()
    waiter.join()
    assert woken.is_set()


def test_what_came_without_payloads_leaves_room_for_one(flight: Flight) -> None:
    fill(flight, [sized(0, 2000)])
    assert flight.room() == 0
    assert flight.wait_for_room(0)
    downloaded(flight, 1, 1)
    assert not flight.wait_for_room(0)
