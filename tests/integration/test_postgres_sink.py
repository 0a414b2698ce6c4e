"""The sink `postgres` on a real server: other people's tables, rows that are refused, restarts, several at once."""

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from tests.results import make_result, make_results
from tests.servers.postgres import PostgresServer
from velox.errors import RefusedResultsError, SettingsError, SinkUnavailableError
from velox.records import Pointer, Result
from velox.settings import Settings
from velox.sinks.postgres import PostgresSink


class Database:
    """A database of its own on a server."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.name = f"db_{uuid.uuid4().hex[:12]}"
        server.execute("postgres", f"CREATE DATABASE {self.name}")

    @property
    def url(self) -> str:
        return self._server.url(self.name)

    def sink(self, url: str = "", **settings: object) -> PostgresSink:
        told: dict[str, Any] = {"postgres_dsn": SecretStr(url or self.url), "store": "all", **settings}
        return PostgresSink(Settings(**told))

    def execute(self, *statements: str) -> None:
        self._server.execute(self.name, *statements)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(psycopg.connect(self.url)) as connection:
            return connection.execute(statement.encode()).fetchall()

    def ids(self) -> list[str]:
        return [identity for (identity,) in self.query("SELECT id FROM prediction_results ORDER BY id")]


@pytest.fixture
def database(postgres: PostgresServer) -> Database:
    return Database(postgres)


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """One that may be stopped."""
    with PostgresServer() as server:
        yield server


def ids(results: Sequence[Result]) -> list[str]:
    return sorted(result.id for result in results)


def pointing(result: Result, key: str) -> Result:
    return replace(result, record=replace(result.record, pointer=Pointer(key=key, bucket="photos", sha256="ab" * 32)))


def test_a_row_says_which_object_is_what_by_whom_and_when(database: Database) -> None:
    result = pointing(make_result(7, label="goldfish"), "warehouse/0001.jpg")
    sink = database.sink()
    sink.open()
    sink.write([result])
    sink.close()
    (row,) = database.query(
        "SELECT image_key, category, confidence, hostname <> '', extract(epoch FROM time)::float8, bucket, size,"
        ' sha256, topic, partition, "offset" FROM prediction_results'
    )
    assert row == (
        *("warehouse/0001.jpg", "goldfish", pytest.approx(0.98), True, result.predicted_at),
        *("photos", len(result.record.payload), "ab" * 32, *result.record.position),
    )
    ((percent,),) = database.query("SELECT confidence FROM prediction_results_percent")
    assert percent == pytest.approx(98.0)
    ((images,),) = database.query("SELECT images FROM predictions_per_category WHERE category = 'goldfish'")
    assert images == 1
    assert database.query("SELECT images FROM predictions_per_host") == [(1,)]
    assert database.query("SELECT images FROM predictions_per_minute") == [(1,)]


def test_a_table_with_the_five_columns_that_users_had_keeps_its_rows_and_its_readers(database: Database) -> None:
    database.execute(
        "CREATE TABLE prediction_results"
        " (image_key text, category text, confidence real, hostname text, time timestamp)",
        "INSERT INTO prediction_results VALUES ('old.jpg', 'cat', 0.5, 'node-1', now())",
    )
    for _ in range(2):
        sink = database.sink()
        sink.open()
        sink.write([pointing(make_result(1, label="dog"), "new.jpg")])
        sink.close()
    rows = database.query("SELECT * FROM prediction_results ORDER BY image_key DESC")
    assert [row[:2] for row in rows] == [("old.jpg", "cat"), ("new.jpg", "dog")]


def test_rows_that_a_users_constraint_refuses_cost_only_themselves(database: Database) -> None:
    sink = database.sink()
    sink.open()
    database.execute(
        "ALTER TABLE prediction_results ADD CONSTRAINT known CHECK (category <> 'unicorn')",
        "CREATE UNIQUE INDEX one_of_each ON prediction_results (image_key)",
    )
    results = [pointing(each, f"{number}.jpg") for number, each in enumerate(make_results(100))]
    results[17] = pointing(make_result(17, record_id="checked", label="unicorn"), "17.jpg")
    results[63] = pointing(make_result(63, record_id="unique"), "62.jpg")
    with pytest.raises(RefusedResultsError) as caught:
        sink.write(results)
    assert set(caught.value.refused) == {"checked", results[62].id} or set(caught.value.refused) == {
        "checked",
        "unique",
    }
    assert "known" in caught.value.refused["checked"]
    assert len(database.ids()) == 98
    with pytest.raises(RefusedResultsError):
        sink.write(results)
    assert len(database.ids()) == 98
    sink.close()


def test_the_server_is_stopped_at_once_in_the_middle_and_comes_back(own_server: PostgresServer) -> None:
    database = Database(own_server)
    sink = database.sink(sink_timeout_s=2.0)
    sink.open()
    sink.write(make_results(10))
    own_server.kill()
    with pytest.raises(SinkUnavailableError, match=f"cannot use postgresql://postgres@127.0.0.1:{own_server.port}/"):
        sink.write(make_results(20))
    own_server.start()
    sink.write(make_results(20))
    own_server.restart()
    with pytest.raises(SinkUnavailableError):
        sink.write(make_results(30))  # on the connection that the restart has ended
    sink.write(make_results(30))
    assert database.ids() == ids(make_results(30))
    sink.close()


def test_no_connection_left_is_an_outage_that_ends(database: Database) -> None:
    role = f"guest_{uuid.uuid4().hex[:8]}"
    database.execute(
        f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1",
        f"GRANT CREATE, USAGE ON SCHEMA public TO {role}",
    )
    url = database.url.replace("postgres@", f"{role}@")
    first, second = database.sink(url), database.sink(url)
    first.open()
    with pytest.raises(SinkUnavailableError, match="too many connections"):
        second.open()
    first.close()
    second.open()
    second.write(make_results(3))
    assert database.ids() == ids(make_results(3))
    second.close()


@pytest.mark.parametrize("state", ["40001", "40P01", "57014"])
def test_what_the_server_takes_back_is_tried_again_and_is_no_refusal(database: Database, state: str) -> None:
    """Serialization failures, deadlocks and cancelled statements, raised by a trigger."""
    sink = database.sink()
    sink.open()
    database.execute(
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN RAISE EXCEPTION $m$for now$m$ USING ERRCODE = $m${state}$m$; END'",
        "CREATE TRIGGER refuse BEFORE INSERT ON prediction_results FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    with pytest.raises(SinkUnavailableError, match="for now"):
        sink.write(make_results(3))
    database.execute("DROP TRIGGER refuse ON prediction_results")
    sink.write(make_results(3))
    assert database.ids() == ids(make_results(3))
    sink.close()


def test_a_table_that_was_dropped_is_made_again(database: Database) -> None:
    sink = database.sink()
    sink.open()
    database.execute("DROP TABLE prediction_results CASCADE", "DELETE FROM velox_migrations")
    with pytest.raises(SinkUnavailableError, match="does not exist"):
        sink.write(make_results(3))
    sink.open()
    sink.write(make_results(3))
    assert database.ids() == ids(make_results(3))
    sink.close()


def test_several_consumers_may_start_at_once(database: Database) -> None:
    sinks = [database.sink() for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda sink: sink.open(), sinks))
        list(threads.map(lambda sink: sink.write(make_results(50)), sinks))
    for sink in sinks:
        sink.close()
    assert database.ids() == ids(make_results(50))


def test_whoever_may_only_write_needs_no_more_once_the_tables_are_there(database: Database) -> None:
    owner = database.sink()
    owner.open()
    owner.close()
    role = f"writer_{uuid.uuid4().hex[:8]}"
    database.execute(
        f"CREATE ROLE {role} LOGIN",
        f"GRANT SELECT, INSERT, UPDATE ON prediction_results TO {role}",
        f"GRANT SELECT ON velox_migrations TO {role}",
    )
    sink = database.sink(database.url.replace("postgres@", f"{role}@"))
    sink.open()
    sink.write(make_results(3))
    sink.close()
    assert database.ids() == ids(make_results(3))


def test_who_may_not_make_tables_is_told_so(database: Database) -> None:
    role = f"reader_{uuid.uuid4().hex[:8]}"
    database.execute(f"CREATE ROLE {role} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(SinkUnavailableError, match=r"permission denied .*let this user do so"):
        database.sink(database.url.replace("postgres@", f"{role}@")).open()


@pytest.mark.parametrize(("before", "during"), [("off", "on"), ("local", "local")])
def test_a_commit_is_flushed_whatever_the_user_is_set_to(database: Database, before: str, during: str) -> None:
    database.execute(f"ALTER DATABASE {database.name} SET synchronous_commit = {before}")
    sink = database.sink()
    sink.open()
    database.execute(
        "CREATE TABLE seen (setting text)",
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END$$",
        "CREATE TRIGGER see BEFORE INSERT ON prediction_results FOR EACH ROW EXECUTE FUNCTION see()",
    )
    sink.write(make_results(1))
    sink.close()
    assert database.query("SELECT setting FROM seen") == [(during,)]


def test_the_doctor_leaves_nothing_behind(database: Database) -> None:
    assert database.sink().probe().value.endswith(" is made or completed by the first start")
    assert database.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    sink = database.sink()
    sink.open()
    sink.write(make_results(2))
    sink.close()
    proof = database.sink().probe()
    assert proof.value.startswith("PostgreSQL ")
    assert ", 2 rows in prediction_results of postgresql://postgres@" in proof.value
    assert len(database.ids()) == 2


@pytest.mark.parametrize("dsn", ["mongodb://host/x", "no address", "postgresql://user:secret@host:port/x y=z"])
def test_what_is_no_address_is_refused_and_not_repeated(dsn: str) -> None:
    with pytest.raises(SettingsError, match="POSTGRES_DSN is no address") as caught:
        PostgresSink(Settings(postgres_dsn=SecretStr(dsn)))
    assert "secret" not in str(caught.value)


def test_a_password_is_in_no_message(database: Database) -> None:
    url = database.url.replace("postgres@", "postgres:hunter2@").replace(f"/{database.name}", "/nothing")
    with pytest.raises(
        SinkUnavailableError, match=r"nothing.* does not exist; check that server and database are there"
    ) as caught:
        database.sink(url).open()
    assert "hunter2" not in str(caught.value)
