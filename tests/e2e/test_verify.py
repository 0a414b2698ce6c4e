"""``velox verify`` as a user runs it: it finds nothing where nothing is wrong, and what is wrong where something is."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka.admin import AdminClient
from pymongo import MongoClient

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import PATIENCE_S, QUICK_SESSION, REPOSITORY, Pipeline, Program, wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer
from tests.servers.process import PATIENCE
from tests.servers.s3 import S3Server

IMPATIENT = """
import importlib, sys
from velox.cli import main
for name, value in {constants}.items():
    module, _, constant = name.rpartition(".")
    assert hasattr(importlib.import_module(module), constant)
    setattr(importlib.import_module(module), constant, value)
sys.exit(main())
"""
BAD = {"bad_envelope", "bad_metadata", "empty", "not_an_image", "undecodable", "checksum_mismatch"}


class VerifyProgram(Program):
    """A running ``velox verify``; ``impatient`` says which of its constants is what."""

    def __init__(
        self, *args: str, folder: Path, env: dict[str, str], impatient: Mapping[str, float] | None = None
    ) -> None:
        self.folder = folder
        self.log = folder / "verify-output.log"
        program = ["-c", IMPATIENT.format(constants=dict(impatient))] if impatient else ["-m", "velox"]
        command = [sys.executable, *program, "verify", *args, "--json", "figures.json"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)

    def wait(self, timeout_s: float = 110 * PATIENCE) -> int:
        return self.process.wait(timeout_s)

    @property
    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "figures.json").read_text())
        return found


class Bench:
    """Starts it on real servers, with settings on top of a user's."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.user = pipeline

    def verify(self, *args: str, impatient: Mapping[str, float] | None = None, **settings: object) -> VerifyProgram:
        env = self.user.environment(**{"SINKS": "mongo,sqlite,disk", **settings})
        program = VerifyProgram(*args, folder=self.user.folder, env=env, impatient=impatient)
        self.user.programs.append(program)
        return program

    def processes(self) -> list[psutil.Process]:
        """Those that work in the user's folder, stopped ones too."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cwd() == str(self.user.folder) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def what_is_left(self) -> list[str]:
        """Everything of a run's own that can still be found."""
        admin = AdminClient({"bootstrap.servers": self.user.bootstrap})
        names = list(admin.list_topics(timeout=10).topics)
        names += [group.group_id for group in admin.list_consumer_groups().result().valid]
        with MongoClient[dict[str, Any]](self.user.mongo_uri) as client:
            names += client[self.user.database].list_collection_names()
        names += [path.name for path in self.user.folder.rglob("*") if not path.name.startswith("velox-verify")]
        return [name for name in names if "verify-" in name or "_verify_" in name if name != "verify-output.log"]


def numbers(ids: list[str]) -> list[int]:
    return [int(identity[-8:]) for identity in ids]


def sink(name: str) -> str:
    return f"tests.e2e.defective:{name}"


@pytest.fixture
def bench(pipeline: PipelineFactory) -> Bench:
    """The settings are those of a user whose model and codec are the defaults; INFERENCE_PROCESSES is 1."""
    framed: dict[str, Any] = {"CODEC": "framed", "MODEL": "velox.models.image_classifier:ImageClassifier"}
    return Bench(pipeline(**QUICK_SESSION, **framed, STORE="detections"))


def test_under_kills_and_poison_every_record_is_accounted_for_and_nothing_is_left(bench: Bench) -> None:
    kills = ("--kill-consumer", "2", "--kill-inference", "2", "--rebalance", "2")
    program = bench.verify(
        "--count",
        "2000",
        *kills,
        "--poison",
        "1%",
        SINKS=f"mongo,sqlite,disk,{sink('SlowSink')}",
        COMMIT_INTERVAL_S=0.05,
    )
    assert program.wait() == 0, program.output
    found = program.figures
    assert found["produced"] == found["acknowledged"] == 2000
    dead = sum(found["dead_lettered"].values())
    assert 0 < dead == found["poisoned"] < 100
    assert set(found["dead_lettered"]) <= BAD
    assert found["ok"] is True
    assert found["stored"]["mongo"] == found["stored"]["sqlite"] == 2000 - dead
    assert found["stored"]["disk"] == found["detections"] > 400
    assert not found["missing"] and not found["doubled"] and not found["uncommitted"]
    recoveries = {fault: len(times) for fault, times in found["recovery_s"].items()}
    assert recoveries == {"kill consumer": 2, "kill inference": 2, "consumer joins": 2, "consumer leaves": 2}
    # Some partitions may be read again sooner than all.
    assert max(found["recovery_s"]["kill consumer"]) <= 2 * found["longest_stall_s"]
    assert program.says("none lost, none doubled")
    assert bench.what_is_left() == [], program.output
    wait_until(lambda: not bench.processes(), what="no process is left")


def test_keys_of_objects_in_s3_are_accounted_for_and_nothing_is_left_there(bench: Bench, s3: S3Server) -> None:
    """Images of detections go into the same bucket."""
    photos = s3.make_bucket(f"photos-{uuid.uuid4().hex[:8]}")
    (photos / "mine.jpg").write_bytes(b"mine")
    told: dict[str, Any] = {**s3.environment(photos.name), "CODEC": "key", "SINKS": "mongo,disk", "SOURCE": "keys"}
    program = bench.verify(
        *("--count", "600", "--poison", "5%", "--kill-consumer", "1"), **told, STORAGE_PATH=f"s3://{photos.name}/hits"
    )
    assert program.wait() == 0, program.output
    found = program.figures
    assert found["stored"]["mongo"] == 600 - found["poisoned"]
    assert found["stored"]["disk"] == found["detections"] > 100
    assert {"object_missing", "checksum_mismatch", "forbidden_pointer"} <= set(found["dead_lettered"])
    assert [path.name for path in photos.rglob("*") if path.is_file()] == ["mine.jpg"]
    assert bench.what_is_left() == [], program.output


def test_sinks_that_break_their_promise_are_found_out_each_for_what_it_does(bench: Bench) -> None:
    wrong = ("Forgetful", "Repeating", "Copying", "Mislabelling", "Misplacing", "Flagging", "Buffering")
    names = {name: sink(f"{name}Sink") for name in wrong}
    right = sink("OwnFileSink")
    program = bench.verify("--count", "500", "--kill-consumer", "1", SINKS=",".join([*names.values(), right]))
    assert program.wait() == 1, program.output
    found = program.figures
    assert found["ok"] is False
    affected = list(range(77, 500, 100))
    assert set(found["missing"]) == {names["Forgetful"], names["Buffering"]}
    assert numbers(found["missing"][names["Forgetful"]]) == affected
    assert found["missing"][names["Buffering"]], "what was committed and only held in memory died with the consumer"
    assert set(found["doubled"]) == {names["Repeating"], names["Copying"]}
    assert numbers(found["doubled"][names["Repeating"]]) == affected
    strange = found["strangers"].pop(names["Copying"])
    assert numbers([identity.removesuffix("-copy") for identity in strange]) == affected
    assert not found["strangers"]
    assert {place: numbers(ids) for place, ids in found["mistaken"].items()} == {
        names[name]: affected for name in ("Mislabelling", "Misplacing", "Flagging")
    }
    for place in [*names.values(), right]:
        assert any(f"in {place}: verify-" in problem for problem in found["problems"]) is (place != right)
    assert all(problem in program.output for problem in found["problems"])
    assert program.says("NOT every record is accounted for")


def test_without_a_sink_that_shows_what_it_has_nothing_is_proven(bench: Bench) -> None:
    program = bench.verify("--count", "100", SINKS=sink("UnreadableSink"))
    assert program.wait() == 1, program.output
    assert program.figures["problems"] == ["no sink can be read back: nothing shows that any record was stored"]
    assert program.figures["unchecked"] == [f"{sink('UnreadableSink')}, which has no method `stored`"]


def test_a_model_that_stores_bad_records_or_gives_wrong_reasons_is_found_out(bench: Bench) -> None:
    consumer = bench.user.consume(MODEL="tests.e2e.defective:GullibleModel", STORE="all", SINKS="mongo")
    consumer.wait_until_ready()
    program = bench.verify("--count", "300", "--no-consumer", "--poison", "20%", STORE="all", SINKS="mongo")
    assert program.wait() == 1, program.output
    found = program.figures
    assert list(found["bad_stored"]) == ["mongo"]
    assert list(found["wrong_reasons"]) == ["image_too_large, not undecodable"]
    assert len(found["problems"]) == 2
    amiss = [*found["bad_stored"]["mongo"], *found["wrong_reasons"]["image_too_large, not undecodable"]]
    assert len(amiss) == len(set(amiss)) and abs(3 * len(amiss) - found["poisoned"]) <= 6, "two of six ways"
    assert consumer.stop() == 0


def test_good_records_that_are_dead_letters_are_found_out_with_an_own_model_too(bench: Bench) -> None:
    pictures = bench.user.folder / "pictures"
    pictures.mkdir()
    for name in ("1-one", "2-two", "3-two", "4-two", "5-two", "6-two", "7-die"):
        (pictures / f"{name}.jpg").write_bytes(b"\xff\xd8\xff" + name.encode())
    program = bench.verify(
        *("--count", "14", "--rate", "4", "--own-model"),
        MODEL="tests.e2e.defective:NervousModel",
        SOURCE=f"folder:{pictures}",
        SINKS="sqlite",
        # In one order: what is predicted before the first record is tried again decides whether it is refused again.
        KAFKA_PARTITIONS=1,
        INFERENCE_PROCESSES=1,
    )
    assert program.wait() == 1, program.output
    blamed = {reason: numbers(ids) for reason, ids in program.figures["good_dead_lettered"].items()}
    assert blamed == {"undecodable": [0], "killed_inference": [6, 13]}
    assert len(program.figures["problems"]) == 2
    assert program.says("good records dead-lettered as killed_inference: verify-")


def test_a_consumer_that_does_not_recover_or_ends_badly_is_a_problem_although_no_record_suffers(bench: Bench) -> None:
    impatient = {"velox.tools.verify.faults.LIMIT_S": 0.5}
    program = bench.verify("--count", "300", "--kill-consumer", "1", impatient=impatient, SINKS=sink("AbruptSink"))
    assert program.wait() == 1, program.output
    assert program.figures["problems"] == [
        "a consumer ended with exit code 3 when told to drain",
        "fault 1 was not recovered from within 0.5 s",
    ]
    assert program.figures["ok"] is False
    for problem in program.figures["problems"]:
        assert program.says(problem)


def test_records_that_are_never_committed_are_named_and_counted(bench: Bench) -> None:
    program = bench.verify(
        *("--count", "50", "--rate", "100"),
        impatient={"velox.tools.verify.run._PATIENCE_S": 3.0},
        SINKS=f"sqlite,{sink('HopelessSink')}",
        DRAIN_S=1,
    )
    assert program.wait() == 1, program.output
    found = program.figures
    assert found["uncommitted"] == len(found["missing"][sink("HopelessSink")]) == found["acknowledged"] == 50
    assert "nothing committed for 3 s: blocked by HopelessSink" in found["problems"][0]
    assert "50 records not committed" in found["problems"]
    assert program.says("50 records not committed")


def test_a_broker_that_never_answers_again_is_a_problem_and_not_a_proof(pipeline: PipelineFactory) -> None:
    with KafkaServer() as broker:
        bench = Bench(pipeline(KAFKA_BOOTSTRAP_SERVER=broker.bootstrap))
        program = bench.verify(
            *("--count", "3", "--rate", "0.2", "--keep", "--broker-restart", f"sleep 2; kill -STOP {broker.pid}"),
            impatient={"velox.tools.verify.run._PATIENCE_S": 3.0, "velox.tools.verify.faults.LIMIT_S": 3.0},
            SINKS="sqlite",
            DRAIN_S=1,
        )
        try:
            assert program.wait() == 1, program.output
        finally:
            os.kill(broker.pid, signal.SIGCONT)
    found = program.figures
    assert (found["produced"], found["acknowledged"]) == (3, 2), program.output
    assert "nothing acknowledged by Kafka for 3 s" in found["problems"][0]
    assert any(problem.startswith("the dead letters cannot be read: ") for problem in found["problems"])
    assert found["unchecked"] == ["1 record that Kafka did not acknowledge"]
    assert program.says("NOT every record is accounted for")


def test_a_document_and_images_deleted_or_changed_meanwhile_are_found_out(bench: Bench) -> None:
    theft = (
        "import pathlib, pymongo, time; "
        f"db = pymongo.MongoClient({bench.user.mongo_uri!r})[{bench.user.database!r}]; "
        "(name,) = [n for n in db.list_collection_names() if '_verify_' in n]; "
        "gone = db[name].find_one_and_delete({'is_detection': False}); "
        "image, other = sorted(pathlib.Path('discoveries').glob('verify-*/hit_*.jpg'))[:2]; image.unlink(); "
        "other.write_bytes(other.read_bytes().replace(b'number', b'Number')); "
        "print('stolen', gone['_id'], *(path.stem.removeprefix('hit_') for path in (image, other)))"
    )
    program = bench.verify("--count", "1000", "--sink-outage", f'{sys.executable} -c "{theft}"')
    assert program.wait() == 1, program.output
    said = next(line for line in program.output.splitlines() if line.startswith("stolen")).split()
    _, document, image, other = said
    assert program.figures["missing"] == {"mongo": [document], "disk": [image]}
    assert program.figures["altered"] == {"disk": [other]}


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
    settings: dict[str, Any] = {"STORE": "all", "MODEL": "examples.mean_color:MeanColorModel", "SINKS": "mongo,disk"}
    theirs: dict[str, Any] = {"KAFKA_TOPIC": bench.user.topic, "TARGET_LABELS": "red", "CONFIDENCE_THRESHOLD": 0}
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
    assert psutil.wait_procs(consumers, timeout=PATIENCE_S)[1] == []
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
    once: dict[str, Any] = {"SINKS": "mongo,kafka", "DELIVERY": "exactly_once", "COMMIT_INTERVAL_S": "0.1"}
    program = bench.verify("--count", "1000", "--kill-consumer", "1", "--poison", "1%", **once)
    assert program.wait() == 0, program.output
    found = program.figures
    assert found["stored"]["kafka"] == found["stored"]["mongo"] == 1000 - sum(found["dead_lettered"].values())
    assert not found["missing"] and not found["doubled"] and not found["uncommitted"]
    assert bench.what_is_left() == [], program.output
