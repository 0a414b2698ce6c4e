"""Marked secrets go through success and failure; then all that anybody can read is searched for them."""

import subprocess
import sys

import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import PATIENCE_S, ConsumerProgram, Pipeline, wait_until
from tests.e2e.test_security import secured
from tests.servers.mongo import MongoServer
from tests.servers.secure_kafka import KEY_PASSWORD, PASSWORD, SecureKafkaServer

MARK = "s3cret"
MONGO_PASSWORD = f"{MARK}-of-mongo"
WRONG_PASSWORD = f"{MARK}-that-is-wrong"
assert PASSWORD.startswith(MARK)
assert KEY_PASSWORD.startswith(MARK)


@pytest.fixture
def marked(pipeline: PipelineFactory, secure_kafka: SecureKafkaServer) -> Pipeline:
    """A pipeline with a secret in every setting that is one, which says all it can."""
    one = secured(pipeline, secure_kafka, LOG_LEVEL="DEBUG", SINKS="mongo,sqlite,disk", SINK_TIMEOUT_S=2)
    one.settings["KAFKA_SSL_KEY_PASSWORD"] = KEY_PASSWORD
    return one


def pages(consumer: ConsumerProgram) -> str:
    return "".join(consumer.probe(path)[1] for path in ("/metrics", "/readyz", "/livez"))


def files(pipeline: Pipeline) -> bytes:
    """All that the programs wrote into their folder: logs, results, images."""
    return b"".join(path.read_bytes() for path in sorted(pipeline.folder.rglob("*")) if path.is_file())


def command(pipeline: Pipeline, *args: str, **settings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "velox", *args],
        cwd=pipeline.folder,
        env=pipeline.environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_run_that_succeeds_shows_no_secret(marked: Pipeline) -> None:
    marked.publish(b"red_circle:0.99", b"bad")
    consumer = marked.consume()
    marked.wait_for_documents(1)
    wait_until(marked.dead_letters, what="a dead letter")
    shown = pages(consumer)
    assert consumer.stop() == 0, consumer.output
    letters = [(message.key(), message.value(), headers) for message, headers in marked.dead_letters()]
    shown += repr(letters) + repr(marked.documents()) + command(marked, "settings") + command(marked, "doctor")
    assert "velox_records_total" in shown
    assert "KAFKA_SASL_PASSWORD" in shown
    assert "DEBUG" in consumer.output
    assert MARK not in shown
    assert MARK.encode() not in files(marked)


def test_a_login_that_fails_shows_no_secret(marked: Pipeline, mongo: MongoServer) -> None:
    with_user = mongo.uri.replace("mongodb://", f"mongodb://velox:{MONGO_PASSWORD}@")
    marked.publish(b"red_circle:0.99")
    consumer = marked.consume(MONGO_URI=with_user)
    consumer.wait_until_it_says("mongo: cannot store")
    wait_until(lambda: consumer.not_ready_because() == "blocked by mongo", what="not ready because of mongo")
    shown = pages(consumer)
    assert consumer.stop() in {0, 1}, consumer.output  # as the record had been fetched or not
    refused = marked.consume(KAFKA_SASL_PASSWORD=WRONG_PASSWORD)
    assert refused.process.wait(PATIENCE_S) == 2
    assert "KAFKA_SASL_PASSWORD" in refused.output
    shown += command(marked, "settings", MONGO_URI=with_user) + command(marked, "doctor", MONGO_URI=with_user)
    assert "mongodb://velox:*****@" in shown
    assert MARK not in shown
    assert MARK.encode() not in files(marked)


@pytest.mark.parametrize(
    "wrong",
    [
        {"MONGO_URI": f"mongodb://velox:{MONGO_PASSWORD}"},
        {"MONGO_URI": f"mongodb://velox:{MONGO_PASSWORD}@host/?tls=perhaps"},
        {"KAFKA_SASL_PASSWORD": WRONG_PASSWORD, "KAFKA_SASL_USERNAME": "", "BATCH_SIZE": "0"},
        {"KAFKA_SSL_CERTIFICATE_LOCATION": "c.pem", "KAFKA_SSL_KEY_PASSWORD": KEY_PASSWORD},
        {"MONGO_URI_FILE": f"mongodb://velox:{MONGO_PASSWORD}@host/", "MONGO_URI": ""},
    ],
)
def test_settings_that_are_wrong_are_refused_without_the_secret(marked: Pipeline, wrong: dict[str, str]) -> None:
    refused = marked.consume(**wrong)
    assert refused.process.wait(PATIENCE_S) == 2
    assert refused.output.splitlines()[-1].startswith("velox consume: ")
    assert MARK not in refused.output


def test_what_is_searched_for_would_be_found(marked: Pipeline) -> None:
    (marked.folder / "consumer.log").write_text(f"password={PASSWORD}")
    assert MARK.encode() in files(marked)
