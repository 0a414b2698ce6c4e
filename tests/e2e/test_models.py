"""Several models in one consumer: real processes on real Kafka, started, changed and taken away while records come."""

import signal
import threading

import psutil

from tests.e2e.models import Models
from tests.e2e.pipeline import wait_until


def test_a_model_that_cannot_be_loaded_disables_only_itself(models: Models) -> None:
    models.load("good")
    models.load("bad", MODEL="velox.models.text_classifier:TextClassifier", MODEL_PATH="/no/such/folder")
    consumer = models.consume()
    models.wait_for("good", "ready")
    models.wait_for_answers("good", models.publish("good", 50))
    bad = models.wait_for("bad", "failing", lambda report: "/no/such/folder" in report.cause)
    assert "not a folder" in bad.cause
    listed = models.velox("model", "list")
    assert "bad: MODEL_PATH=/no/such/folder" in listed.replace("bad: velox consume: ", "bad: ")
    models.pipeline("bad")  # mended
    models.wait_for("bad", "ready")
    models.wait_for_answers("bad", models.publish("bad", 5))
    assert consumer.stop() == 0, consumer.output
    assert models.report("good") is None, "nobody reports any more"
    assert "[good] " in consumer.output, "each line says whose it is"


def test_models_come_change_and_go_while_no_record_is_lost(models: Models) -> None:
    models.load("first")
    consumer = models.consume()
    before = models.wait_for("first", "ready")
    ids: list[str] = []
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            ids.extend(models.publish("first", 20))

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        models.load("second")
        models.wait_for("second", "ready")
        models.load("first", BATCH_SIZE="4")
        after = models.wait_for("first", "ready", lambda report: report.port != before.port)
        assert after.port != before.port
        consumer.wait_until_it_says("Model first: the new one is ready, the old one drains")
        models.velox("model", "unload", "second")
        consumer.wait_until_it_says("Model second is unloaded")
    finally:
        stop.set()
        publisher.join()
    models.wait_for_answers("first", ids)
    assert consumer.stop() == 0, consumer.output
    assert models.answered("first") == set(ids)
    assert "ERROR" not in consumer.output


def test_a_change_that_cannot_be_loaded_leaves_the_one_before_serving(models: Models) -> None:
    models.load("first")
    consumer = models.consume()
    before = models.wait_for("first", "ready")
    models.pipeline("first", MODEL="no.such.module:Model")
    report = models.wait_for("first", "ready", lambda report: "not changed" in report.cause)
    assert report.port == before.port
    models.wait_for_answers("first", models.publish("first", 20))
    assert consumer.stop() == 0, consumer.output


def test_a_consumer_that_is_killed_takes_its_models_with_it_and_one_that_dies_is_started_again(models: Models) -> None:
    models.load("first")
    models.load("second")
    consumer = models.consume("first,second")
    models.wait_for("first", "ready")
    models.wait_for("second", "ready")
    children = psutil.Process(consumer.process.pid).children(recursive=True)
    members = [child for child in children if child.cmdline()[-1:] == ["consume"]]
    assert len(members) == 2
    members[0].kill()
    consumer.wait_until_it_says("started again in")
    models.wait_for("first", "ready", lambda report: not report.cause)
    models.wait_for("second", "ready", lambda report: not report.cause)
    everything = psutil.Process(consumer.process.pid).children(recursive=True)
    consumer.stop(signal.SIGKILL)
    wait_until(lambda: not any(child.is_running() for child in everything), what="all of them to end")


def test_one_model_is_a_consumer_as_it_always_was(models: Models) -> None:
    models.load("only")
    consumer = models.consume("only")
    consumer.wait_until_it_says("Metrics and health on port")
    models.wait_for_answers("only", models.publish("only", 10))
    children = psutil.Process(consumer.process.pid).children(recursive=True)
    assert not [child for child in children if child.cmdline()[-1:] == ["consume"]]
    assert consumer.stop() == 0, consumer.output
