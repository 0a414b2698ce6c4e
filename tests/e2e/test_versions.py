"""Versions of one model on one stream: who answers changes, and each record is answered once all the same."""

import sqlite3
import threading
from collections import Counter
from contextlib import closing
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import PipelineFactory
from tests.e2e.models import Models
from tests.e2e.pipeline import Pipeline, wait_until

VERSIONED = "tests.e2e.versioned:VersionedModel"
SECTION = """
[judge.versions]
# On trial.
v2 = {path = "other-2.pth"}
v3 = {path = "other-3.pth"}
"""


def rows(models: Models) -> Counter[str]:
    """How many records each version has answered."""
    with closing(sqlite3.connect(models.folder / "judge.db")) as connection:
        return Counter(row[0] for row in connection.execute("SELECT model_version FROM predictions"))


def compared(models: Models) -> str:
    try:
        return models.velox("model", "compare", "judge")
    except AssertionError as refused:
        return str(refused)


def test_no_record_is_lost_or_answered_twice_while_shares_change_and_versions_are_promoted(models: Models) -> None:
    models.load("judge", MODEL=VERSIONED, MODEL_PATH="main.pth", SINKS="sqlite,kafka")
    models.path.write_text(models.path.read_text() + SECTION)
    consumer = models.consume()
    models.wait_for("judge", "ready")
    ids: list[str] = []
    stop = threading.Event()

    def publish() -> None:
        while not stop.wait(0.1):
            ids.extend(models.publish("judge", 20))

    def change(*command: str) -> str:
        """Do it, and wait until it has taken place."""
        taken_over = consumer.output.count("the new one is ready")
        said = models.velox("model", *command)
        wait_until(lambda: consumer.output.count("the new one is ready") > taken_over, what=lambda: consumer.output)
        return said

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        assert change("share", "judge", "v2=30") == "judge: v2 30 %, main the rest\n"
        assert change("shadow", "judge", "v3") == "judge: v2 30 %, main the rest; v3 shadows\n"
        wait_until(lambda: rows(models)["v2"] > 20, what=lambda: f"some by v2: {rows(models)}")
        # Whom to ask is reported every few seconds: until then it may be one that has ended, or has no shadow.
        wait_until(lambda: "shadow v3" in compared(models), what="it is compared")
        assert change("promote", "judge", "v2") == "judge: v2 the rest; v3 shadows\n"
        before = rows(models)["v2"]
        wait_until(lambda: rows(models)["v2"] > before + 40, what=lambda: f"more by v2: {rows(models)}")
        assert change("rollback", "judge") == "judge: main the rest; v3 shadows\n"
    finally:
        stop.set()
        publisher.join()
    models.wait_for_answers("judge", ids)
    assert consumer.stop() == 0, consumer.output
    assert models.answered("judge") == set(ids)
    assert set(rows(models)) == {"main", "v2"}, "the shadow has answered nothing"
    assert "# On trial." in models.path.read_text()
    assert 'default = "main"' not in models.path.read_text()
    assert 'former = "v2"' in models.path.read_text()


def counted(one: Pipeline, **labels: str) -> float:
    page = one.programs[-1].probe("/metrics")[1]  # type: ignore[attr-defined]  # it is a consumer
    samples = (s for family in text_string_to_metric_families(page) for s in family.samples)
    return sum(s.value for s in samples if s.name == "velox_shadow_total" and labels.items() <= s.labels.items())


def test_a_record_may_ask_for_a_version_and_one_that_is_not_there_is_a_dead_letter(pipeline: PipelineFactory) -> None:
    one = pipeline(MODEL=VERSIONED, MODEL_PATH="main.pth", MODEL_VERSIONS="v2=other-2.pth", SINKS="mongo")
    consumer = one.consume()
    consumer.wait_until_ready()
    one.publish(b"a")
    one.publish(b"b", headers=[("velox-model-version", b"v2")])
    one.publish(b"c", headers=[("velox-model-version", b"v9")])
    one.wait_for_documents(2)
    wait_until(lambda: one.uncommitted() == 0, what="all committed")
    assert consumer.stop() == 0, consumer.output
    assert sorted(each["model_version"] for each in one.documents()) == ["main", "v2"]
    assert one.reasons() == {"unknown_version": 1}


def test_a_shadow_is_compared_and_one_that_dies_harms_nothing(pipeline: PipelineFactory) -> None:
    told: dict[str, Any] = {"MODEL": VERSIONED, "MODEL_PATH": "main.pth", "SINKS": "mongo", "INFERENCE_RESTARTS": "1"}
    one = pipeline(**told, MODEL_VERSIONS="v2=other-2.pth", MODEL_SHADOW="v2")
    consumer = one.consume()
    consumer.wait_until_ready()
    wait_until(lambda: '"is_on": true' in consumer.probe("/comparison")[1], what="the shadow is there")

    def compared() -> bool:
        one.publish(b"same", b"different")
        return counted(one, outcome="agreed") > 0 and counted(one, outcome="disagreed") > 0

    wait_until(compared, what=lambda: consumer.output)
    assert consumer.stop() == 0, consumer.output
    before = one.count()
    assert {each["model_version"] for each in one.documents()} == {"main"}

    one.settings.update(MODEL_VERSIONS="v2=deadly.pth")
    consumer = one.consume()
    consumer.wait_until_ready()
    published = 0

    def is_off() -> bool:
        nonlocal published
        one.publish(*(b"r %d" % number for number in range(10)))
        published += 10
        return consumer.says("The shadow v2 is switched off, all else goes on")

    wait_until(is_off, what=lambda: consumer.output)
    one.wait_for_documents(before + published)
    wait_until(lambda: one.uncommitted() == 0, what="all committed")
    assert consumer.stop() == 0, consumer.output
    assert one.reasons() == {}
    assert {each["model_version"] for each in one.documents()} == {"main"}
