"""One suite over sinks that take outcomes: what the writer may rely on, and what they may rely on."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest
from pydantic import SecretStr

from examples.outcomes_table import PATH, OutcomesTable
from tests.fakes import FakeOutcomeSink, make_record
from tests.results import make_results
from velox.errors import Reason, SinkUnavailableError
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Failure, Outcome
from velox.settings import Settings
from velox.sinks.requests import RequestsSink
from velox.sinks.sink import Measuring, OutcomeSink, Sink


class Rig(Protocol):
    """A sink, and what it has heard."""

    sink: OutcomeSink

    def heard(self) -> dict[str, str]:
        """By id: the label, or the reason of the failure; the last counts."""


class TableRig:
    """The example for users."""

    def __init__(self) -> None:
        self.sink: OutcomeSink = OutcomesTable(Settings())

    def heard(self) -> dict[str, str]:
        with closing(sqlite3.connect(PATH)) as connection:
            return dict(connection.execute("SELECT id, coalesce(failed, label) FROM outcomes"))


class FakeRig:
    """What the writer is tested with."""

    def __init__(self) -> None:
        self._fake = FakeOutcomeSink()
        self.sink: OutcomeSink = self._fake  # type: ignore[assignment] # one class plays sinks of every kind

    def heard(self) -> dict[str, str]:
        return {
            each.id: each.reason.value if isinstance(each, Failure) else each.prediction.label
            for batch in self._fake.batches
            for each in batch
        }


class RequestsRig:
    """The gateway's store."""

    def __init__(self) -> None:
        self._path = Path("requests.db")
        self.sink: OutcomeSink = RequestsSink(Settings(requests_url=SecretStr(f"sqlite:///{self._path}")))

    def heard(self) -> dict[str, str]:
        with closing(sqlite3.connect(self._path)) as connection:
            return dict(connection.execute("SELECT id, coalesce(error_reason, label) FROM requests"))


RIGS: dict[str, Callable[[], Rig]] = {"outcomes_table": TableRig, "fake": FakeRig, "requests": RequestsRig}


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.chdir(tmp_path)
    made = RIGS[request.param]()
    yield made
    made.sink.close()


def failure(offset: int, reason: Reason = Reason.UNDECODABLE) -> Failure:
    return Failure(make_record(offset), reason, "no", 1700000000.0)


def batch(count: int = 6) -> list[Outcome]:
    return [failure(100 + n) if n % 2 else result for n, result in enumerate(make_results(count))]


def expected(outcomes: list[Outcome]) -> dict[str, str]:
    return {each.id: "undecodable" if isinstance(each, Failure) else "red_circle" for each in outcomes}


def test_it_says_that_it_takes_outcomes_and_is_a_sink(rig: Rig) -> None:
    sink: Sink = rig.sink
    assert sink.takes == "outcomes"
    assert sink.name


def test_results_and_failures_are_taken_in_one_batch(rig: Rig) -> None:
    rig.sink.open()
    rig.sink.write(batch())
    assert rig.heard() == expected(batch())


def test_the_same_batch_twice_says_the_same(rig: Rig) -> None:
    rig.sink.open()
    rig.sink.write(batch())
    rig.sink.write(batch())
    assert rig.heard() == expected(batch())


def test_the_last_outcome_of_an_id_counts(rig: Rig) -> None:
    rig.sink.open()
    (result,) = make_results(1)
    rig.sink.write([result])
    rig.sink.write([Failure(result.record, Reason.RESULT_REFUSED, "too large", 1.0)])
    assert rig.heard() == {result.id: "result_refused"}


def test_it_may_be_closed_twice_and_opened_again(rig: Rig) -> None:
    rig.sink.close()
    rig.sink.open()
    rig.sink.close()
    rig.sink.close()
    rig.sink.open()
    rig.sink.write(batch())
    assert rig.heard() == expected(batch())


def test_the_sink_of_requests_tells_how_long_each_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(requests_url=SecretStr("sqlite:///requests.db"), pipeline="sentiment")
    metrics = ConsumerMetrics()
    sink = RequestsSink(settings)
    assert isinstance(sink, Measuring)
    sink.measure(metrics.finish)
    sink.open()
    sink.write(batch(6))
    sink.close()
    for outcome in ("completed", "failed"):
        assert metrics.total("velox_request_seconds_count", model="sentiment", outcome=outcome) == 3
    assert metrics.total("velox_request_seconds_sum") > 0


def test_the_example_says_when_it_cannot_write_and_goes_on_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = OutcomesTable(Settings(sink_timeout_s=0.1))
    assert list(tmp_path.iterdir()) == [], "making it touches nothing"
    sink.open()
    with closing(sqlite3.connect(PATH, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for _ in range(2):
            with pytest.raises(SinkUnavailableError, match=r"outcomes\.db: database is locked; check its folder"):
                sink.write(batch())
    sink.write(batch())
    with closing(sqlite3.connect(PATH)) as connection:
        assert connection.execute("SELECT count(*), count(failed) FROM outcomes").fetchone() == (6, 3)
    sink.close()
