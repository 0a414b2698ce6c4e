"""Too many bad records stop the consumer, not the other way round."""

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import wait_until

RECORDS = 2000


def test_nothing_but_bad_records_opens_the_circuit_and_leaves_the_rest_in_kafka(pipeline: PipelineFactory) -> None:
    opens_at, in_flight = 100, 50
    one = pipeline(
        partitions=1, DEAD_LETTER_RATIO=0.5, DEAD_LETTER_WINDOW=2 * opens_at, DEAD_LETTER_RUN=0, QUEUE_SIZE=in_flight
    )
    one.publish(*(f"bad {i}".encode() for i in range(RECORDS)))
    consumer = one.consume()
    consumer.wait_until_it_says("Circuit open: ")
    cause = f"circuit open: {opens_at} of the last {opens_at} records were bad"
    wait_until(lambda: consumer.not_ready_because() == cause, what="not ready because of it")
    wait_until(lambda: consumer.metric("velox_in_flight_records") == 0, what="nothing in flight")
    assert consumer.probe("/readyz") == (503, f'{{"ready": false, "cause": "{cause}"}}')
    assert consumer.probe("/livez")[0] == 200
    assert consumer.metric("velox_circuit_open") == 1
    letters = len(one.dead_letters())
    assert opens_at <= letters <= opens_at + in_flight
    one.publish(*(f"bad {i}".encode() for i in range(RECORDS, RECORDS + 200)))
    wait_until(lambda: consumer.metric("velox_consumer_lag_records") == RECORDS + 200 - letters, what="lag grows")
    assert consumer.stop() == 0
    assert len(one.dead_letters()) == letters
    assert one.uncommitted() == RECORDS + 200 - letters

    one.publish(b"good")
    consumer = one.consume(DEAD_LETTER_RATIO=0)
    one.wait_for_documents(1)
    wait_until(lambda: one.uncommitted() == 0, what="all committed")
    assert consumer.stop() == 0
    assert len(one.dead_letters()) == RECORDS + 200


def test_a_run_of_bad_records_among_many_good_ones_opens_it_too(pipeline: PipelineFactory) -> None:
    one = pipeline(partitions=1, DEAD_LETTER_RUN=30, QUEUE_SIZE=20)
    one.publish(*[b"good"] * 200, *[b"bad"] * 100, b"good")
    consumer = one.consume()
    consumer.wait_until_it_says(f"Circuit open: the last 30 records of {one.topic}-0 were all bad")
    wait_until(lambda: consumer.metric("velox_in_flight_records") == 0, what="nothing in flight")
    assert 30 <= len(one.dead_letters()) <= 50
    assert consumer.stop() == 0
