"""`velox doctor` on real servers: nothing is wrong with what works, and each broken thing is found."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import Pipeline, wait_until
from tests.e2e.test_security import secured
from tests.servers.kafka import KafkaServer
from tests.servers.secure_kafka import STRANGER, SecureKafkaServer

Findings = list[dict[str, Any]]
UNREACHABLE = "127.0.0.1:9"


def examine(pipeline: Pipeline, **settings: object) -> tuple[int, Findings]:
    """The exit code and the findings, after a look at whether the one fits the other."""
    command = [sys.executable, "-m", "velox", "doctor", "--json"]
    env = pipeline.environment(**settings)
    done = subprocess.run(
        command, cwd=pipeline.folder, env=env, capture_output=True, text=True, check=False, timeout=90
    )
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert done.returncode == answer["error"]
    assert all(finding["fix"] for finding in answer["findings"] if finding["level"] in {"warning", "error"})
    return done.returncode, answer["findings"]


def errors(findings: Findings) -> list[str]:
    return [f"{finding['what']}: {finding['value']}" for finding in findings if finding["level"] == "error"]


def levels(findings: Findings) -> dict[str, str]:
    return {finding["what"]: finding["level"] for finding in findings}


@pytest.fixture
def healthy(shapes: Pipeline, kafka: KafkaServer) -> Pipeline:
    """A set-up with all it needs."""
    kafka.create_topic(f"{shapes.topic}.dlq", partitions=1)
    shapes.settings["SINKS"] = "mongo,sqlite,disk"
    return shapes


def test_nothing_is_wrong_with_what_works_and_nothing_is_left_behind(healthy: Pipeline) -> None:
    before = {path: path.stat().st_mtime_ns for path in healthy.folder.rglob("*")}
    code, findings = examine(healthy)
    assert (code, errors(findings)) == (0, [])
    assert {"brokers", f"topic {healthy.topic}", "sink mongo", "sink sqlite", "labels"} <= set(levels(findings))
    assert {path: path.stat().st_mtime_ns for path in healthy.folder.rglob("*")} == before
    # The tests' server makes a collection of an update that matches nothing; MongoDB makes none.
    assert healthy.documents() == []
    assert healthy.records() == []


def test_a_set_up_in_use_is_looked_into_without_disturbing_it(healthy: Pipeline) -> None:
    healthy.produced(20)
    consumer = healthy.consume(COMMIT_INTERVAL_S="0.1")
    wait_until(lambda: healthy.uncommitted() == 0 and consumer.probe("/readyz")[0] == 200, what="all is done")
    code, findings = examine(healthy)
    assert (code, errors(findings)) == (0, [])
    said = {finding["what"]: finding["value"] for finding in findings}
    assert said[f"group {healthy.settings['KAFKA_CONSUMER_GROUP']}"].startswith("1 consumers now")
    assert said["backlog"].startswith("0 records wait")
    assert "20 documents" in said["sink mongo"]
    assert "20 rows" in said["sink sqlite"]
    assert consumer.stop() == 0, consumer.output
    assert "Partitions" not in consumer.output.split("ready")[-1]


def test_what_waits_is_counted(healthy: Pipeline) -> None:
    healthy.produced(20)
    _, findings = examine(healthy)
    assert any(finding["value"].startswith("20 records wait, the oldest for") for finding in findings)


def test_a_topic_that_is_missing_is_found(healthy: Pipeline) -> None:
    _, findings = examine(healthy, KAFKA_TOPIC="no-such-topic")
    assert levels(findings)["topic no-such-topic"] == "warning"
    assert levels(findings)["group and backlog"] == "skipped"


@pytest.mark.parametrize("setting", ["KAFKA_TOPIC", "DEAD_LETTER_TOPIC", "RESULTS_TOPIC"])
def test_a_topic_that_kafka_will_not_create_beside_another_is_found(
    healthy: Pipeline, kafka: KafkaServer, setting: str
) -> None:
    name = f"taken-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(f"{name}_here")
    code, findings = examine(healthy, SINKS="disk,kafka", **{setting: f"{name}.here"})
    assert code == 1
    (said,) = errors(findings)
    assert said.startswith(f"topic {name}.here: not there, and Kafka does not create it beside {name}_here: ")
    assert f"set {setting} to another name" in {finding["fix"] for finding in findings}


def test_size_limits_that_do_not_agree_are_found(healthy: Pipeline, kafka: KafkaServer) -> None:
    small = f"small-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(small, config={"max.message.bytes": "1048588"})
    code, findings = examine(healthy, KAFKA_TOPIC=small)
    assert code == 1
    assert errors(findings) == [f"size of {small}: takes 1048588 bytes, and MAX_MESSAGE_BYTES=10485760"]


def test_writes_that_wait_for_replicas_that_are_not_there_are_found(healthy: Pipeline, kafka: KafkaServer) -> None:
    name = f"strict-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name, config={"min.insync.replicas": "2"})
    code, findings = examine(healthy, KAFKA_TOPIC=name)
    assert code == 1
    assert "nothing can be written" in errors(findings)[0]


def test_systems_that_are_down_are_found_within_seconds_and_the_rest_is_still_looked_at(healthy: Pipeline) -> None:
    started = time.monotonic()
    code, findings = examine(
        healthy, KAFKA_BOOTSTRAP_SERVER=UNREACHABLE, MONGO_URI=f"mongodb://velox:hunter2@{UNREACHABLE}/"
    )
    assert time.monotonic() - started < 60
    assert code == 2
    assert {name for name, level in levels(findings).items() if level == "error"} == {"brokers", "sink mongo"}
    assert levels(findings)["topics, size limits, replication, backlog"] == "skipped"
    assert "hunter2" not in json.dumps(findings)


def test_labels_that_the_model_does_not_know_are_found(healthy: Pipeline) -> None:
    code, findings = examine(healthy, TARGET_LABELS="blue_*")
    assert code == 1
    assert errors(findings)[0].startswith("labels: TARGET_LABELS names blue_*")


def test_places_that_take_no_files_are_found(healthy: Pipeline) -> None:
    _, findings = examine(healthy, STORAGE_PATH="/proc/velox", SQLITE_PATH="/proc/velox/velox.db")
    wrong = {name for name, level in levels(findings).items() if level == "error"}
    assert wrong == {"sink disk", "sink sqlite", "disk"}, "and no byte is free there"


def test_a_database_that_somebody_holds_is_found(healthy: Pipeline) -> None:
    path = healthy.folder / "velox.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    code, findings = examine(healthy, SINKS="sqlite", SINK_TIMEOUT_S=1)
    holder.close()
    assert code == 1
    assert "locked" in errors(findings)[0]


def test_a_file_that_is_no_database_is_found(healthy: Pipeline) -> None:
    (healthy.folder / "velox.db").write_bytes(b"no database" * 100)
    code, findings = examine(healthy, SINKS="sqlite")
    assert code == 1
    assert errors(findings)[0].startswith("sink sqlite")


def test_a_missing_model_is_found(healthy: Pipeline) -> None:
    (healthy.folder / "model.pth").unlink()
    code, findings = examine(healthy)
    assert code == 1
    assert errors(findings)[0].startswith("model: model.pth: no model")


def test_settings_that_are_refused_are_the_only_finding(healthy: Pipeline) -> None:
    code, findings = examine(healthy, BATCH_SIZE="none")
    assert code == len(findings) == 1


def test_a_wrong_password_and_denied_rights_are_found(
    pipeline: PipelineFactory, secure_kafka: SecureKafkaServer
) -> None:
    one = secured(pipeline, secure_kafka, SINKS="disk")
    assert examine(one)[0] == 0
    code, findings = examine(one, KAFKA_SASL_PASSWORD="s3cret-and-wrong")  # noqa: S106 - made up
    assert code == 1
    assert any("KAFKA_SASL_PASSWORD" in finding["fix"] for finding in findings)
    assert "s3cret" not in json.dumps(findings)
    _, findings = examine(one, KAFKA_SASL_USERNAME=STRANGER)
    assert levels(findings)[f"topic {one.topic}"] == "warning"


def test_the_table_names_each_fix(healthy: Pipeline) -> None:
    shutil.rmtree(healthy.folder / "discoveries", ignore_errors=True)
    command = [sys.executable, "-m", "velox", "doctor"]
    env = healthy.environment(TARGET_LABELS="blue_*", KAFKA_BOOTSTRAP_SERVER=UNREACHABLE)
    done = subprocess.run(command, cwd=Path(healthy.folder), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "error    model     labels: TARGET_LABELS names blue_*" in done.stdout
    assert "→ correct TARGET_LABELS" in done.stdout
    assert ", 2 error, " in done.stdout.splitlines()[-1]
