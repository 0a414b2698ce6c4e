"""One suite over both databases that the table of keys may be in."""

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from tests.servers.postgres import PostgresServer
from tests.servers.proxy import TcpProxy
from velox.errors import SettingsError, StoreUnavailableError
from velox.keys import key_table
from velox.keys.table import START, KeyTable, Row
from velox.records import Pointer
from velox.settings import Settings
from velox.tools.doctor import keys as doctor


class InFile:
    """An SQLite file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "keys.db"
        self.url = f"sqlite:///{self.path}"

    def execute(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)


class InPostgres:
    """A database of its own."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.name = f"db_{uuid.uuid4().hex[:12]}"
        server.execute("postgres", f"CREATE DATABASE {self.name}")
        self.url = server.url(self.name)

    def execute(self, *statements: str) -> None:
        self._server.execute(self.name, *statements)

    def connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self.url)


def table_of(url: str, **settings: object) -> KeyTable:
    told: dict[str, Any] = {"keys_url": SecretStr(url), "keys_timeout_s": 2.0, **settings}
    return key_table(Settings(**told))


@pytest.fixture
def in_postgres(postgres: PostgresServer) -> InPostgres:
    return InPostgres(postgres)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> InFile | InPostgres:
    if request.param == "sqlite":
        return InFile(tmp_path)
    found: InPostgres = request.getfixturevalue("in_postgres")
    return found


@pytest.fixture
def table(database: InFile | InPostgres) -> Iterator[KeyTable]:
    made = table_of(database.url)
    made.open()
    yield made
    made.close()


def pointers(*keys: str) -> list[Pointer]:
    return [Pointer(key=key, size_bytes=len(key), sha256="ab" * 32) for key in keys]


def read(table: KeyTable, *, prefix: str = "", most: int = 1000) -> list[Row]:
    return table.read(START, prefix=prefix, most=most)


def test_what_was_added_is_read_in_that_order(table: KeyTable) -> None:
    table.add(pointers("b", "a"))
    table.add(pointers("größe/日本.png", "a"))
    rows = read(table)
    assert [row.key for row in rows] == ["b", "a", "größe/日本.png", "a"]
    assert (rows[0].size_bytes, rows[0].sha256) == (1, "ab" * 32)
    assert [row.place for row in rows] == sorted(row.place for row in rows)


def test_reading_goes_on_behind_any_row(table: KeyTable) -> None:
    table.add(pointers(*map(str, range(25))))
    seen: list[str] = []
    at = START
    while rows := table.read(at, prefix="", most=10):
        seen += [row.key for row in rows]
        at = rows[-1].place
    assert seen == [str(number) for number in range(25)]


def test_only_keys_that_begin_so_are_read_whatever_signs_are_in_it(table: KeyTable) -> None:
    table.add(pointers("red/1", "green/1", "re%/1", "RED/1"))
    assert [row.key for row in read(table, prefix="red/")] == ["red/1"]
    assert [row.key for row in read(table, prefix="re%")] == ["re%/1"]


def test_a_mark_outlives_the_connection(table: KeyTable, database: InFile | InPostgres) -> None:
    assert table.place() == START
    table.add(pointers("a", "b"))
    place = read(table)[0].place
    table.mark(place)
    table.mark(place)
    table.close()
    with closing(table_of(database.url)) as other:
        other.open()
        assert other.place() == place
        assert [row.key for row in other.read(other.place(), prefix="", most=10)] == ["b"]


def test_rows_of_somebody_who_knows_only_the_key_are_read(table: KeyTable, database: InFile | InPostgres) -> None:
    database.execute("INSERT INTO image_info (image_key) VALUES ('theirs.jpg')")
    (row,) = read(table)
    assert (row.key, row.size_bytes, row.sha256) == ("theirs.jpg", None, "")


def test_a_table_that_was_there_before_keeps_its_rows(database: InFile | InPostgres) -> None:
    if isinstance(database, InFile):  # where whoever has no database yet makes one
        return
    database.execute("CREATE TABLE image_info (image_key text)", "INSERT INTO image_info VALUES ('a'), ('b'), (NULL)")
    with closing(table_of(database.url)) as table:
        table.open()
        assert sorted(row.key for row in read(table)) == ["a", "b"]


def test_the_newest_of_what_is_known_of_keys_is_told(table: KeyTable) -> None:
    table.add([Pointer(key="a", size_bytes=1, sha256="01" * 32)])
    table.add([Pointer(key="a", size_bytes=2, sha256="02" * 32), Pointer(key="b")])
    known = table.known(["a", "b", "c"])
    assert set(known) == {"a", "b"}
    assert (known["a"].size_bytes, known["a"].sha256) == (2, "02" * 32)
    assert table.known([]) == {}


def test_it_opens_and_closes_twice_and_opens_by_itself(table: KeyTable) -> None:
    table.open()
    table.close()
    table.close()
    table.add(pointers("a"))
    assert len(read(table)) == 1


def test_waiting_ends(table: KeyTable) -> None:
    began = time.monotonic()
    table.wait(0.2)
    assert time.monotonic() - began < 30


def test_new_rows_end_the_waiting(in_postgres: InPostgres) -> None:
    with closing(table_of(in_postgres.url)) as table:
        table.open()
        adding = threading.Timer(0.2, lambda: in_postgres.execute("INSERT INTO image_info (image_key) VALUES ('a')"))
        adding.start()
        began = time.monotonic()
        table.wait(60)
        assert time.monotonic() - began < 30
        adding.join()
        assert [row.key for row in read(table)] == ["a"]


def test_a_row_that_is_committed_later_with_a_lower_number_is_not_passed_over(in_postgres: InPostgres) -> None:
    """The trap of bookmarks by number: the higher one is committed first."""
    with closing(table_of(in_postgres.url)) as table, in_postgres.connect() as slow:
        table.open()
        slow.execute("INSERT INTO image_info (image_key) VALUES ('lower')")
        in_postgres.execute("INSERT INTO image_info (image_key) VALUES ('higher')")
        assert read(table) == [], "none is final while the first is open"
        slow.commit()
        assert [row.key for row in read(table)] == ["lower", "higher"]


def is_free(table: KeyTable) -> bool:
    """Whether nothing holds keys up, but for a moment the server itself."""
    holder = table.held_up_by()
    return holder is None or "autovacuum worker" in holder.who


def test_what_holds_keys_up_is_named_and_what_only_reads_does_not(
    in_postgres: InPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_LONG_S", 0.0)
    told: dict[str, Any] = {"codec": "key", "bucket_url": "memory:///", "source": "keys"}
    user = Settings(**told, keys_url=SecretStr(in_postgres.url))
    with closing(table_of(in_postgres.url)) as table, closing(in_postgres.connect()) as other:
        table.open()
        other.execute("SELECT count(*) FROM image_info")
        assert is_free(table)
        other.execute("SET application_name = 'nightly'")
        other.execute("INSERT INTO image_info (image_key) VALUES ('theirs')")
        table.add([Pointer(key="ours")])
        assert read(table) == []
        holder = table.held_up_by()
        assert holder is not None and holder.age_s is not None
        assert holder.who == f"pid {other.info.backend_pid}, nightly of postgres, idle in transaction"
        _, found = doctor.find(user)
        assert (found.what, found.level) == ("oldest transaction", "warning")
        assert f"SELECT pg_terminate_backend({other.info.backend_pid})" in found.fix
        role = f"reader_{uuid.uuid4().hex[:8]}"
        in_postgres.execute(f"CREATE ROLE {role} LOGIN", f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        unseen = table_of(in_postgres.url.replace("postgres@", f"{role}@")).held_up_by()
        assert unseen is not None and unseen.age_s is None and "GRANT pg_read_all_stats" in unseen.who
        in_postgres.execute(holder.end)
        assert [row.key for row in read(table)] == ["ours"]
        assert is_free(table)


def test_in_a_file_nothing_holds_keys_up(table: KeyTable, database: InFile | InPostgres) -> None:
    table.add([Pointer(key="a")])
    if isinstance(database, InFile):
        assert table.held_up_by() is None


def test_who_may_only_read_the_keys_and_note_how_far_it_is_needs_no_more(in_postgres: InPostgres) -> None:
    with closing(table_of(in_postgres.url)) as owner:
        owner.open()
        owner.add(pointers("a"))
    role = f"reader_{uuid.uuid4().hex[:8]}"
    in_postgres.execute(
        f"CREATE ROLE {role} LOGIN",
        f"GRANT SELECT ON image_info, velox_migrations TO {role}",
        f"GRANT SELECT, INSERT, UPDATE ON velox_progress TO {role}",
    )
    with closing(table_of(in_postgres.url.replace("postgres@", f"{role}@"))) as table:
        (row,) = read(table)
        table.mark(row.place)
        assert table.place() == row.place


def test_a_statement_of_the_first_start_may_take_longer_than_others(in_postgres: InPostgres) -> None:
    """As when a large table is rewritten."""
    in_postgres.execute(
        "CREATE TABLE image_info (image_key text)",
        "INSERT INTO image_info SELECT 'x' FROM generate_series(1, 100000)",
        "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); END'",
        "CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION slow()",
    )
    with closing(table_of(in_postgres.url, keys_timeout_s=0.3)) as table:
        table.open()
        assert len(read(table, most=3)) == 3


def test_a_table_from_another_server_is_read_from_its_beginning(in_postgres: InPostgres) -> None:
    """Restored from a dump: with the numbers of transactions, and the mark, of the server it was on."""
    with closing(table_of(in_postgres.url)) as table:
        table.open()
        table.add(pointers("a", "b"))
        table.mark(read(table)[-1].place)
        table.close()
        in_postgres.execute(
            "UPDATE image_info SET added_by = '999999999999'::xid8",
            "UPDATE velox_progress SET added_by = '999999999999'::xid8, cluster = 'another'",
        )
        assert table.place() == START
        assert [row.key for row in read(table)] == ["a", "b"]
        table.add(pointers("c"))
        assert [row.key for row in read(table)] == ["a", "b", "c"]


def test_a_database_that_goes_away_is_told_in_time_and_comes_back_by_itself(
    postgres: PostgresServer, in_postgres: InPostgres
) -> None:
    with TcpProxy(postgres.port) as proxy, closing(table_of(postgres.url(in_postgres.name, port=proxy.port))) as table:
        table.open()
        table.add(pointers("a"))
        for take_down in (proxy.block, proxy.hang):
            take_down()
            began = time.monotonic()
            with pytest.raises(StoreUnavailableError, match="image_info in postgresql://postgres@"):
                read(table)
            assert time.monotonic() - began < 30
            proxy.unblock()
            assert [row.key for row in read(table)] == ["a"]


def test_a_look_at_it_changes_nothing(database: InFile | InPostgres) -> None:
    if isinstance(database, InPostgres):
        with closing(table_of(database.url)) as table:
            assert table.probe().endswith(" is not there yet, and will be made")
            database.execute("CREATE TABLE image_info (image_key text)", "INSERT INTO image_info VALUES ('a')")
            assert "1 rows in image_info of postgresql://" in table.probe()
            assert "the first start completes" in table.probe()
        with database.connect() as connection:
            columns = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'image_info'"
            )
            assert columns.fetchall() == [("image_key",)]
        return
    with closing(table_of(database.url)) as table:
        assert table.probe().endswith("keys.db is not there yet, and can be made")
    assert not database.path.exists()


def test_a_look_at_it_says_what_waits(table: KeyTable) -> None:
    table.add(pointers("a", "b"))
    table.mark(read(table)[0].place)
    assert table.probe().startswith("2 rows in image_info of ")
    if "postgresql" in table.probe():
        assert table.probe().endswith(", 1 not published yet")


@pytest.mark.parametrize("url", ["sqlite:///", "mysql://host/x", "no address"])
def test_what_is_no_address_is_refused_with_the_remedy(url: str) -> None:
    with pytest.raises(SettingsError, match=r"KEYS_URL.*write (sqlite|postgresql)"):
        table_of(url)
