"""What a consumer of several models leaves for others to read."""

import os
import time
from pathlib import Path

import pytest

from velox.model_reports import ModelReport, Reporter, read_reports

READY = ModelReport("words", "ready", "", 8001, 1000.0)
FAILING = ModelReport("words", "failing", "no weights", 0, 1000.0)


def test_what_is_written_is_read_with_the_best_first(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    Reporter(path, 8000).write([FAILING])
    Reporter(path, 9000).write([READY])
    found = read_reports(path)["words"]
    assert [report.state for report in found] == ["ready", "failing"]
    assert found[1].cause == "no weights"
    assert found[0].host


def test_a_report_that_nobody_renews_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    Reporter(path, 8000).write([READY])
    (file,) = (tmp_path / "models.state").glob("*.json")
    long_ago = time.time() - 60
    os.utime(file, (long_ago, long_ago))
    assert read_reports(path) == {}
    very_long_ago = time.time() - 7200
    os.utime(file, (very_long_ago, very_long_ago))
    Reporter(path, 9000).write([READY])
    assert not file.exists()


def test_an_ended_consumer_leaves_nothing(tmp_path: Path) -> None:
    reporter = Reporter(tmp_path / "models.toml", 8000)
    reporter.write([READY])
    reporter.remove()
    reporter.remove()
    assert read_reports(tmp_path / "models.toml") == {}


def test_what_is_no_report_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    Reporter(path, 8000).write([READY])
    for name, content in {"a.json": "{", "b.json": "[{}]", "c.json": "7"}.items():
        (tmp_path / "models.state" / name).write_text(content)
    assert list(read_reports(path)) == ["words"]


def test_where_it_cannot_write_it_warns_once_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "models.state").write_text("a file")
    reporter = Reporter(tmp_path / "models.toml", 8000)
    reporter.write([READY])
    reporter.write([READY])
    assert len(caplog.records) == 1
    assert "gateways do not learn how models are" in caplog.text
