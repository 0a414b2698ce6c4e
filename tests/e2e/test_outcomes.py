"""A sink that takes outcomes hears of every record, whatever happens to the consumer."""

import sqlite3
from contextlib import closing, suppress

import pytest

from examples.outcomes_table import PATH
from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import Pipeline, wait_until

TABLE = "examples.outcomes_table:OutcomesTable"
TESTING = {"VELOX_TESTING": "1", "SINKS": f"mongo,{TABLE}", "QUEUE_SIZE": "20"}


def heard(pipeline: Pipeline) -> dict[str, str]:
    """By id, what became of it."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(pipeline.folder / PATH)) as connection:
        return dict(connection.execute("SELECT id, coalesce(failed, label) FROM outcomes"))
    return {}


def publish(pipeline: Pipeline) -> dict[str, str]:
    """Publish results, records that cannot be parsed and ones that cannot be decoded; answer what has to be said."""
    due = {}
    for number in range(60):
        identity = f"r-{number}"
        value = [f"good {number}", f"bad {number}", ""][number % 3].encode()
        pipeline.publish(value, headers=[("velox-id", identity)])
        due[identity] = [f"good {number}", "undecodable", "empty"][number % 3]
    return due


@pytest.mark.parametrize("where", ["after_dead_letters", "after_sink", "after_sinks"])
def test_a_consumer_killed_after_its_dead_letters_tells_of_them_when_it_is_started_again(
    pipeline: PipelineFactory, where: str
) -> None:
    told = pipeline(partitions=2, DEAD_LETTER_RATIO="0", DEAD_LETTER_RUN="0", **TESTING)
    due = publish(told)
    killed = told.consume(VELOX_FAILPOINT=f"{where}:3:kill")
    killed.process.wait(60)
    assert killed.process.returncode == -9, killed.output
    assert heard(told) != due, "it was killed before all was told"
    again = told.consume()
    wait_until(lambda: heard(told).keys() == due.keys(), what=lambda: f"{len(heard(told))} heard:\n{again.output}")
    wait_until(lambda: told.uncommitted() == 0, what="all committed")
    assert again.stop() == 0, again.output
    assert heard(told) == due
    assert {document["_id"] for document in told.documents()} == {i for i, what in due.items() if "good" in what}
    assert {why["velox-dlq-id"] for _, why in told.dead_letters()} == {
        i for i, what in due.items() if "good" not in what
    }


def test_nothing_is_committed_that_has_not_been_told(pipeline: PipelineFactory) -> None:
    waiting = pipeline(partitions=1, **TESTING)
    in_the_way = waiting.folder / PATH
    in_the_way.mkdir()
    waiting.publish(b"good", b"bad")
    consumer = waiting.consume()
    consumer.wait_until_it_says("outcomes_table: cannot use outcomes.db")
    assert waiting.uncommitted() == 2
    in_the_way.rmdir()
    wait_until(lambda: waiting.uncommitted() == 0, what="all committed")
    assert consumer.stop() == 0, consumer.output
    assert sorted(heard(waiting).values()) == ["good", "undecodable"]


def test_a_record_past_its_deadline_is_a_failure_and_neither_predicted_nor_a_dead_letter(
    pipeline: PipelineFactory,
) -> None:
    """Nor does it open the circuit, which two bad records in a row would."""
    late = pipeline(partitions=1, DEAD_LETTER_RUN="2", **TESTING)
    for number in range(10):
        late.publish(b"good", headers=[("velox-id", f"late-{number}"), ("velox-deadline", "1700000000000")])
    late.publish(b"good", headers=[("velox-id", "in-time"), ("velox-deadline", "4102444800000")])
    consumer = late.consume()
    wait_until(lambda: len(heard(late)) == 11, what=lambda: f"{heard(late)} heard:\n{consumer.output}")
    wait_until(lambda: late.uncommitted() == 0, what="all committed")
    assert consumer.metric("velox_dropped_records_total", cause="deadline_passed") == 10
    assert consumer.metric("velox_records_total", outcome="dropped") == 10
    assert consumer.metric("velox_circuit_open") == 0
    assert consumer.stop() == 0, consumer.output
    assert heard(late) == {f"late-{number}": "deadline_passed" for number in range(10)} | {"in-time": "good"}
    assert [document["_id"] for document in late.documents()] == ["in-time"]
    assert late.dead_letters() == []
