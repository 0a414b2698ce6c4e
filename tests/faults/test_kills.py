"""SIGKILL at every hand-over: what was in hand is read again, and stored once."""

import pytest

from tests.e2e.pipeline import BOTH_DELIVERIES, PATIENCE_S, wait_until
from tests.faults.conftest import LedgerFactory

HAND_OVERS = ("after_fetch:5", "after_dispatch:5", "after_dead_letters:1", "after_sink:4", "after_sinks:4")


@pytest.mark.fault("consumer killed", "another takes over after the session time-out")
@pytest.mark.parametrize(
    ("line", "delivery"),
    [
        *((line, "at_least_once") for line in (*HAND_OVERS, "before_commit:3")),
        *(
            (line, "exactly_once")
            for line in (*HAND_OVERS, "before_transaction_offsets:3", "before_transaction_commit:3")
        ),
    ],
)
def test_a_consumer_killed_at_a_hand_over_loses_and_doubles_nothing(
    ledger: LedgerFactory, line: str, delivery: str
) -> None:
    one = ledger(DELIVERY=delivery)
    one.load.begin()
    first = one.consume(f"{line}:kill")
    assert first.process.wait(PATIENCE_S) == -9
    one.fault()
    one.check_committed()
    second = one.consume()
    one.wait_for_more()
    one.finish(second)


@pytest.mark.fault("consumer killed in the middle of giving partitions up", "what it had done is read again by others")
@pytest.mark.parametrize("protocol", ["cooperative-sticky", "range", "consumer"])
@BOTH_DELIVERIES
def test_a_consumer_killed_while_it_gives_partitions_up_costs_nothing(
    ledger: LedgerFactory, protocol: str, delivery: str
) -> None:
    one = ledger(DELIVERY=delivery, GROUP_PROTOCOL=protocol)
    one.load.begin()
    first = one.consume("in_revoke:1:kill")
    one.wait_until_stored(50)
    second = one.consume()
    assert first.process.wait(PATIENCE_S) == -9
    one.fault()
    one.check_committed()
    one.wait_for_more()
    one.finish(second)


@pytest.mark.fault("consumer killed long after one of three sinks took the bulk", "nothing was committed meanwhile")
@pytest.mark.representative
@pytest.mark.parametrize("line", ["after_sink", "after_dead_letters"])
def test_nothing_is_committed_before_the_last_sink_has_it(ledger: LedgerFactory, line: str) -> None:
    one = ledger(COMMIT_INTERVAL_S=0.1)
    one.load.begin()
    first = one.consume(f"{line}:4:sleep" if line == "after_sink" else f"{line}:2:sleep")
    one.wait_for_failpoint(line)
    first.wait_until_it_says("Paused: ")  # full for half a second, and five chances to commit
    first.process.kill()
    one.fault()
    one.check_committed()
    second = one.consume()
    one.wait_for_more()
    one.finish(second)


@pytest.mark.fault("consumer killed while its inference process is busy", "the inference process ends with it")
@pytest.mark.representative
def test_no_process_outlives_a_killed_consumer(ledger: LedgerFactory) -> None:
    one = ledger(INFERENCE_PROCESSES=2)
    one.load.begin()
    first = one.consume("mid_batch:5:sleep")
    one.wait_for_failpoint("mid_batch")
    first.process.kill()
    first.process.wait()
    one.fault()
    one.check_no_orphans()
    second = one.consume()
    one.wait_for_more()
    one.finish(second)


@pytest.mark.fault("inference process fails at a hand-over", "another takes its place, and its records")
@pytest.mark.parametrize(
    "line",
    [
        pytest.param("mid_batch:9:kill", marks=pytest.mark.representative),
        "mid_batch:9:raise",
        "mid_batch:9:stop",
        "after_predict:9:kill",
        "after_predict:9:stop",
        "before_load:1:kill",
    ],
)
def test_an_inference_process_that_fails_costs_no_record(ledger: LedgerFactory, line: str) -> None:
    one = ledger(INFERENCE_TIMEOUT_S=2)
    one.load.begin()
    consumer = one.consume(line)
    one.wait_for_failpoint(line.partition(":")[0])
    one.fault()
    one.wait_for_more(100)
    consumer.wait_until_it_says("replacing it")
    one.finish(consumer, may_trace=line.endswith("raise"))


@pytest.mark.fault("inference processes killed again and again", "every record is predicted")
def test_killing_inference_processes_again_and_again_costs_no_record(ledger: LedgerFactory) -> None:
    one = ledger(INFERENCE_PROCESSES=2)
    one.load.begin()
    consumer = one.consume()
    for _ in range(5):
        one.wait_for_more()
        wait_until(lambda: consumer.metric("velox_inference_processes") == 2, what="both loaded")
        consumer.inference_processes()[0].kill()
        one.fault()
    one.wait_for_more()
    one.finish(consumer)


@pytest.mark.fault("idle inference process killed", "it is replaced before there is work")
def test_an_idle_inference_process_that_is_killed_is_replaced(ledger: LedgerFactory) -> None:
    one = ledger()
    consumer = one.consume()
    consumer.wait_until_ready()
    consumer.inference_processes()[0].kill()
    one.fault()
    consumer.wait_until_it_says("0 records in flight; replacing it")
    one.load.publish(*(f"good {i}" for i in range(50)))
    one.wait_until_stored(50)
    one.finish(consumer)
