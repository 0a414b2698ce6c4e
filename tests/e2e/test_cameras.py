"""The fifth system: cameras, a topic each; their frames in a bucket, their newest predicted, and an account of all."""

import json
import sqlite3
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import QUICK_SESSION, REPOSITORY, CommandProgram, Program, wait_until
from tests.e2e.test_dashboards import choices, queries, series_with_data
from tests.servers.kafka import KafkaServer
from tests.servers.prometheus import PrometheusServer
from tests.small_model import install
from velox.core.cameras import Cause, taken_at

DASHBOARD = REPOSITORY / "deploy/grafana/dashboards/cameras.json"
RULES = REPOSITORY / "deploy/prometheus/cameras_rules.yml"
FRAMES = "velox_camera_frames_total"
MODEL = {"MODEL": "velox.models.image_classifier:ImageClassifier", "MODEL_ARCH": "tiny_cnn"}


def clip(path: Path, *, frames: int = 25) -> str:
    """A second of video: noise under a white square that moves."""
    noise = np.random.default_rng(3).integers(0, 200, (96, 128, 3), np.uint8)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(frames):
            image = noise.copy()
            image[20:60, number : number + 40] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return f"file:{path}"


class Site:
    """Cameras and consumers in one folder, with topics of their own on the session's broker."""

    def __init__(self, folder: Path, kafka: KafkaServer, make: PipelineFactory, model: Path) -> None:
        install(model, folder)
        self.name = f"site{uuid.uuid4().hex[:8]}"
        self.file = folder / "cameras.yaml"
        self.kafka = kafka
        self._folder = folder
        self._programs: list[Program] = []
        settings: dict[str, Any] = {
            "CODEC": "key",
            "KAFKA_TOPIC": f"^{self.name}_[0-9]+$",
            "DEAD_LETTER_TOPIC": f"{self.name}.dlq",
            "BUCKET_URL": f"file:{folder}/frames-of-all",
            "CAMERAS_FILE": str(self.file),
            "CAMERAS_PORT": "0",
            "CAMERA_THUMBS_S": "0.5",
            "SINKS": "sqlite",
            "SQLITE_PATH": str(folder / "cameras.db"),
            "TARGET_LABELS": "*",
            "CONFIDENCE_THRESHOLD": "0",
            "OBJECT_RETRY_S": "0",
            "FETCH_WAIT_MS": "20",
            **MODEL,
            **QUICK_SESSION,
        }
        (folder / "frames-of-all").mkdir()
        self.pipeline = make(**settings)

    def camera(self, number: int) -> str:
        return f"{self.name}_{number}"

    def describe(self, *cameras: dict[str, object]) -> None:
        self.file.write_text(json.dumps({"defaults": {"size": "128x96", "fps": 10}, "cameras": cameras}))

    def command(self, *words: str, **settings: str) -> CommandProgram:
        program = CommandProgram(words[0], *words[1:], folder=self._folder, env=self.pipeline.environment(**settings))
        self._programs.append(program)
        return program

    def read(self, **settings: str) -> CommandProgram:
        """Start to read the cameras."""
        cameras = self.command("cameras", "run", **settings)
        cameras.wait_until_it_says("Metrics and health")
        return cameras

    def run(self, *words: str) -> str:
        program = self.command(*words)
        assert program.process.wait(60) == 0, program.output
        return program.output

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._folder / "cameras.db")) as connection:
            try:
                return connection.execute(query, values).fetchall()
            except sqlite3.OperationalError:  # no row yet
                return []

    def rows_of(self, number: int) -> int:
        return len(self.rows("SELECT id FROM predictions WHERE camera_id = ?", self.camera(number)))

    def end(self) -> None:
        for program in self._programs:
            program.end()


@pytest.fixture
def site(tmp_path: Path, kafka: KafkaServer, pipeline: PipelineFactory, small_model: Path) -> Iterator[Site]:
    made = Site(tmp_path, kafka, pipeline, small_model)
    yield made
    made.end()


def ledger(cameras: CommandProgram, camera: str) -> Counter[str]:
    """What became of a camera's frames, as its process counts them."""
    outcomes = ("decoded", "published", *(cause.value for cause in Cause))
    counted = {outcome: int(cameras.metric(FRAMES, camera=camera, outcome=outcome)) for outcome in outcomes}
    return Counter({outcome: count for outcome, count in counted.items() if count})


@pytest.mark.timeout(240)
def test_every_frame_is_accounted_for_while_cameras_come_and_go_and_a_consumer_is_killed(site: Site) -> None:
    site.describe(
        {"id": site.camera(1), "url": "synthetic:", "policy": "all"},
        {"id": site.camera(2), "url": "synthetic:"},
        {"id": site.camera(3), "url": clip(site.file.with_name("clip.mp4")), "policy": "sample(5)"},
        {"id": site.camera(4), "url": "rtsp://me:secret@127.0.0.1:9/nobody"},
    )
    cameras = site.read()
    consumer = site.pipeline.consume()
    wait_until(lambda: all(site.rows_of(n) > 5 for n in (1, 2, 3)), what=lambda: cameras.output + consumer.output)

    # Added, and paused, while the others run.
    site.run("cameras", "add", site.camera(5), "synthetic:", "--size", "128x96", "--fps", "10", "--policy", "all")
    wait_until(lambda: site.rows_of(5) > 3, what=lambda: f"the new camera\n{cameras.output}\n{consumer.output}")
    site.run("cameras", "pause", site.camera(2))
    wait_until(lambda: cameras.metric("velox_camera_state", camera=site.camera(2), state="paused") == 1, what="paused")

    # A consumer dies in the middle; the frames of a camera whose policy is all are read again, none is lost.
    consumer.process.kill()
    consumer.process.wait()
    at_death = site.rows_of(1)
    successor = site.pipeline.consume()
    wait_until(lambda: site.rows_of(1) > at_death + 10, what=lambda: successor.output)

    assert cameras.metric("velox_camera_state", camera=site.camera(4), state="offline") == 1
    assert "secret" not in cameras.output
    site.run("cameras", "remove", site.camera(5), site.camera(3))
    wait_until(lambda: f"{site.camera(5)}: removed" in cameras.output, what="removed")
    before = site.rows_of(1)
    wait_until(lambda: site.rows_of(1) > before + 5, what="the others are not touched")

    site.run("cameras", "pause", site.camera(1))
    wait_until(lambda: cameras.metric("velox_camera_state", camera=site.camera(1), state="paused") == 1, what="paused")
    counts = {number: Counter[str]() for number in (1, 2, 3, 5)}

    def is_settled() -> bool:
        counts.update({number: ledger(cameras, site.camera(number)) for number in counts})
        return all(found["decoded"] == found.total() - found["decoded"] for found in counts.values())

    wait_until(is_settled, what=lambda: f"decoded = published + dropped: {counts}")
    published = {number: len(site.pipeline.records(site.camera(number))) for number in counts}
    assert {number: found["published"] for number, found in counts.items()} == published, "each as Kafka has it"
    assert counts[3]["not_sampled"] > 10
    wait_until(
        lambda: all(site.rows_of(number) == published[number] for number in counts),
        what=lambda: f"every frame published is predicted, once: {published}, {[site.rows_of(n) for n in counts]}",
    )
    assert site.rows("SELECT count(*) FROM predictions WHERE img_path = '' OR age_ms IS NULL") == [(0,)]
    (label_rows,) = site.rows(
        "SELECT sum(predicted_label = ground_truth), count(*) FROM predictions WHERE camera_id = ?", site.camera(1)
    )
    assert label_rows[0] > 0.9 * label_rows[1], f"the moving shapes are named rightly: {label_rows}"

    # A process that starts again knows what was changed while it was not there.
    assert cameras.stop() == 0, cameras.output
    again = site.read()
    wait_until(lambda: again.metric("velox_camera_state", camera=site.camera(2), state="paused") == 1, what="paused")
    assert site.camera(3) not in again.output
    assert again.stop() == 0
    assert successor.stop() == 0


@pytest.mark.timeout(180)
def test_behind_a_slow_model_only_the_newest_frames_are_predicted_and_none_is_old(site: Site) -> None:
    site.describe(*({"id": site.camera(n), "url": "synthetic:", "fps": 20} for n in range(1, 7)))
    told = {"FRESHNESS": "latest", "STALE_AFTER_MS": "5000", "BATCH_SIZE": "4", "INFERENCE_PROCESSES": "1"}
    slow = site.pipeline.consume(**told, MODEL="tests.e2e.paced:SlowClassifier")
    cameras = site.read()
    wait_until(
        lambda: min(site.rows_of(number) for number in range(1, 7)) >= 5,
        what=lambda: f"all get their turn\n{slow.output[-3000:]}\n{cameras.output[-3000:]}",
        timeout_s=90,
    )
    assert slow.metric("velox_dropped_records_total", cause="superseded") > 20
    assert cameras.stop() == 0

    def counted() -> tuple[int, int]:
        done = slow.metric("velox_records_total", outcome="predicted") + slow.metric(
            "velox_records_total", outcome="dropped"
        )
        return int(done), sum(len(site.pipeline.records(site.camera(n))) for n in range(1, 7))

    wait_until(lambda: counted()[0] == counted()[1], what=lambda: f"published = predicted + dropped: {counted()}")
    numbers = [site.rows_of(number) for number in range(1, 7)]
    fairness = sum(numbers) ** 2 / (len(numbers) * sum(n * n for n in numbers))
    assert fairness >= 0.95, f"Jain's index of {numbers}"
    assert slow.stop() == 0


def test_thumbs_say_how_a_camera_is_and_top_shows_all_cameras(site: Site) -> None:
    site.describe(
        {"id": site.camera(1), "url": "synthetic:"}, {"id": site.camera(2), "url": "http://me:secret@127.0.0.1:9/x"}
    )
    cameras = site.read()
    consumer = site.pipeline.consume()
    wait_until(lambda: site.rows_of(1) > 5, what=lambda: cameras.output + consumer.output)
    mine = [m for m in site.pipeline.records("camera_thumbs") if m.key() == site.camera(1).encode()]
    assert mine
    assert dict(mine[-1].headers() or ())["velox-camera-state"] == b"live"
    where = ("--cameras", f"127.0.0.1:{cameras.port}", "--consumers", f"127.0.0.1:{consumer.port}")
    rows = json.loads(site.run("cameras", "top", "--once", "--json", *where).strip().splitlines()[-1])
    assert [(row["camera"], row["state"]) for row in rows] == [
        (site.camera(2), "offline"),
        (site.camera(1), "live"),
    ]
    assert rows[1]["predicted_per_s"] > 0
    assert rows[1]["label"]
    shown = site.run("cameras", "top", "--once", *where)
    assert "2 cameras: 1 live, 1 offline" in shown
    assert "secret" not in site.run("cameras", "list") + cameras.output


@pytest.mark.timeout(300)  # the first run fetches Prometheus
def test_every_panel_of_the_dashboard_shows_data_of_a_real_run(site: Site) -> None:
    site.describe({"id": site.camera(1), "url": "synthetic:"}, {"id": site.camera(2), "url": "file:nowhere.mp4"})
    cameras = site.read()
    consumer = site.pipeline.consume(FRESHNESS="latest", STALE_AFTER_MS="60000")
    wait_until(lambda: site.rows_of(1) > 0, what=lambda: cameras.output + consumer.output)
    scrapes = {"cameras": [cameras.port], "consumer": [consumer.port]}
    with PrometheusServer(scrapes=scrapes, rules=RULES) as prometheus:
        wait_until(lambda: prometheus.query("velox_cameras_ready == 1"), what="a scrape of the cameras")
        asked = [query for choice in choices(DASHBOARD, prometheus) for query in queries(DASHBOARD, choice)]

        def without_data() -> list[str]:
            return [query.expression for query in asked if not series_with_data(prometheus, query)]

        wait_until(lambda: not without_data(), what=lambda: f"data in every panel: {without_data()}")
        assert prometheus.query('sum(velox_camera_state{state="offline"})')[0]["value"][1] == "1"


def test_frames_are_deleted_when_they_take_too_much_room(site: Site) -> None:
    site.describe({"id": site.camera(1), "url": "synthetic:", "fps": 20})
    folder = site.file.parent / "frames-of-all"
    cameras = site.read(FRAME_MAX_BYTES="20000")
    wait_until(lambda: ledger(cameras, site.camera(1))["published"] > 60, what=lambda: cameras.output)

    def sizes() -> dict[float, int]:
        return {taken_at(path.name) or 0: path.stat().st_size for path in folder.rglob("*.jpg") if path.exists()}

    assert cameras.stop() == 0
    again = site.read(FRAME_MAX_BYTES="20000")
    wait_until(lambda: "frames from before" in again.output, what=lambda: again.output)
    wait_until(lambda: 0 < sum(sizes().values()) < 60_000, what=lambda: f"{sizes()}")
    assert again.stop() == 0


def test_one_command_runs_cameras_with_an_embedded_broker_and_its_counts_add_up(
    tmp_path: Path, small_model: Path
) -> None:
    install(small_model, tmp_path)
    env = {
        "PATH": str(Path(sys.executable).parent),
        "PYTHONPATH": str(REPOSITORY),
        "BUCKET_URL": f"file:{tmp_path}/frames-of-all",
        "CAMERAS_PORT": "0",
        "INFERENCE_PROCESSES": "1",
        "VELOX_ENV_FILE": str(REPOSITORY / "pipelines/cameras.env"),
        **MODEL,
    }
    made = CommandProgram("cameras", "init", "--count", "4", folder=tmp_path, env=env)
    assert made.process.wait(60) == 0, made.output
    assert "camera_1 to camera_4" in made.output
    up = CommandProgram("up", "--for", "5s", folder=tmp_path, env=env)
    assert up.process.wait(90) == 0, up.output
    assert "dead letters 0" in up.output
    with closing(sqlite3.connect(tmp_path / "cameras.db")) as connection:
        found = Counter(camera for (camera,) in connection.execute("SELECT camera_id FROM predictions"))
    assert set(found) == {f"camera_{number}" for number in range(1, 5)}
    assert min(found.values()) >= 5
