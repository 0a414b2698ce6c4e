"""Stored results are read a page at a time, and in the same order whatever is asked."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.results import make_result
from velox.dashboard import queries
from velox.dashboard.queries import Cursor, Wanted
from velox.dashboard.sqlite import SqliteResults
from velox.errors import StoreUnavailableError
from velox.records import Prediction, Result
from velox.settings import Settings
from velox.sinks.sqlite import SqliteSink


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "velox.db"


@pytest.fixture
def stored(path: Path) -> Iterator[SqliteResults]:
    """Fifty results, two at each time; each fifth is called a green square, and each tenth is none."""
    sink = SqliteSink(Settings(sqlite_path=path))
    sink.open()
    sink.write([made(number) for number in range(50)])
    sink.close()
    yield SqliteResults(Settings(sqlite_path=path))


def made(number: int) -> Result:
    is_green = number % 5 == 0
    result = make_result(
        number,
        label="green_square" if is_green else "red_circle",
        ground_truth="red_circle" if number % 10 == 0 or not is_green else "green_square",
        produced_at=1_000.0 + number // 2,
    )
    return replace(result, prediction=Prediction(result.prediction.label, number / 50), is_detection=not is_green)


def all_of(results: SqliteResults, wanted: Wanted, limit: int = 7) -> list[str]:
    ids: list[str] = []
    after: Cursor | None = None
    while True:
        page = results.page(wanted, after, limit)
        assert len(page.rows) <= limit
        ids += [row.id for row in page.rows]
        if page.next is None:
            return ids
        after = Cursor.parse(str(page.next))


def test_pages_together_are_all_results_each_once_and_the_newest_first(stored: SqliteResults) -> None:
    assert all_of(stored, Wanted()) == [made(number).id for number in reversed(range(50))]


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (Wanted(label="green_square"), lambda n: n % 5 == 0),
        (Wanted(least=0.5, most=0.8), lambda n: 25 <= n <= 40),
        (Wanted(since=1_010.0, until=1_011.0), lambda n: 20 <= n <= 23),
        (Wanted(agreed=False), lambda n: n % 10 == 0),
        (Wanted(agreed=True), lambda n: n % 10),
        (Wanted(detections=True), lambda n: n % 5),
        (Wanted(version="4f1c", label="red_circle", least=0.9), lambda n: n % 5 and n >= 45),
        (Wanted(version="another"), lambda _n: False),
        (Wanted(camera="another"), lambda _n: False),
    ],
)
def test_a_filter_takes_what_matches_and_nothing_else(stored: SqliteResults, wanted: Wanted, takes: object) -> None:
    assert callable(takes)
    assert all_of(stored, wanted) == [made(number).id for number in reversed(range(50)) if takes(number)]


def test_the_newest_are_those_stored_last(stored: SqliteResults) -> None:
    assert [row.id for row in stored.newest(3)] == [made(number).id for number in (49, 48, 47)]


def test_a_summary_counts_labels_and_confidence(stored: SqliteResults) -> None:
    summary = stored.summary(Wanted())
    assert summary.labels == {"red_circle": 40, "green_square": 10}
    assert sum(summary.confidence) == summary.of == 50
    assert stored.summary(Wanted(label="green_square")).labels == {"green_square": 10}


def test_a_record_knows_its_neighbours(stored: SqliteResults) -> None:
    row = stored.find(made(21).id)
    assert row is not None
    assert stored.beside(row) == (made(22).id, made(20).id)
    first = stored.find(made(0).id)
    assert first is not None
    assert stored.beside(first) == (made(1).id, None)


def test_only_a_known_ground_truth_makes_a_result_wrong(stored: SqliteResults) -> None:
    row = stored.find(made(10).id)
    assert row is not None
    assert row.is_wrong
    assert replace(row, truth="unknown_unknown").is_wrong is None
    assert replace(row, truth=None).is_wrong is None
    assert replace(row, truth="green_square").is_wrong is False


def test_a_store_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    results = SqliteResults(Settings(sqlite_path=tmp_path / "none.db"))
    assert (results.newest(5), results.page(Wanted(), None, 5).rows, results.find("x")) == ([], [], None)
    assert not (tmp_path / "none.db").exists()
    sqlite3.connect(tmp_path / "none.db").close()
    assert results.newest(5) == []


def test_a_file_that_is_no_store_is_an_error_with_a_remedy(path: Path) -> None:
    path.write_text("no database" * 100)
    with pytest.raises(StoreUnavailableError, match="SQLITE_PATH"):
        SqliteResults(Settings(sqlite_path=path)).newest(5)


def test_a_query_that_takes_too_long_is_given_up(
    stored: SqliteResults, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("velox.dashboard.sqlite.QUERY_S", -1.0)
    monkeypatch.setattr("velox.dashboard.sqlite._STEPS", 1)
    with pytest.raises(StoreUnavailableError, match="narrow it"):
        stored.page(Wanted(agreed=False), None, 5)


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(label="red_circle"), Wanted(since=1.0), Wanted(least=0.5)])
def test_a_page_is_read_by_an_index_in_its_order(stored: SqliteResults, path: Path, wanted: Wanted) -> None:
    where, values = queries.conditions(wanted, queries.Columns("predicted_label", "timestamp", "", "", "?", "?"))
    query = f"SELECT * FROM predictions WHERE {where} ORDER BY timestamp DESC, rowid DESC LIMIT 60"  # noqa: S608
    with closing(sqlite3.connect(path)) as connection:
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values))
    assert "USING INDEX predictions_by" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("text", ["", "x", "W10", "e30", "WzEsIG51bGxd", "é"])
def test_what_is_no_cursor_begins_at_the_beginning(text: str) -> None:
    assert Cursor.parse(text) is None


def test_the_first_sink_that_can_be_read_is_asked_and_none_where_there_is_none(path: Path) -> None:
    assert isinstance(queries.results(Settings(sinks=("disk", "sqlite"), sqlite_path=path)), SqliteResults)
    assert queries.results(Settings(sinks=("mongo", "disk"))) is None
