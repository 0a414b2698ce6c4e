"""The parts of ``velox up`` that start nothing."""

import logging
import sqlite3
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from prometheus_client import generate_latest
from rich.console import Console

from velox.core.envelope import Codec
from velox.core.subscription import Subscription, subscription
from velox.errors import SettingsError, VeloxError
from velox.kafka.lag import Extent
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Partition
from velox.settings import Settings
from velox.tools.up import supervisor, view
from velox.tools.up.environment import MAX_LAG_BYTES, as_environment, changes
from velox.tools.up.picture import Recorded, draw
from velox.tools.up.results import Detection, Judged, StoredResults
from velox.tools.up.scraping import Scrape, by, parse, quantile, read, since
from velox.tools.up.tally import Balance, Lives, lost, unread
from velox.tools.up.window import Window

LEFT, RIGHT = Partition("images", 0), Partition("images", 1)
INFINITY = float("inf")


def test_a_scrape_reads_what_the_consumer_exports() -> None:
    metrics = ConsumerMetrics()
    metrics.records.labels("predicted", "camera_1", "mobilenet_v2").inc(4)
    metrics.records.labels("predicted", "camera_2", "mobilenet_v2").inc(3)
    metrics.records.labels("dead_lettered", "camera_1", "").inc()
    metrics.records.labels("dead_lettered", "camera_2", "").inc()
    metrics.detections.labels("red_circle", "camera_1").inc(3)
    metrics.detections.labels("blue_square", "camera_2").inc()
    for seconds, topic in ((0.007, "camera_1"), (0.03, "camera_2"), (4000, "camera_2")):
        metrics.end_to_end.labels(topic, "mobilenet_v2").observe(seconds)
    scrape = parse(generate_latest(metrics.registry).decode())
    assert (scrape.predicted, scrape.dead_lettered, scrape.detections) == (7, 2, 4)
    assert scrape.end_to_end[0.01] == 1
    assert scrape.end_to_end[0.05] == 2
    assert scrape.end_to_end[INFINITY] == 3


def test_a_quantile_lies_within_its_bucket() -> None:
    buckets = {0.01: 50, 0.02: 100, INFINITY: 100}
    assert quantile(0.5, buckets) == pytest.approx(0.01)
    assert quantile(0.75, buckets) == pytest.approx(0.015)
    assert quantile(0.25, buckets) == pytest.approx(0.005)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile(0.95, {1.0: 1, INFINITY: 10}) == 1.0


@pytest.mark.parametrize("buckets", [{}, {1.0: 0, INFINITY: 0}])
def test_nothing_observed_has_no_quantile(buckets: dict[float, float]) -> None:
    assert quantile(0.5, buckets) is None


def test_the_difference_of_two_scrapes_is_what_came_between() -> None:
    assert since({1.0: 5, INFINITY: 9}, {1.0: 2, INFINITY: 3}) == {1.0: 3, INFINITY: 6}


def test_a_consumer_started_again_counts_from_zero() -> None:
    assert since({1.0: 1, INFINITY: 2}, {1.0: 5, INFINITY: 9}) == {1.0: 1, INFINITY: 2}


def test_counts_add_up_over_a_consumers_lives() -> None:
    lives = Lives()
    lives.saw(Scrape(predicted=10, dead_lettered=1, detections=4, end_to_end={1.0: 9, INFINITY: 10}))
    lives.saw(Scrape(predicted=20, dead_lettered=1, detections=8, end_to_end={1.0: 19, INFINITY: 20}))
    lives.ended()
    lives.saw(Scrape(predicted=5, dead_lettered=2, detections=0, end_to_end={1.0: 5, INFINITY: 5}))
    assert lives.total == Scrape(predicted=25, dead_lettered=3, detections=8, end_to_end={1.0: 24, INFINITY: 25})


def test_unread_is_what_follows_the_committed_offset() -> None:
    assert unread({LEFT: Extent(0, 10), RIGHT: Extent(0, 5)}, {LEFT: 8}) == 2 + 5


def test_lost_is_what_was_dropped_before_it_was_committed() -> None:
    assert lost({LEFT: Extent(4, 10), RIGHT: Extent(2, 5)}, {LEFT: 4, RIGHT: 1}) == 1
    assert lost({LEFT: Extent(4, 10)}, {}) == 4


GOOD = Balance(produced=10, predicted=8, dead_letters=1, dropped=1, unread=0, lost=0, detections=3, images=3)


def balance(**changed: int | None) -> Balance:
    values = {name: getattr(GOOD, name) for name in GOOD.__slots__}
    return Balance(**{**values, **changed})


def test_counts_that_add_up_are_no_problem() -> None:
    assert not GOOD.problems()
    assert not balance(images=None).problems()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"predicted": 7}, "produced 10 is not predicted 7"),
        ({"predicted": 9}, "produced 10 is not predicted 9"),
        ({"dead_letters": 3}, "dead letters 3"),
        ({"dropped": 0}, "dead letters 1"),
        ({"unread": 4}, "4 records not read"),
        ({"lost": 1}, "1 records LOST"),
        ({"images": 2}, "3 detections, but 2"),
    ],
)
def test_every_count_that_does_not_add_up_is_named(changed: dict[str, int | None], complaint: str) -> None:
    (problem,) = balance(**changed).problems()
    assert complaint in problem


def test_rates_and_latencies_are_those_of_the_last_seconds() -> None:
    now = 0.0
    window = Window(10, clock=lambda: now)
    for second in range(31):
        now = second
        slow = {0.01: 0, 1.0: min(second, 20) * 20, INFINITY: second * 20}
        window.saw(produced=second * 20, predicted=max(0, second - 25) * 20, latency=slow)
    assert window.rates() == (20, 10)
    assert window.latency() == {0.01: 0, 1.0: 0, INFINITY: 200}


def test_a_window_without_history_shows_no_rates() -> None:
    window = Window()
    assert (window.rates(), window.latency()) == ((0, 0), {})


def test_the_processes_get_the_users_settings_and_what_an_embedded_broker_asks_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SINKS=mongo,disk\nMETRICS_PORT=8000\nPRODUCER_INTERVAL=0.01\n")
    monkeypatch.setenv("EPOCHS", "9")
    environment = as_environment(changes(Settings(), bootstrap="127.0.0.1:7"))
    assert environment["KAFKA_BOOTSTRAP_SERVER"] == "127.0.0.1:7"
    assert environment["SINKS"] == "sqlite,disk", "what .env says is meant for Compose"
    assert environment["METRICS_PORT"] not in {"0", "8000"}
    assert environment["PRODUCER_MAX_LAG_BYTES"] == str(MAX_LAG_BYTES)
    assert int(environment["MAX_MESSAGE_BYTES"]) <= 1024 * 1024
    assert environment["EPOCHS"] == "9"
    assert "PRODUCER_INTERVAL" not in environment, "it is read from .env by the processes themselves"


def test_sinks_store_and_port_from_the_environment_count(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SINKS": "mongo", "STORE": "detections", "METRICS_PORT": "8123"}.items():
        monkeypatch.setenv(name, value)
    changed = changes(Settings(), bootstrap="127.0.0.1:7")
    assert not {"sinks", "store", "metrics_port"} & changed.keys()


def test_a_port_of_zero_becomes_one_that_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_PORT", "0")
    assert changes(Settings(), bootstrap="127.0.0.1:7")["metrics_port"] > 0


def test_the_changed_settings_are_valid_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = changes(Settings(), bootstrap="127.0.0.1:7")
    for name, value in as_environment(changed).items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert {name: getattr(settings, name) for name in changed} == changed


def add(path: Path, *rows: tuple[str, str, int]) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS predictions (id TEXT PRIMARY KEY NOT NULL, predicted_label TEXT, "
            "confidence REAL DEFAULT 0.5, file_path TEXT DEFAULT 'hit.jpg', is_detection INTEGER)"
        )
        connection.executemany(
            "INSERT INTO predictions (id, predicted_label, is_detection) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET predicted_label = excluded.predicted_label",
            rows,
        )
    connection.close()


def test_only_what_this_run_has_stored_counts(tmp_path: Path) -> None:
    path = tmp_path / "velox.db"
    add(path, ("old", "red_circle", 1))
    stored = StoredResults(path)
    add(path, ("a", "red_circle", 1), ("b", "red_square", 0), ("c", "blue_circle", 1))
    add(path, ("a", "red_circle", 1), ("old", "red_circle", 1))  # a replay
    assert stored.count() == 3
    assert stored.detections() == [Detection("blue_circle", 0.5, "hit.jpg"), Detection("red_circle", 0.5, "hit.jpg")]
    assert stored.detections(most=1) == [Detection("blue_circle", 0.5, "hit.jpg")]


def test_before_anything_is_stored_there_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "velox.db"
    stored = StoredResults(path)
    assert (stored.count(), stored.detections()) == (0, [])
    add(path, ("a", "red_circle", 1))
    assert stored.count() == 1


def test_texts_are_shown_whatever_was_found_in_them(tmp_path: Path) -> None:
    path = tmp_path / "velox.db"
    stored = StoredResults(path)
    assert stored.texts(most=2) == []
    add(path, ("a", "NEGATIVE", 1))
    assert stored.texts(most=2) == [], "nobody has stored any"
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE predictions ADD COLUMN text TEXT")
        connection.execute("INSERT INTO predictions VALUES ('b', 'POSITIVE', 0.75, '', 0, 'lovely')")
        connection.execute("INSERT INTO predictions VALUES ('c', 'NEGATIVE', 0.5, '', 1, 'awful')")
    connection.close()
    assert stored.texts(most=5) == [Judged("NEGATIVE", 0.5, "awful"), Judged("POSITIVE", 0.75, "lovely")]
    assert stored.texts(most=1) == [Judged("NEGATIVE", 0.5, "awful")]


SNAPSHOT = view.Snapshot(
    state="running",
    running_s=12,
    produced=240,
    predicted=230,
    rates=(20.0, 19.5),
    latency_s=(0.0123, None),
    recent=(Detection("red_circle", 0.98, "discoveries/hit_[1].jpg"),),
)


def test_the_plain_view_speaks_at_changes_and_every_few_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    plain = view.PlainView(clock=lambda: now)
    with caplog.at_level(logging.INFO):
        for tick in range(45):
            now = tick / 4
            plain.show(SNAPSHOT)
    assert len(caplog.messages) == 3
    assert "produced 240 (20.0/s), predicted 230 (19.5/s)" in caplog.text
    assert "p50 12 ms, p95 –" in caplog.text


def test_the_panel_shows_rates_latencies_the_last_detections_and_where_results_are() -> None:
    written = StringIO()
    Console(width=120, file=written).print(view.render(SNAPSHOT, "velox.db"))
    text = written.getvalue()
    for part in ("running", "240", "20.0/s", "p50 12 ms", "red_circle", "0.98", "hit_[1].jpg", "velox.db", "Ctrl-C"):
        assert part in text


def words(svg: str) -> str:
    """What a reader of the picture sees, its non-breaking spaces as spaces."""
    return " ".join(ET.fromstring(svg).itertext()).replace("\xa0", " ")  # noqa: S314 - our own file


def test_the_picture_is_the_panel_and_fetches_nothing() -> None:
    svg = draw(SNAPSHOT, "velox.db")
    for part in ("velox up · running · 12 s", "20.0/s", "p50 12 ms", "red_circle", "hit_[1].jpg", "velox.db"):
        assert part in words(svg)
    assert "url(http" not in svg.replace('"', "")
    assert svg == draw(SNAPSHOT, "velox.db")


def test_the_recorded_picture_is_the_last_one_of_the_running_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "up.svg"
    with Recorded(view.PlainView(), path, "velox.db") as shown:
        for seconds, state in enumerate(("starting the consumer", "running", "running", "reading the rest")):
            shown.show(replace(SNAPSHOT, state=state, running_s=seconds))
    assert "velox up · running · 2 s" in words(path.read_text())


def test_a_run_that_never_came_to_run_leaves_no_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "up.svg"
    with Recorded(view.PlainView(), path, "velox.db") as shown:
        shown.show(replace(SNAPSHOT, state="starting the consumer"))
    assert not path.exists()
    assert "nothing ran" in caplog.text


def test_a_picture_that_cannot_be_written_is_said_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Recorded(view.PlainView(), tmp_path, "velox.db") as shown:
        shown.show(SNAPSHOT)
    assert f"--record {tmp_path}: Is a directory" in caplog.text


def test_a_picture_without_a_folder_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with (
        pytest.raises(VeloxError, match="there is no folder"),
        Recorded(view.PlainView(), tmp_path / "a/b.svg", "here"),
    ):
        pytest.fail("it should not have begun")


TEXTS = replace(
    SNAPSHOT,
    recent=(),
    texts=(Judged("NEGATIVE", 0.875, "an [awful]\nlamp\x1b[31m " + "x" * 300), Judged("P", 0.5, "second")),
)


def test_the_panel_shows_the_last_texts_a_line_each() -> None:
    written = StringIO()
    Console(width=100, file=written).print(view.render(TEXTS, "sentiment.db"))
    text = written.getvalue()
    for part in ("last texts", "NEGATIVE", "0.88", r"an [awful] lamp\x1b[31m xxx", "second"):
        assert part in text
    assert len(text.splitlines()) == len(TEXTS.texts) + 9
    assert "\x1b" not in text


def test_the_plain_line_ends_with_the_last_text() -> None:
    assert TEXTS.line().endswith(r'dead letters 0, last "an [awful] lamp\x1b[31m ' + "x" * 300 + '": NEGATIVE 0.88')
    assert SNAPSHOT.line().endswith("dead letters 0")


def test_a_pipeline_of_texts_gets_no_sink_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEC", "json")
    monkeypatch.setenv("SINKS", "mongo")
    settings = Settings()
    monkeypatch.delenv("SINKS")
    assert changes(settings, bootstrap="127.0.0.1:7")["sinks"] == ("sqlite",)


def test_samples_are_added_up_by_one_label_wherever_it_stands() -> None:
    page = read(
        "# TYPE velox_records_total counter\n"
        'velox_records_total{topic="a",outcome="predicted",model="m"} 3\n'
        'velox_records_total{outcome="predicted",topic="b",model="m"} 4\n'
        'velox_records_total{outcome="dead_lettered",topic="b",model="m"} 1\n'
    )
    samples = page["velox_records_total"]
    assert by("outcome", samples) == {"predicted": 7, "dead_lettered": 1}
    assert by("topic", samples) == {"a": 3, "b": 5}
    assert by("", samples) == {"": 8}


CAMERAS = subscription(r"^camera_\d+$")


def test_payloads_for_a_pipeline_of_keys_are_refused_before_anything_is_started() -> None:
    with pytest.raises(SettingsError, match="CODEC=key: SOURCE=shapes makes payloads"):
        supervisor.run(Settings(codec=Codec.KEY, bucket_url="memory:///"))


def test_the_embedded_broker_begins_with_the_topics_that_are_named() -> None:
    assert supervisor._records(subscription("a,b"), None) == ("a", "b")
    assert supervisor._records(CAMERAS, "camera_{1..20}") == tuple(f"camera_{number}" for number in range(1, 21))


@pytest.mark.parametrize(
    ("of", "topics", "said"),
    [
        (CAMERAS, None, r"is a pattern, and the embedded broker has no topics yet: .*--topics 'camera_\{1..20\}'"),
        (CAMERAS, "camera_1,lens_1", r"--topics camera_1,lens_1: lens_1 does not match KAFKA_TOPIC=\^camera"),
        (CAMERAS, "^camera", r"--topics \^camera: is a pattern, and names are wanted"),
        (subscription("a,b"), "a", "--topics a: KAFKA_TOPIC=a,b names its topics itself; leave --topics out"),
    ],
)
def test_topics_that_nobody_would_read_are_refused(of: Subscription, topics: str | None, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        supervisor._records(of, topics)
