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
