"""``velox verify`` as a user runs it: it finds nothing where nothing is wrong, and what is wrong where something is."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka.admin import AdminClient
from pymongo import MongoClient

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import REPOSITORY, Pipeline, Program, wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer

BAD = {"bad_envelope", "bad_metadata", "empty", "not_an_image", "undecodable", "checksum_mismatch"}


class VerifyProgram(Program):
    """A running ``velox verify``."""

    def __init__(self, *args: str, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.log = folder / "verify-output.log"
        command = [sys.executable, "-m", "velox", "verify", *args, "--json", "figures.json"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)

    def wait(self, timeout_s: float = 110) -> int:
        return self.process.wait(timeout_s)

    @property
    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "figures.json").read_text())
        return found


class Bench:
    """Starts it on real servers, with settings on top of a user's."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.user = pipeline

    def verify(self, *args: str, **settings: object) -> VerifyProgram:
        env = self.user.environment(**{"SINKS": "mongo,sqlite,disk", **settings})
        program = VerifyProgram(*args, folder=self.user.folder, env=env)
        self.user.programs.append(program)
        return program

    def what_is_left(self) -> list[str]:
        """Everything of a run's own that can still be found."""
        admin = AdminClient({"bootstrap.servers": self.user.bootstrap})
        names = list(admin.list_topics(timeout=10).topics)
        names += [group.group_id for group in admin.list_consumer_groups().result().valid]
        with MongoClient[dict[str, Any]](self.user.mongo_uri) as client:
            names += client[self.user.database].list_collection_names()
        names += [path.name for path in self.user.folder.rglob("*") if not path.name.startswith("velox-verify")]
        return [name for name in names if "verify-" in name or "_verify_" in name if name != "verify-output.log"]


@pytest.fixture
def bench(pipeline: PipelineFactory) -> Bench:
    """The settings are those of a user whose model and codec are the defaults; INFERENCE_PROCESSES is 1."""
    made = pipeline(CODEC="framed", MODEL="velox.models.image_classifier:ImageClassifier", STORE="detections")
    return Bench(made)


def test_under_kills_and_poison_every_record_is_accounted_for_and_nothing_is_left(bench: Bench) -> None:
    program = bench.verify("--count", "2000", "--kill-consumer", "2", "--kill-inference", "2", "--poison", "1%")
    assert program.wait() == 0, program.output
    found = program.figures
    assert found["produced"] == found["acknowledged"] == 2000
    dead = sum(found["dead_lettered"].values())
    assert 0 < dead < 100
    assert set(found["dead_lettered"]) <= BAD | {"killed_inference"}
    assert found["stored"]["mongo"] == found["stored"]["sqlite"] == 2000 - dead
    assert found["stored"]["disk"] == found["detections"] > 400
    assert not found["missing"] and not found["doubled"] and not found["uncommitted"]
    assert len(found["recovery_s"]["kill consumer"]) == len(found["recovery_s"]["kill inference"]) == 2
    assert max(found["recovery_s"]["kill consumer"]) <= found["longest_stall_s"] + 1
    assert program.says("none lost, none doubled")
    assert bench.what_is_left() == [], program.output


def test_a_sink_that_loses_records_is_found_out(bench: Bench) -> None:
    program = bench.verify("--count", "500", SINKS="tests.e2e.lossy:ForgetfulSink,mongo")
    assert program.wait() == 1, program.output
    (missing,) = program.figures["missing"].items()
    assert missing[0] == "tests.e2e.lossy:ForgetfulSink"
    assert [identity[-8:] for identity in missing[1]] == [f"{number:08d}" for number in range(77, 500, 100)]
    assert missing[1][0] in program.output
    assert "mongo" not in program.figures["missing"]


def test_a_sink_that_shows_records_twice_is_found_out(bench: Bench) -> None:
    program = bench.verify("--count", "200", SINKS="tests.e2e.lossy:RepeatingSink")
    assert program.wait() == 1, program.output
    (doubled,) = program.figures["doubled"].values()
    assert [identity[-8:] for identity in doubled] == ["00000077", "00000177"]
    assert doubled[0] in program.output


def test_a_document_and_an_image_deleted_meanwhile_are_missed(bench: Bench) -> None:
    theft = (
        "import pathlib, pymongo, time; "
        f"db = pymongo.MongoClient({bench.user.mongo_uri!r})[{bench.user.database!r}]; "
        "(name,) = [n for n in db.list_collection_names() if '_verify_' in n]; "
        "gone = db[name].find_one_and_delete({'is_detection': False}); "
        "image = next(pathlib.Path('discoveries').glob('verify-*/hit_*.jpg')); image.unlink(); "
        "print('stolen', gone['_id'], image.stem.removeprefix('hit_'))"
    )
    program = bench.verify("--count", "1000", "--sink-outage", f'{sys.executable} -c "{theft}"')
    assert program.wait() == 1, program.output
    _, document, image = next(line for line in program.output.splitlines() if line.startswith("stolen")).split()
    assert program.figures["missing"] == {"mongo": [document], "disk": [image]}


def test_a_rebalance_costs_nothing(bench: Bench) -> None:
    program = bench.verify("--count", "2000", "--rebalance", "2", "--kill-inference", "1")
    assert program.wait() == 0, program.output
    assert len(program.figures["recovery_s"]["consumer joins"]) == 2
    assert len(program.figures["recovery_s"]["consumer leaves"]) == 2


def test_servers_that_hang_and_come_back_cost_nothing(
    pipeline: PipelineFactory, kafka: KafkaServer, mongo: MongoServer
) -> None:
    bench = Bench(pipeline(CODEC="framed", MODEL="velox.models.image_classifier:ImageClassifier"))
    program = bench.verify(
        *("--count", "2000", "--sink-outage", f"kill -STOP {mongo.pid}; sleep 3; kill -CONT {mongo.pid}"),
        *("--broker-restart", f"kill -STOP {kafka.pid}; sleep 3; kill -CONT {kafka.pid}"),
        SINK_TIMEOUT_S=1,
    )
    try:
        assert program.wait() == 0, program.output
    finally:
        for pid in (kafka.pid, mongo.pid):
            os.kill(pid, signal.SIGCONT)
    assert program.figures["faults"] == 2
    assert program.figures["longest_stall_s"] >= 2


def test_consumers_that_run_already_are_checked_where_they_are(bench: Bench) -> None:
    settings = {"STORE": "all", "MODEL": "examples.mean_color:MeanColorModel", "SINKS": "mongo,disk"}
    theirs = {"KAFKA_TOPIC": bench.user.topic, "TARGET_LABELS": "red", "CONFIDENCE_THRESHOLD": 0}
    consumer = bench.user.consume(**settings, **theirs)
    consumer.wait_until_ready()
    bench.user.produced(50)
    bench.user.wait_for_documents(50)
    program = bench.verify("--count", "300", "--no-consumer", "--poison", "2%", **settings, **theirs)
    assert program.wait() == 0, program.output
    assert program.figures["acknowledged"] == 300
    assert program.figures["stored"]["disk"] == program.figures["detections"] > 0
    assert bench.user.count() == 50, "its own results are removed, the others stay"
    assert consumer.stop() == 0


def test_ctrl_c_ends_producing_and_accounts_for_what_was_sent(bench: Bench) -> None:
    program = bench.verify("--count", "100000", "--rate", "200")
    log = bench.user.folder / "velox-verify.log"
    wait_until(lambda: log.exists() and "TARGET MATCH" in log.read_text(), what="work under way")
    assert program.stop(signal.SIGINT) == 0, program.output
    assert 0 < program.figures["acknowledged"] == program.figures["produced"] < 100000
    assert bench.what_is_left() == [], program.output


def test_a_second_ctrl_c_stops_at_once_and_removes_what_is_its_own(bench: Bench) -> None:
    program = bench.verify("--count", "100000", "--rate", "200")
    log = bench.user.folder / "velox-verify.log"
    wait_until(lambda: log.exists() and "TARGET MATCH" in log.read_text(), what="work under way")
    consumers = psutil.Process(program.process.pid).children(recursive=True)
    program.process.send_signal(signal.SIGINT)
    program.process.send_signal(signal.SIGTERM)
    assert program.wait() == 130, program.output
    assert psutil.wait_procs(consumers, timeout=10)[1] == []
    left = bench.what_is_left()
    assert all(".verify-" in name and program.says(f"{name} could not be removed") for name in left), left
    assert len(left) <= 1, "at most the group, in which Kafka still believes members that were killed"


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[list[Program]]:
    """Programs that need no server."""
    started: list[Program] = []
    yield started
    for program in started:
        program.end()


def test_it_runs_on_the_embedded_broker_too(tmp_path: Path, alone: list[Program]) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "INFERENCE_PROCESSES": "1"}
    arguments = ("--embedded", "--count", "2000", "--kill-consumer", "1", "--kill-inference", "1", "--poison", "1%")
    program = VerifyProgram(*arguments, folder=tmp_path, env=env)
    alone.append(program)
    assert program.wait() == 0, program.output
    found = program.figures
    dead = sum(found["dead_lettered"].values())
    assert set(found["stored"]) == {"sqlite", "disk"}
    assert found["stored"]["sqlite"] + dead == found["acknowledged"] == 2000
    assert {path.name for path in tmp_path.iterdir()} == {
        *("discoveries", "figures.json", "velox-verify.log", "verify-output.log")
    }
    assert list((tmp_path / "discoveries").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--kill-consumer", "1", "--no-consumer"), "only consumers that it started itself are disturbed"),
        (("--embedded", "--count", "50", "--sink-outage", "exit 3"), "'exit 3' ended with exit code 3"),
        (("--embedded", "--log", "nowhere/log"), "--log nowhere/log: No such file or directory"),
        (("--embedded", "--count", "many"), "argument --count"),
        (("--embedded", "--poison", "some"), "'some' is no share: write 1% or 0.01"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], complaint: str, tmp_path: Path, alone: list[Program]
) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "INFERENCE_PROCESSES": "1"}
    program = VerifyProgram(*arguments, folder=tmp_path, env=env)
    alone.append(program)
    assert program.wait() == 2
    assert program.output.splitlines()[-1].startswith("velox verify: ")
    assert complaint in program.output.splitlines()[-1]
    assert [path.name for path in (tmp_path / "discoveries").glob("*")] == []


def test_exactly_once_is_proven_too(bench: Bench) -> None:
    once = {"SINKS": "mongo,kafka", "DELIVERY": "exactly_once", "COMMIT_INTERVAL_S": "0.1"}
    program = bench.verify("--count", "1000", "--kill-consumer", "1", "--poison", "1%", **once)
    assert program.wait() == 0, program.output
    found = program.figures
    assert found["stored"]["kafka"] == found["stored"]["mongo"] == 1000 - sum(found["dead_lettered"].values())
    assert not found["missing"] and not found["doubled"] and not found["uncommitted"]
    assert bench.what_is_left() == [], program.output
