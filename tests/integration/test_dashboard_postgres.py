"""Results in a real PostgreSQL, read as those in SQLite are."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from tests.results import make_result
from tests.servers.postgres import PostgresServer
from velox.dashboard.postgres import PostgresResults
from velox.dashboard.queries import Cursor, Wanted
from velox.errors import StoreUnavailableError
from velox.postgres.schema import apart
from velox.records import Prediction, Result
from velox.settings import Settings
from velox.sinks.postgres import PostgresSink


@pytest.fixture
def settings(postgres: PostgresServer) -> Settings:
    dsn = apart(postgres.url(), f"dashboard_{uuid.uuid4().hex[:12]}")
    return Settings.model_validate({"sinks": "postgres", "postgres_dsn": dsn})


@pytest.fixture
def results(settings: Settings) -> Iterator[PostgresResults]:
    reader = PostgresResults(settings)
    yield reader
    reader.close()
    PostgresSink(settings).remove("")


def made(number: int) -> Result:
    label = "green_square" if number % 5 == 0 else "red_circle"
    result = replace(make_result(number, label=label), predicted_at=1_000.0 + number // 2)
    return replace(result, prediction=Prediction(label, number / 50))


def test_pages_summary_and_neighbours_are_those_of_the_table(settings: Settings, results: PostgresResults) -> None:
    assert (results.newest(5), results.find("x")) == ([], None), "the sink has made no table yet"
    sink = PostgresSink(settings)
    sink.open()
    sink.write([made(number) for number in range(50)])
    sink.close()
    ids: list[str] = []
    after: Cursor | None = None
    while True:
        page = results.page(Wanted(), after, 7)
        ids += [row.id for row in page.rows]
        if page.next is None:
            break
        after = Cursor.parse(str(page.next))
    expected = sorted((made(number) for number in range(50)), key=lambda of: (of.predicted_at, of.id), reverse=True)
    assert ids == [of.id for of in expected]
    green = results.page(Wanted(label="green_square", least=0.5, since=1_010.0, detections=True), None, 60)
    assert {row.id for row in green.rows} == {made(number).id for number in (25, 30, 35, 40, 45)}
    assert results.summary(Wanted()).labels == {"red_circle": 40, "green_square": 10}
    row = results.find(expected[10].id)
    assert row is not None
    assert results.beside(row) == (expected[9].id, expected[11].id)
    assert row.is_wrong is None


def test_a_row_from_before_which_has_no_id_is_left_out(settings: Settings, results: PostgresResults) -> None:
    sink = PostgresSink(settings)
    sink.open()
    sink.close()
    with psycopg.connect(settings.postgres_dsn.get_secret_value()) as connection:
        connection.execute("INSERT INTO prediction_results (category, time) VALUES ('cat', now())")
    assert results.newest(5) == []
    assert results.page(Wanted(label="cat"), None, 5).rows == []


def test_a_server_that_is_away_is_an_error_with_a_remedy() -> None:
    away = Settings.model_validate({"postgres_dsn": "postgresql://postgres@127.0.0.1:1/velox"})
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1"):
        PostgresResults(away).newest(5)
