"""What velox top makes of consumers' metrics."""

import argparse
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from prometheus_client.exposition import generate_latest
from rich.console import Console

from tests.fakes import FakeClock
from velox import cli
from velox.commands.top import _address
from velox.core.idleness import Cause
from velox.metrics.consumer import ConsumerMetrics
from velox.tools.top import view
from velox.tools.top.figures import Figures, figures
from velox.tools.top.history import History
from velox.tools.top.topics import Topic
from velox.tools.top.verdict import judge
from velox.tools.up.scraping import read


class Consumer:
    """A consumer's metrics, and the pages of them that were seen, one a second."""

    def __init__(self, clock: FakeClock | None = None, started: float = 1000.0) -> None:
        self.clock = clock or FakeClock()
        self.history = History(10, clock=self.clock)
        self.start(started)

    def start(self, at: float) -> None:
        self.metrics = ConsumerMetrics()
        self.metrics.started.set(at)
        self.metrics.ready.set(1)
        self.metrics.processes.labels("cpu").set(1)
        self.metrics.in_flight_limit_records.set(200)
        self.metrics.bucket_up.set(1)

    def idles(self, seconds: float, cause: Cause) -> None:
        self.metrics.idle.labels(cause.value).inc(seconds)

    def predicts(self, batches: int, *, records: int, seconds: float) -> None:
        for _ in range(batches):
            self.metrics.stage.labels("inference", "mobilenet_v2").observe(seconds)
            self.metrics.batch_size.observe(records)
            self.metrics.records.labels("predicted", "image_data", "mobilenet_v2").inc(records)

    def seen(self) -> None:
        self.history.saw(read(generate_latest(self.metrics.registry).decode()))
        self.clock.advance(1)


def one_second(**idle: float) -> Figures:
    """What is shown of a process that was idle for this long and predicted otherwise."""
    consumer = Consumer()
    consumer.seen()
    for cause, seconds in idle.items():
        consumer.idles(seconds, Cause(cause))
    consumer.predicts(1, records=8, seconds=1 - sum(idle.values()))
    consumer.seen()
    return figures([consumer.history])


def test_shares_are_of_the_inference_processes_time() -> None:
    now = one_second(sink=0.5, decode=0.125)
    assert (now.predicting, now.idle[Cause.SINK], now.idle[Cause.DECODE]) == (0.375, 0.5, 0.125)
    assert now.predicting + sum(now.idle.values()) == pytest.approx(1)
    assert now.records_per_s == 8


def test_what_was_counted_before_the_first_look_is_not_of_the_last_seconds() -> None:
    consumer = Consumer()
    consumer.idles(1000, Cause.FETCH)
    consumer.seen()
    consumer.idles(1, Cause.SINK)
    consumer.seen()
    assert figures([consumer.history]).idle[Cause.SINK] == 1


def test_what_is_older_than_the_window_is_forgotten() -> None:
    consumer = Consumer()
    for second in range(20):
        consumer.seen()
        consumer.idles(1, Cause.FETCH if second < 5 else Cause.SINK)
    assert figures([consumer.history]).idle[Cause.SINK] == 1
    assert figures([consumer.history]).seconds == 10


def test_a_consumer_that_started_again_counts_from_there() -> None:
    consumer = Consumer()
    consumer.predicts(100, records=8, seconds=0.01)
    consumer.seen()
    consumer.start(at=2000)
    consumer.predicts(500, records=8, seconds=0.01)
    consumer.seen()
    assert figures([consumer.history]).records_per_s == 0, "one look is no rate, and what it was before is another's"
    consumer.predicts(2, records=8, seconds=0.01)
    consumer.seen()
    assert figures([consumer.history]).records_per_s == 16


def test_a_consumer_that_does_not_answer_is_left_out_and_the_others_go_on() -> None:
    clock = FakeClock()
    here, gone = Consumer(clock), Consumer(clock)
    for consumer in (here, gone):
        consumer.seen()
    here.predicts(3, records=2, seconds=0.1)
    here.seen()
    gone.history.saw(None)
    now = figures([here.history, gone.history])
    assert (now.consumers, now.inference_processes, now.records_per_s) == (1, 1, 3)


def test_consumers_are_added_up() -> None:
    consumers = [Consumer(), Consumer()]
    for consumer in consumers:
        consumer.metrics.lag.labels("image_data", "0").set(100)
        consumer.metrics.lag.labels("image_data", "1").set(50)
        consumer.metrics.in_flight_records.set(7)
        consumer.seen()
        consumer.predicts(2, records=5, seconds=0.25)
        consumer.idles(0.5, Cause.FETCH)
        consumer.seen()
    now = figures([consumer.history for consumer in consumers])
    assert (now.lag_records, now.in_flight_records, now.in_flight_limit_records) == (300, 14, 400)
    assert (now.records_per_s, now.drain_s, now.batch_records, now.predicting) == (20, 15, 5, 0.5)
    assert {stage.name: stage.batches_per_s for stage in now.stages}["inference"] == 4


def test_a_stage_is_as_busy_as_the_share_of_the_time_of_those_who_do_it() -> None:
    consumer = Consumer()
    consumer.seen()
    consumer.metrics.stage.labels("sink", "").observe(0.25)
    consumer.metrics.stage.labels("queue", "mobilenet_v2").observe(5)
    consumer.idles(1, Cause.SINK)
    consumer.seen()
    stages = {stage.name: stage for stage in figures([consumer.history]).stages}
    assert (stages["sink"].busy, stages["sink"].mean_s) == (0.25, 0.25)
    assert (stages["queue"].busy, stages["queue"].mean_s) == (None, 5), "waiting is no work"


def test_downloads_are_a_stage_where_payloads_are_objects() -> None:
    consumer = Consumer()
    consumer.seen()
    assert "download" not in {stage.name for stage in figures([consumer.history]).stages}
    consumer.metrics.stage.labels("download", "").observe(0.5)
    consumer.metrics.stage.labels("download", "").observe(1.5)
    consumer.metrics.objects_in_progress.set(16)
    consumer.seen()
    now = figures([consumer.history])
    (stage,) = (stage for stage in now.stages if stage.name == "download")
    assert (stage.mean_s, stage.batches_per_s, stage.busy, now.objects_in_progress) == (1, 2, None, 16)
    assert "16 objects under way" in shown(now)
    assert "bucket" not in view.headline(now)


def test_a_bucket_that_is_down_is_told_of_before_anything_was_read() -> None:
    consumers = [Consumer(), Consumer()]
    consumers[0].metrics.bucket_up.set(0)
    for consumer in consumers:
        consumer.seen()
    now = figures([consumer.history for consumer in consumers])
    assert now.buckets_down == 1
    assert view.headline(now).endswith(" · bucket down for 1 of them")
    assert view.headline(figures([consumers[0].history])).endswith(" · bucket down")
    assert "0 objects under way · bucket down" in shown(now)


@pytest.mark.parametrize("cause", Cause)
def test_the_cause_that_takes_most_of_the_time_is_named_with_a_remedy(cause: Cause) -> None:
    other = Cause.FETCH if cause is not Cause.FETCH else Cause.SINK
    verdict = judge(one_second(**{cause.value: 0.6, other.value: 0.2}))
    assert verdict.bottleneck == cause
    assert "60%" in verdict.says
    assert verdict.remedy


def test_a_device_that_predicts_most_of_the_time_is_the_bottleneck() -> None:
    verdict = judge(one_second(decode=0.2, fetch=0.1))
    assert verdict.bottleneck == "inference"
    assert "70%" in verdict.says


def test_nothing_measured_is_said_and_no_division_by_nothing() -> None:
    assert judge(figures([])).bottleneck == ""
    assert judge(figures([History()])).bottleneck == ""
    consumer = Consumer()
    consumer.seen()
    now = figures([consumer.history])
    assert (now.is_measured, now.records_per_s, now.drain_s, now.batch_records) == (False, 0, None, None)
    assert shown(now)


def shown(now: Figures) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(view.table(now, judge(now), {"host:1": "loading [the] model"}))
    return out.getvalue()


def test_the_table_the_line_and_the_json_say_the_same() -> None:
    now = one_second(batch_wait=0.75)
    state = (now, judge(now), {"host:1": "loading [the] model"})
    for text in (shown(now), view.line(*state), view.as_json(*state)):
        assert "loading [the] model" in text
        assert "records wait for company" in text
    assert "batch_wait 75%" in shown(now)
    assert "batch_wait 75%" in view.line(*state)
    read_back = json.loads(view.as_json(*state))
    assert read_back["idle"]["batch_wait"] == 0.75
    assert read_back["verdict"]["bottleneck"] == "batch_wait"


def several_topics(*topics: tuple[str, int, int, int]) -> Figures:
    """What is shown of topics of which so many records were done, wait, and were dead-lettered in one second."""
    consumer = Consumer()
    consumer.metrics.reads(name for name, *_ in topics)
    consumer.metrics.predicts_with("m")
    consumer.seen()
    for name, done, lag, letters in topics:
        consumer.metrics.records.labels("predicted", name, "m").inc(done)
        consumer.metrics.records.labels("dead_lettered", name, "").inc(letters)
        consumer.metrics.dead_letters.labels("empty", name).inc(letters)
        consumer.metrics.lag.labels(name, "0").set(lag)
    consumer.seen()
    return figures([consumer.history])


def cameras(number: int) -> list[Topic]:
    return [Topic(f"camera_{camera}", 1.0, 0, 0) for camera in range(number)]


def on_a_terminal(now: Figures, *, lines: int, width: int = 80) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=lines, force_terminal=True, no_color=True, _environ={})
    console.print(view.table(now, judge(now), {}))
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()


def test_a_topic_counts_what_all_consumers_did_of_it() -> None:
    consumers = [Consumer(), Consumer()]
    for number, consumer in enumerate(consumers):
        consumer.seen()
        consumer.metrics.records.labels("predicted", "camera_1", "m").inc(10)
        consumer.metrics.records.labels("dead_lettered", "camera_1", "").inc(2)
        consumer.metrics.dead_letters.labels("empty", "camera_1").inc(2)
        consumer.metrics.records.labels("predicted", f"own_{number}", "m").inc(5)
        consumer.metrics.lag.labels("camera_1", str(number)).set(100)
        consumer.seen()
    topics = {topic.name: topic for topic in figures([consumer.history for consumer in consumers]).topics}
    assert topics["camera_1"] == Topic("camera_1", records_per_s=24, lag_records=200, dead_letters=4)
    assert topics["own_0"] == Topic("own_0", records_per_s=5, lag_records=0, dead_letters=0)


def test_the_topic_that_is_furthest_behind_comes_first_then_the_busiest() -> None:
    now = several_topics(("a", 1, 0, 0), ("b", 50, 0, 0), ("c", 2, 30, 0), ("d", 2, 400, 0), ("e", 40, 40, 0))
    assert [topic.name for topic in now.topics] == ["d", "c", "b", "e", "a"], "what is done in a second is no lag"


def test_several_topics_are_shown_one_a_row_below_all_else() -> None:
    now = several_topics(("camera_1", 20, 1500, 3), ("camera_2", 10, 0, 0))
    before, after = on_a_terminal(replace(now, topics=[]), lines=40), on_a_terminal(now, lines=40)
    assert after[: len(before)] == before
    assert [line.split() for line in after[len(before) :]] == [
        [],
        ["topic", "records/s", "lag", "dead", "letters"],
        ["camera_1", "23.0", "1,500", "3"],
        ["camera_2", "10.0", "0", "0"],
    ]


def test_one_topic_has_no_row_of_its_own() -> None:
    now = several_topics(("camera_1", 20, 1500, 3))
    assert [topic.name for topic in now.topics] == ["camera_1"]
    assert on_a_terminal(now, lines=40) == on_a_terminal(replace(now, topics=[]), lines=40)
    assert "camera_1" not in view.line(now, judge(now), {})


@pytest.mark.parametrize("lines", [20, 24, 30, 50])
@pytest.mark.parametrize("width", [80, 120])
def test_as_many_topics_are_shown_as_the_terminal_has_lines_for(lines: int, width: int) -> None:
    drawn = on_a_terminal(replace(one_second(sink=0.5), topics=cameras(150)), lines=lines, width=width)
    rows = sum(line.startswith("camera_") for line in drawn)
    assert len(drawn) < lines
    assert len(drawn) == lines - 1 or rows == 20
    assert drawn[-1] == f"and {150 - rows} more"


def test_a_terminal_that_is_too_small_for_anything_still_shows_the_first_topic() -> None:
    drawn = on_a_terminal(several_topics(("a", 1, 0, 0), ("b", 2, 0, 0), ("c", 3, 0, 0)), lines=5)
    assert [line.split()[0] for line in drawn[-2:]] == ["c", "and"]


def test_without_a_terminal_twenty_topics_are_shown() -> None:
    drawn = shown(replace(one_second(sink=0.5), topics=cameras(150)))
    assert drawn.count("camera_") == 20
    assert "and 130 more" in drawn


def test_a_name_that_is_too_long_is_cut_and_its_numbers_are_not() -> None:
    drawn = on_a_terminal(several_topics(("x" * 249, 12, 34567, 8), ("b", 1, 0, 0)), lines=40, width=60)
    (row,) = (line for line in drawn if line.startswith("xxx"))
    assert row.split()[1:] == ["20.0", "34,567", "8"]
    assert row.split()[0].endswith("…")


def test_the_line_names_the_first_of_several_topics_and_the_json_has_them_all() -> None:
    now = several_topics(("camera_1", 1, 500, 7), ("camera_2", 9, 0, 0))
    assert "; 2 topics, first camera_1: 8.0 records/s, lag 500" in view.line(now, judge(now), {})
    assert json.loads(view.as_json(now, judge(now), {}))["topics"] == [
        {"name": "camera_1", "records_per_s": 8, "lag_records": 500, "dead_letters": 7},
        {"name": "camera_2", "records_per_s": 9, "lag_records": 0, "dead_letters": 0},
    ]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:8000", ("localhost", 8000)),
        (":8001", ("localhost", 8001)),
        ("0.0.0.0:49153", ("0.0.0.0", 49153)),  # noqa: S104 - what `docker compose port` prints; nothing is bound
        ("[::1]:8000", ("::1", 8000)),
        ("http://velox-2.local:8000/metrics", ("velox-2.local", 8000)),
    ],
)
def test_an_address_is_read_as_it_is_written(text: str, address: tuple[str, int]) -> None:
    assert _address(text) == address


@pytest.mark.parametrize("text", ["localhost", "8000", "localhost:0", "localhost:65536", "a:b:1", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no address"):
        _address(text)


def test_nothing_that_answers_is_an_error_with_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["top", "127.0.0.1:1", "--once"]) == 2
    said = capsys.readouterr().err
    assert "no consumer answers at 127.0.0.1:1" in said
    assert "velox consume" in said


def run(arguments: Sequence[str]) -> argparse.Namespace:
    return cli._parser().parse_args(["top", *arguments])


def test_it_looks_at_this_machine_every_two_seconds_by_default() -> None:
    args = run([])
    assert (args.consumers, args.every, args.once, args.json) == ([], 2.0, False, False)
