"""Each check of `velox doctor`: what is right, what is wrong, and that every finding names its fix."""

import json
import shutil
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from velox.errors import SinkUnavailableError
from velox.kafka.inspection import Backlog, Cluster, Group, Topic
from velox.models import card
from velox.models.card import ModelCard
from velox.settings import MIB, Settings
from velox.settings.model import IMAGENET, TRANSFORMER
from velox.sinks.sink import Proof
from velox.tools.doctor import bucket, checkup, kafka, keys, machine, model, sinks, timing
from velox.tools.doctor.checkup import bounded
from velox.tools.doctor.findings import Finding, Level, error, ok, warning
from velox.tools.doctor.report import Report

LABELS = ("red_circle", "red_square", "green_circle", "green_square")
ONE, THREE = Cluster(1, 0.01), Cluster(3, 0.01)
LIMIT = {"max.message.bytes": "20971520", "min.insync.replicas": "1", "retention.ms": "3600000"}


def problems(findings: Iterable[Finding]) -> list[tuple[Level, str]]:
    """What is not ok, after a look at whether it says what to change."""
    found = [finding for finding in findings if finding.level not in {Level.OK, Level.SKIPPED}]
    assert all(finding.fix for finding in found)
    return [(finding.level, finding.what) for finding in found]


def fixes(findings: Iterable[Finding]) -> str:
    return " ".join(finding.fix for finding in findings)


def topic(
    name: str = "image_data", *, partitions: int = 6, leaderless: int = 0, replicas: int = 1, **config: str
) -> Topic:
    changed = {key.replace("_", "."): value for key, value in config.items()}
    return Topic(name, partitions=partitions, leaderless=leaderless, replicas=replicas, config={**LIMIT, **changed})


def test_default_settings_fit_each_other() -> None:
    assert problems(timing.find(Settings())) == []


@pytest.mark.parametrize(
    ("changed", "what", "fix"),
    [
        ({"sink_timeout_s": 20}, "times", "raise DRAIN_S above SINK_TIMEOUT_S"),
        ({"revoke_wait_s": 5, "drain_s": 5, "sink_timeout_s": 1}, "times", "raise DRAIN_S above REVOKE_WAIT_S"),
        ({"revoke_wait_s": 7}, "times", "lower REVOKE_WAIT_S"),
        ({"commit_interval_s": 7}, "times", "lower COMMIT_INTERVAL_S"),
        (
            {"revoke_wait_s": 10, "session_timeout_ms": 10_000, "max_poll_interval_ms": 10_000},
            "times",
            "raise MAX_POLL_INTERVAL_MS",
        ),
        ({"batch_size": 128, "inference_processes": 2}, "batches", "raise QUEUE_SIZE to 512"),
        ({"kafka_sasl_username": "me"}, "security", "set KAFKA_SECURITY_PROTOCOL=SASL_SSL"),
        ({"kafka_ssl_ca_location": "ca.pem"}, "security", "set KAFKA_SECURITY_PROTOCOL=SASL_SSL or SSL"),
        (
            {
                "kafka_security_protocol": "SASL_PLAINTEXT",
                "kafka_sasl_mechanism": "PLAIN",
                "kafka_sasl_username": "me",
                "kafka_sasl_password": "hunter2",
            },
            "security",
            "set KAFKA_SECURITY_PROTOCOL=SASL_SSL",
        ),
    ],
)
def test_settings_that_do_not_fit_are_a_warning(changed: dict[str, object], what: str, fix: str) -> None:
    found = list(timing.find(Settings(**changed)))  # type: ignore[arg-type]  # any setting
    assert problems(found) == [(Level.WARNING, what)]
    assert fix in fixes(found)


def test_a_broker_that_answers_is_ok_and_a_slow_one_is_a_warning() -> None:
    assert problems(kafka.brokers(ONE, Settings())) == []
    assert problems(kafka.brokers(Cluster(1, 0.8), Settings())) == [(Level.WARNING, "brokers")]


def test_a_session_time_out_that_brokers_refuse_is_an_error() -> None:
    strict = Cluster(1, 0.01, config={"group.min.session.timeout.ms": "10000", "group.max.session.timeout.ms": "60000"})
    assert problems(kafka.brokers(strict, Settings())) == [(Level.ERROR, "session time-out")]
    assert problems(kafka.brokers(strict, Settings(session_timeout_ms=10_000))) == []
    assert problems(kafka.brokers(strict, Settings(group_protocol="consumer"))) == [], "which has the brokers' own"


def test_a_topic_that_is_as_it_should_be_is_ok() -> None:
    assert problems(kafka.topic(topic(), "image_data", ONE, Settings())) == []
    three = topic(replicas=3, min_insync_replicas="2")
    assert problems(kafka.topic(three, "image_data", THREE, Settings())) == []


@pytest.mark.parametrize(
    ("found", "cluster", "problem", "fix"),
    [
        (None, ONE, (Level.WARNING, "topic image_data"), "KAFKA_PARTITIONS=6"),
        (topic(leaderless=2), ONE, (Level.ERROR, "topic image_data"), "start the brokers"),
        (topic(max_message_bytes="1048588"), ONE, (Level.ERROR, "size of image_data"), "MAX_MESSAGE_BYTES=1048588"),
        (
            topic(min_insync_replicas="2"),
            ONE,
            (Level.ERROR, "replication of image_data"),
            "set min.insync.replicas to 1",
        ),
        (topic(), THREE, (Level.WARNING, "replication of image_data"), "replication factor of 3"),
        (
            topic(replicas=3, min_insync_replicas="3"),
            THREE,
            (Level.WARNING, "replication of image_data"),
            "set min.insync.replicas to 2",
        ),
        (topic(replicas=3), THREE, (Level.WARNING, "replication of image_data"), "set min.insync.replicas to 2"),
        (topic(cleanup_policy="compact,delete"), ONE, (Level.WARNING, "clean-up of image_data"), "cleanup.policy"),
    ],
)
def test_what_is_wrong_with_a_topic_is_found(
    found: Topic | None, cluster: Cluster, problem: tuple[Level, str], fix: str
) -> None:
    findings = list(kafka.topic(found, "image_data", cluster, Settings()))
    assert problems(findings) == [problem]
    assert fix in fixes(findings)


def test_a_dead_letter_topic_with_a_low_limit_is_a_warning_since_values_may_stay_behind() -> None:
    small = topic("image_data.dlq", max_message_bytes="1048588")
    findings = list(kafka.topic(small, "image_data.dlq", ONE, Settings()))
    assert problems(findings) == [(Level.WARNING, "size of image_data.dlq")]


def test_a_topic_we_may_not_describe_is_looked_at_as_far_as_it_goes() -> None:
    hidden = Topic("image_data", partitions=6, leaderless=0, replicas=1)
    levels = [finding.level for finding in kafka.topic(hidden, "image_data", ONE, Settings())]
    assert levels == [Level.OK, Level.SKIPPED]


def test_a_dead_letter_topic_that_is_compacted_is_an_error_since_it_refuses_letters_without_a_key() -> None:
    compacted = topic("image_data.dlq", cleanup_policy="compact")
    findings = list(kafka.topic(compacted, "image_data.dlq", ONE, Settings()))
    assert problems(findings) == [(Level.ERROR, "clean-up of image_data.dlq")]
    assert "set its cleanup.policy to delete" in fixes(findings)


def test_an_address_of_a_broker_that_nothing_answers_at_is_an_error() -> None:
    findings = list(kafka.brokers(Cluster(1, 0.01, out_of_reach=("kafka:9092",)), Settings()))
    assert problems(findings) == [(Level.ERROR, "broker kafka:9092")]
    assert "advertised.listeners" in fixes(findings)


def test_more_consumers_than_partitions_are_a_warning() -> None:
    assert problems(kafka.group(Group(6), topic(), Settings())) == []
    assert problems(kafka.group(Group(7), topic(), Settings())) == [(Level.WARNING, "group gpu_cluster_h100")]
    assert [finding.level for finding in kafka.group(None, topic(), Settings())] == [Level.SKIPPED]


def test_a_group_whose_members_share_partitions_otherwise_is_an_error() -> None:
    by_range = Group(1, "range")
    findings = list(kafka.group(by_range, topic(), Settings()))
    assert problems(findings) == [(Level.ERROR, "group gpu_cluster_h100")]
    assert "GROUP_PROTOCOL" in fixes(findings)
    assert problems(kafka.group(by_range, topic(), Settings(group_protocol="range"))) == []
    assert problems(kafka.group(by_range, topic(), Settings(group_protocol="consumer"))) == [], "which takes over"


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (Backlog(0, hidden=0, lost=0, newest_s=None, oldest_unread_s=None), []),
        (Backlog(9, hidden=0, lost=0, newest_s=9000, oldest_unread_s=9000), []),
        (Backlog(9, hidden=0, lost=0, newest_s=9000, oldest_unread_s=8000), [(Level.WARNING, "backlog")]),
        (Backlog(0, hidden=0, lost=4, newest_s=9000, oldest_unread_s=None), [(Level.ERROR, "retention")]),
        (Backlog(1, hidden=3, lost=0, newest_s=9000, oldest_unread_s=9000), [(Level.WARNING, "transactions")]),
        (Backlog(0, hidden=0, lost=0, newest_s=10_060, oldest_unread_s=None), [(Level.WARNING, "clock")]),
    ],
)
def test_what_waits_is_compared_with_the_retention_and_the_clock(
    found: Backlog, problem: list[tuple[Level, str]]
) -> None:
    half_hour = topic(retention_ms="1800000")
    assert problems(kafka.backlog(found, half_hour, now_s=10_000 if found.newest_s != 9000 else 9001)) == problem


def test_topics_that_keep_records_for_ever_are_never_too_slow() -> None:
    old = Backlog(9, hidden=0, lost=0, newest_s=1, oldest_unread_s=1)
    assert problems(kafka.backlog(old, topic(retention_ms="-1"), now_s=1e9)) == []


@pytest.fixture
def trained(tmp_path: Path) -> Settings:
    """Settings of a folder with a model."""
    settings = Settings(model_path=tmp_path / "model.pth", classes_path=tmp_path / "classes.json")
    version = card.version_of(b"weights", LABELS)
    made = ModelCard("tiny_cnn", LABELS, input_size=64, version=version, preprocessing="fast")
    card.write(made, b"weights", model_path=settings.model_path, classes_path=settings.classes_path)
    return settings


def changed(settings: Settings, **values: object) -> Settings:
    return settings.model_copy(update=values)


def test_the_imagenet_model_is_ok_whatever_is_drawn_and_only_some_labels_are_listed(trained: Settings) -> None:
    settings = changed(trained, model=IMAGENET, target_labels=("thing 9*",))
    labels = tuple(f"thing {number}" for number in range(1000))
    made = ModelCard("mobilenet_v2", labels, input_size=224, version=card.version_of(b"weights", labels))
    card.write(made, b"weights", model_path=settings.model_path, classes_path=settings.classes_path)
    found = list(model.find(settings))
    assert problems(found) == []
    assert found[-1].value.endswith("thing 9 and 990 more")
    assert problems(model.find(changed(settings, target_labels=("cat",)))) == [(Level.ERROR, "labels")]


def test_imagenets_files_that_are_missing_or_anothers_are_an_error(trained: Settings) -> None:
    settings = changed(trained, model=IMAGENET, target_labels=("*",))
    findings = list(model.find(settings))
    assert problems(findings) == [(Level.ERROR, "labels")]
    assert "MODEL_PATH and a CLASSES_PATH of its own" in fixes(findings)
    settings.classes_path.unlink()
    findings = list(model.find(settings))
    assert problems(findings) == [(Level.ERROR, "model")]
    assert "velox train" in fixes(findings)


def test_a_trained_model_is_ok(trained: Settings) -> None:
    assert problems(model.find(trained)) == []


def test_what_is_wrong_with_a_model_is_found(trained: Settings) -> None:
    assert problems(model.find(changed(trained, target_labels=("blue_*", "red_*")))) == [(Level.ERROR, "labels")]
    assert problems(model.find(changed(trained, shapes=("circle",)))) == [(Level.WARNING, "labels")]
    assert problems(model.find(changed(trained, preprocessing="exact"))) == [(Level.WARNING, "model")]
    assert "python train.py" in fixes(model.find(changed(trained, target_labels=("blue_*",), shapes=("circle",))))
    card.card_path(trained.model_path).unlink()
    assert problems(model.find(trained)) == [(Level.WARNING, "model")]
    trained.model_path.unlink()
    assert problems(model.find(trained)) == [(Level.ERROR, "model")]


def test_nobody_is_told_to_train_over_weights_from_elsewhere(trained: Settings) -> None:
    card.card_path(trained.model_path).unlink()
    differing = changed(trained, target_labels=("blue_*",), shapes=("circle",))
    assert "train" not in fixes(model.find(differing))
    trained.model_path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (said,) = [finding for finding in model.find(trained) if finding.level is Level.ERROR]
    assert said.value.endswith("model.pth is a git-lfs pointer, not the file it stands for")
    assert said.fix == "fetch that with `git lfs pull`"


def test_a_network_for_texts_is_read_where_it_lies(tmp_path: Path) -> None:
    settings = Settings(model=TRANSFORMER, model_path=tmp_path, target_labels=("bad",))
    assert problems(model.find(settings)) == [(Level.ERROR, "model")], "nothing is there"
    (tmp_path / "config.json").write_text('{"id2label": {"0": "bad", "1": "good"}}')
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    findings = list(model.find(settings))
    assert problems(findings) == [(Level.WARNING, "model")]
    assert "velox train" in fixes(findings)
    (tmp_path / "model.onnx").write_bytes(b"export")
    assert problems(model.find(settings)) == []
    assert problems(model.find(changed(settings, target_labels=("red_*",)))) == [(Level.ERROR, "labels")]
    assert problems(model.find(changed(settings, target_labels=()))) == []
    on_the_hub = changed(settings, model_path=Path("someone/model"))
    assert [finding.level for finding in model.find(on_the_hub)] == [Level.SKIPPED]


def test_a_model_of_the_users_own_is_not_judged() -> None:
    assert [finding.level for finding in model.find(Settings(model="mine.models:Mine"))] == [Level.SKIPPED]


def test_memory_is_compared_with_what_is_wanted() -> None:
    def judge(available_mib: int) -> Level:
        settings = Settings(queue_bytes=256 * MIB)
        return machine.memory(settings, available_mib * MIB, processes=2, each_bytes=900 * MIB).level

    assert judge(4096) is Level.OK
    assert judge(1024) is Level.WARNING
    assert judge(256) is Level.ERROR


@pytest.mark.parametrize(("limit", "free_mib"), [(None, 4096), ("max", 4096), (f"{1024 * MIB}", 768)])
def test_a_containers_limit_counts_as_the_end_of_memory(tmp_path: Path, limit: str | None, free_mib: int) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 4194304 kB\n")
    if limit:
        (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
        (tmp_path / "sys/fs/cgroup/memory.max").write_text(f"{limit}\n")
        (tmp_path / "sys/fs/cgroup/memory.current").write_text(f"{256 * MIB}\n")
    assert machine.available_bytes(root=tmp_path) == free_mib * MIB


def test_few_open_files_are_an_error_and_no_limit_is_none() -> None:
    assert machine.open_files(2, 1024).level is Level.OK
    assert machine.open_files(2, -1).level is Level.OK
    assert machine.open_files(2, 128).level is Level.ERROR


def test_a_port_that_is_taken_is_a_warning() -> None:
    with socket.create_server(("", 0)) as taken:
        assert machine.port(taken.getsockname()[1]).level is Level.WARNING
    assert machine.port(0).level is Level.OK


def test_a_disk_that_is_nearly_full_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def free(size: int) -> Level:
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: type("Usage", (), {"free": size}))
        return machine.disk(Settings()).level

    assert [free(2048 * MIB), free(512 * MIB), free(MIB)] == [Level.OK, Level.WARNING, Level.ERROR]


def test_a_gpu_that_is_asked_for_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(machine.gpus(Settings(), 0)) == []
    assert problems(machine.gpus(Settings(device="cuda"), 0)) == [(Level.ERROR, "gpu")]
    answers: dict[str, str | None] = {}
    monkeypatch.setattr(
        machine, "_output", lambda *command, limit_s: answers.get(Path(command[0]).name) if limit_s else ""
    )
    assert problems(machine.gpus(Settings(), 1)) == [(Level.ERROR, "gpu")]
    answers["nvidia-smi"] = "NVIDIA H200, 550.1, 143771 MiB\n"
    assert problems(machine.gpus(Settings(), 1)) == [(Level.ERROR, "torch")]
    answers[Path(sys.executable).name] = "12.4 True\n"
    assert problems(machine.gpus(Settings(), 1)) == []


class OwnSink:
    """A sink of a user's own, as `velox doctor` meets it."""

    name = "own"

    def __init__(self, _settings: Settings) -> None: ...


class ProbedSink(OwnSink):
    """One that can be probed."""

    def probe(self) -> Proof:
        return Proof("it is there", "it has no index", "make one")


class BrokenSink(OwnSink):
    """One that is down."""

    def probe(self) -> Proof:
        raise SinkUnavailableError("broken: no answer; start it")


def test_sinks_are_asked_by_their_own_probe() -> None:
    def found(name: str) -> list[Finding]:
        return list(sinks.find(Settings(sinks=(f"{__name__}:{name}",))))

    assert [finding.level for finding in found("OwnSink")] == [Level.SKIPPED]
    assert found("ProbedSink")[1] == warning("sink own", "it has no index", "make one")
    assert found("BrokenSink") == [error("sink own", "broken: no answer", "start it")]


def test_a_sinks_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    settings = Settings(sinks=("sqlite", "disk"), sqlite_path=tmp_path / "a/velox.db", storage_path=tmp_path / "b/hits")
    assert problems(sinks.find(settings)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_hangs_is_left_alone() -> None:
    release = threading.Event()

    def hanging(_settings: Settings) -> Iterator[Finding]:
        yield ok("first", "found")
        release.wait()

    found = list(bounded(hanging, Settings(), 0.2))
    release.set()
    assert problems(found) == [(Level.ERROR, "check")]
    assert found[0] == ok("first", "found")


def test_a_check_that_fails_is_a_finding() -> None:
    def failing(_settings: Settings) -> Iterator[Finding]:
        yield ok("first", "found")
        raise SinkUnavailableError("sink: gone; look for it")

    assert list(bounded(failing, Settings(), 5)) == [ok("first", "found"), error("check", "sink: gone", "look for it")]


def test_a_check_with_a_defect_is_a_finding_that_tells_where_and_no_more() -> None:
    def defective(_settings: Settings) -> Iterator[Finding]:
        yield ok("first", "found")
        raise ZeroDivisionError("hunter2")

    found = list(bounded(defective, Settings(), 5))
    assert problems(found) == [(Level.ERROR, "check")]
    assert found[1].value.startswith("broke off: ZeroDivisionError in test_doctor.py, line ")


def test_the_exit_code_counts_errors_up_to_a_hundred(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for count, code in ((0, 0), (3, 3), (250, 100)):
        findings = [error(f"e{i}", "bad", "mend it") for i in range(count)] + [warning("w", "odd", "mend it")]
        monkeypatch.setattr(checkup, "CHECKS", {"made up": lambda _settings, found=findings: found})
        assert checkup.run() == code
    shown = capsys.readouterr().out
    assert "error    made up   e0: bad\n                   → mend it\n" in shown
    assert shown.endswith("1 ok, 1 warning, 250 error, 0 skipped\n")


def test_settings_that_are_wrong_are_the_only_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCH_SIZE", "none")
    assert checkup.run(as_json=True) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["error"], answer["ok"]) == (1, 0)
    assert answer["findings"][0]["value"].startswith("BATCH_SIZE=none")


def test_json_has_every_finding(capsys: pytest.CaptureFixture[str]) -> None:
    with Report(as_json=True) as report:
        report.add("kafka", error("brokers", "gone", "start them"))
    answer = json.loads(capsys.readouterr().out)
    assert answer["findings"] == [
        {"family": "kafka", "level": "error", "what": "brokers", "value": "gone", "fix": "start them"}
    ]


def test_a_bucket_that_can_be_read_is_right_and_an_empty_one_may_be_a_mistake(tmp_path: Path) -> None:
    photos = Settings(codec="key", bucket_url=tmp_path.as_uri())
    name = f"bucket {tmp_path.name}"
    assert problems(bucket.find(photos)) == [(Level.WARNING, name)]
    assert problems(bucket.find(Settings(bucket_url=tmp_path.as_uri(), claim_over_bytes=1000))) == []
    (tmp_path / "a.jpg").write_bytes(b"payload")
    (found,) = bucket.find(photos)
    assert (found.level, found.what) == (Level.OK, name)


def test_a_bucket_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    nowhere = Settings(codec="key", bucket_url=(tmp_path / "photos").as_uri())
    assert problems(bucket.find(nowhere)) == [(Level.ERROR, "bucket photos")]


def test_a_table_of_keys_is_looked_at_where_it_is_the_source(tmp_path: Path) -> None:
    told: dict[str, Any] = {"codec": "key", "bucket_url": "memory:///", "source": "keys"}
    (found,) = keys.find(Settings(**told, keys_url=SecretStr(f"sqlite:///{tmp_path}/keys.db")))
    assert (found.level, found.value) == (Level.OK, f"sqlite:///{tmp_path}/keys.db is not there yet, and can be made")
    assert problems(keys.find(Settings(**told, keys_url=SecretStr("sqlite:////proc/none/keys.db")))) == [
        (Level.ERROR, "table image_info")
    ]
    assert list(keys.find(Settings())) == []


def test_payloads_in_the_records_leave_no_bucket_to_look_at(tmp_path: Path) -> None:
    assert list(bucket.find(Settings(codec="raw", bucket_url=(tmp_path / "photos").as_uri()))) == []
    assert "bucket" in checkup.CHECKS


SEVERAL = Settings(kafka_topic="camera_{1..2}", dead_letter_topic="bad")
PATTERN = Settings(kafka_topic=r"^camera_\d+$", dead_letter_topic="bad")


def test_it_is_said_which_topics_a_pattern_matches_now() -> None:
    cameras = [topic(f"camera_{number}") for number in range(1, 8)]
    assert kafka.several(cameras[:2], SEVERAL).value == "2 of 2 are there: camera_1, camera_2"
    assert kafka.several([], SEVERAL).value == "0 of 2 are there: none"
    said = "7 match KAFKA_TOPIC=^camera_\\d+$ now: camera_1, camera_2, camera_3, camera_4, camera_5 and 2 more"
    assert kafka.several(cameras, PATTERN).value == said
    assert problems([kafka.several([], PATTERN)]) == [(Level.WARNING, "topics")]


def test_several_topics_have_the_partitions_of_all_and_the_retention_of_the_shortest() -> None:
    short, long = topic("camera_1", retention_ms="1000"), topic("camera_2", retention_ms="-1")
    together = kafka.together([long, short], SEVERAL)
    assert (together.name, together.partitions, together.config["retention.ms"]) == ("camera_{1..2}", 12, "1000")
    assert kafka.together([long], SEVERAL) is long
    assert problems(kafka.group(Group(12), together, SEVERAL)) == []
    assert problems(kafka.group(Group(13), together, SEVERAL)) == [(Level.WARNING, "group gpu_cluster_h100")]


def test_to_share_several_topics_by_range_is_unwise() -> None:
    by_range = SEVERAL.model_copy(update={"group_protocol": "range"})
    assert problems(timing.find(by_range)) == [(Level.WARNING, "sharing")]
    assert problems(timing.find(SEVERAL)) == []
