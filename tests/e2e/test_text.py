"""Texts through the whole pipeline: real Kafka, the real producer and consumer, SQLite."""

import json
import sqlite3
from base64 import b64encode
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import Pipeline, wait_until
from velox.settings.env_file import read
from velox.settings.model import TRANSFORMER

SETTINGS = read(Path(__file__).parents[2] / "pipelines" / "sentiment.env")
TAKEN = {name: value for name, value in SETTINGS.items() if not name.startswith("KAFKA_")}


@pytest.fixture
def sentiment(pipeline: PipelineFactory) -> Pipeline:
    """The pipeline of the repository, on a topic of its own."""
    return pipeline(partitions=2, **TAKEN)


def rows(pipeline: Pipeline) -> list[dict[str, Any]]:
    path = pipeline.folder / SETTINGS["SQLITE_PATH"]
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'predictions'").fetchall()
        return [dict(row) for row in connection.execute("SELECT * FROM predictions")] if tables else []


def consumed(pipeline: Pipeline, count: int, **settings: object) -> list[dict[str, Any]]:
    """Consume until so many results are there and all is committed."""
    consumer = pipeline.consume(**settings)
    wait_until(lambda: len(rows(pipeline)) >= count, what=lambda: f"{len(rows(pipeline))} rows:\n{consumer.output}")
    wait_until(lambda: pipeline.uncommitted() == 0, what="all committed")
    assert consumer.stop() == 0, consumer.output
    return rows(pipeline)


def test_reviews_that_are_made_up_are_judged_and_stored(sentiment: Pipeline) -> None:
    sentiment.produced(200)
    stored = consumed(sentiment, 200)
    assert len(stored) == 200
    assert sentiment.dead_letters() == []
    right = sum(row["predicted_label"] == row["ground_truth"] for row in stored)
    assert right > 180
    assert {row["ground_truth"] for row in stored} == {"POSITIVE", "NEGATIVE"}
    said = {json.loads(record.value() or b"")["request_id"]: record for record in sentiment.records()}
    assert {row["id"] for row in stored} == set(said)
    for row in stored:
        assert row["text"] == json.loads(said[row["id"]].value() or b"")["text"][:200]
        scores = json.loads(row["scores"])
        assert (scores[0]["label"], scores[0]["score"]) == (row["predicted_label"], row["confidence"])
        assert 1 <= row["batch_size"] <= 8
        assert min(row["queue_ms"], row["decode_ms"], row["inference_ms"]) >= 0


def test_the_lines_of_a_file_are_judged(sentiment: Pipeline) -> None:
    (sentiment.folder / "texts.txt").write_text("I love it!\n\nIt is horrible.\n")
    producer = sentiment.produce("--source", "lines:texts.txt", "--rate", "0")
    assert producer.process.wait(60) == 0, producer.output
    assert {row["text"]: row["predicted_label"] for row in consumed(sentiment, 2)} == {
        "I love it!": "POSITIVE",
        "It is horrible.": "NEGATIVE",
    }


HUGE = b'{"request_id": "huge", "text": "lovely", "a": [' + b"0," * 400_000 + b"0]}"
BAD = {
    b'{"request_id": "cut", "text": "lovely"': "bad_envelope",
    b"lovely": "bad_envelope",
    HUGE: "bad_envelope",
    b'{"request_id": "other-field", "txt": "lovely"}': "bad_metadata",
    b'{"request_id": "number", "text": 7}': "bad_metadata",
    b'{"request_id": "nothing", "text": ""}': "empty",
    b'{"request_id": "blank", "text": "  "}': "empty",
    b'{"request_id": "long", "text": "' + b"good " * 200_000 + b'"}': "too_large",
    b"": "empty",
}


def test_texts_are_judged_and_what_is_none_is_a_dead_letter_with_its_reason(sentiment: Pipeline) -> None:
    good = [{"request_id": "first", "text": "lovely"}, {"text": "awful"}, {"request_id": "../x", "text": "no"}]
    sentiment.publish(*(json.dumps(each).encode() for each in good[:1]), *BAD)
    sentiment.publish(*(json.dumps(each).encode() for each in good[1:]))
    stored = consumed(sentiment, 3)
    assert {row["text"]: row["predicted_label"] for row in stored}.items() >= {"lovely": "POSITIVE"}.items()
    assert {row["id"] for row in stored if not row["id"].startswith(sentiment.topic)} == {"first"}
    assert {row["ground_truth"] for row in stored} == {"unknown_unknown"}
    letters = {letter.value() or b"": why for letter, why in sentiment.dead_letters()}
    assert {value: why["velox-dlq-reason"] for value, why in letters.items()} == BAD
    named = {why["velox-dlq-id"] for why in letters.values() if not why["velox-dlq-id"].startswith(sentiment.topic)}
    assert named == {"other-field", "number", "nothing", "blank", "long"}, "whose id could be read"


def test_base64_in_json_is_what_the_model_gets(pipeline: PipelineFactory) -> None:
    coded = pipeline(partitions=1, CODEC="json", JSON_FIELD="image", JSON_PAYLOAD="base64", SINKS="mongo")
    coded.publish(
        json.dumps({"image": b64encode(b"quick").decode()}).encode(), b'{"image": "no base64"}', b'{"text": "none"}'
    )
    consumer = coded.consume()
    coded.wait_for_documents(1)
    wait_until(lambda: coded.uncommitted() == 0, what="all committed")
    assert consumer.stop() == 0, consumer.output
    assert [document["predicted_label"] for document in coded.documents()] == ["quick"]
    assert coded.reasons() == Counter(bad_metadata=2)


def test_text_and_a_sink_for_images_do_not_go_together(sentiment: Pipeline) -> None:
    consumer = sentiment.consume(SINKS="sqlite,disk")
    assert consumer.process.wait(60) == 2
    last = consumer.output.splitlines()[-1]
    assert "SINKS=sqlite,disk: disk keeps images" in last
    assert "leave disk out" in last


@pytest.mark.timeout(400)  # it may have to train and export the network first
def test_a_network_judges_reviews_and_a_text_that_is_cut_is_counted(
    pipeline: PipelineFactory, tiny_text_model: Path
) -> None:
    network = pipeline(partitions=2, **{**TAKEN, "MODEL": TRANSFORMER, "MODEL_PATH": tiny_text_model})
    network.produced(200)
    consumer = network.consume()
    consumer.wait_until_ready()
    network.publish(json.dumps({"request_id": "long", "text": "I love it. " * 400}).encode())
    wait_until(lambda: len(rows(network)) >= 201, what=lambda: f"{len(rows(network))} rows:\n{consumer.output}")
    assert consumer.metric("velox_decode_warnings_total") == 1
    assert consumer.says("a text of more than 512 tokens: the model has read the first 512")
    assert consumer.stop() == 0, consumer.output
    stored = [row for row in rows(network) if row["id"] != "long"]
    right = sum(row["predicted_label"] == row["ground_truth"] for row in stored)
    assert right >= 190
    assert {row["model"] for row in stored} == {tiny_text_model.name}
