"""What velox top makes of consumers' metrics."""

import argparse
import io
import json
from collections.abc import Sequence

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
