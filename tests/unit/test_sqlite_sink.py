import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.results import make_result, make_results
from velox.errors import SinkUnavailableError
from velox.records import UNLABELLED, Prediction, Timings
from velox.settings import Settings
from velox.sinks.documents import document
from velox.sinks.sqlite import SqliteSink


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "velox.db"


@pytest.fixture
def sink(path: Path) -> Iterator[SqliteSink]:
    sink = SqliteSink(Settings(sqlite_path=path, sink_timeout_s=0.2))
    yield sink
    sink.close()


def rows(path: Path, query: str = "SELECT * FROM predictions ORDER BY id") -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def test_a_row_holds_what_a_document_holds(sink: SqliteSink, path: Path) -> None:
    sink.open()
    sink.write([make_result(7)])
    expected = document(make_result(7))
    expected["id"] = expected.pop("_id")
    assert rows(path) == [expected]


def test_a_result_written_again_replaces_every_column(sink: SqliteSink, path: Path) -> None:
    first = make_result(7)
    moved = make_result(8, record_id=first.id, label="green_square", ground_truth=UNLABELLED, produced_at=1.0)
    changed = replace(
        moved, is_detection=False, predicted_at=2.0, file_path="", model=replace(moved.model, version="2")
    )
    sink.open()
    sink.write([first])
    sink.write([changed])
    expected = document(changed)
    expected["id"] = expected.pop("_id")
    assert rows(path) == [expected]


def test_a_batch_is_one_transaction(sink: SqliteSink, path: Path) -> None:
    sink.open()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON predictions WHEN new.offset = 2 "
            "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
    with pytest.raises(SinkUnavailableError, match="not this one"):
        sink.write(make_results(4))
    assert rows(path) == []


def test_a_commit_is_flushed_before_the_offset_follows(sink: SqliteSink) -> None:
    sink.open()
    assert sink._connection is not None
    full = 2
    assert sink._connection.execute("PRAGMA synchronous").fetchone() == (full,)
    assert sink._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_readers_see_the_last_state_while_a_batch_is_written(sink: SqliteSink, path: Path) -> None:
    sink.open()
    sink.write(make_results(2))
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM predictions").fetchone() == (2,)
        sink.write(make_results(4))
        assert reader.execute("SELECT count(*) FROM predictions").fetchone() == (2,)
    assert len(rows(path)) == 4


def test_searching_a_label_by_time_uses_the_index(sink: SqliteSink, path: Path) -> None:
    sink.open()
    plan = rows(
        path, "EXPLAIN QUERY PLAN SELECT * FROM predictions WHERE predicted_label = 'a' ORDER BY timestamp DESC"
    )
    assert [step["detail"] for step in plan] == [
        "SEARCH predictions USING INDEX predictions_by_label_and_time (predicted_label=?)"
    ]


def test_a_file_that_is_no_database_is_named_with_its_remedy(sink: SqliteSink, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all, but long enough to be read as one" * 100)
    with pytest.raises(SinkUnavailableError, match=r"velox\.db: file is not a database; .*move it away, or restore it"):
        sink.open()


def test_a_damaged_file_is_named_and_the_sink_goes_on_when_it_is_moved_away(sink: SqliteSink, path: Path) -> None:
    sink.open()
    sink.write(make_results(500))
    sink.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(SinkUnavailableError, match="damaged"):
        sink.write(make_results(500))
    path.rename(path.with_suffix(".damaged"))
    sink.write(make_results(5))
    assert len(rows(path)) == 5


def test_a_foreign_table_of_the_same_name_fails_at_the_start(sink: SqliteSink, path: Path) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE predictions (something TEXT)")
    with pytest.raises(SinkUnavailableError, match="no such column"):
        sink.open()


def test_rows_never_go_to_a_file_that_has_lost_its_name(sink: SqliteSink, path: Path) -> None:
    sink.open()
    sink.write(make_results(2))
    path.unlink()
    sink.write(make_results(3))
    assert len(rows(path)) == 3


def test_a_lock_held_by_another_process_is_said_so(sink: SqliteSink, path: Path) -> None:
    sink.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SinkUnavailableError, match=r"database is locked; .*write lock for SINK_TIMEOUT_S=0\.2"):
            sink.write(make_results(1))


SCORED = replace(
    make_result(7), prediction=Prediction("cat", 0.75, (("cat", 0.75),)), timings=Timings(0.1, 0.2, 0.3, 8)
)
EXTRAS = ("scores", "queue_ms", "decode_ms", "inference_ms", "batch_size", "text")


def chatty(path: Path) -> SqliteSink:
    return SqliteSink(Settings(sqlite_path=path, store_timings=True, store_text=4))


def columns(path: Path) -> set[str]:
    return {row["name"] for row in rows(path, "PRAGMA table_info(predictions)")}


def test_what_is_stored_besides_has_columns_of_its_own_in_a_file_that_is_there_already(
    sink: SqliteSink, path: Path
) -> None:
    sink.write([make_result(1)])
    before = columns(path)
    more = chatty(path)
    more.write([SCORED, make_result(8)])
    assert columns(path) - before == {*EXTRAS}
    one, scored, plain = rows(path)
    assert json.loads(scored["scores"]) == [{"label": "cat", "score": 0.75}]
    assert [scored[name] for name in EXTRAS[1:]] == [100, 200, 300, 8, "payl"]
    assert [plain[name] for name in EXTRAS] == [None] * 5 + ["payl"]
    assert [one[name] for name in EXTRAS] == [None] * 6
    more.close()


def test_without_them_no_table_gets_their_columns(sink: SqliteSink, path: Path) -> None:
    sink.write(make_results(3))
    assert columns(path).isdisjoint(EXTRAS)


def test_a_result_written_again_without_scores_keeps_none(sink: SqliteSink, path: Path) -> None:
    sink.write([SCORED])
    sink.write([make_result(7)])
    assert [row["scores"] for row in rows(path)] == [None]
    sink.close()
    sink.write([SCORED])
    assert json.loads(rows(path)[0]["scores"]) == [{"label": "cat", "score": 0.75}]


def test_columns_that_another_consumer_has_added_meanwhile_are_used(sink: SqliteSink, path: Path) -> None:
    sink.open()
    other = chatty(path)
    other.write([SCORED])
    sink.write([replace(SCORED, record=replace(SCORED.record, id="another"))])
    assert [row["scores"] is None for row in rows(path)] == [False, False]
    other.close()
