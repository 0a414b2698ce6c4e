"""A table of keys in PostgreSQL that may not be altered."""

import logging
import uuid
from collections.abc import Generator, Iterator
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from tests.servers.postgres import PostgresServer
from velox.errors import SettingsError, StoreUnavailableError
from velox.keys import key_table
from velox.keys import pages as module
from velox.keys.table import START, KeyTable, Row
from velox.records import Pointer
from velox.settings import Settings
from velox.sources.keys import KeysSource
from velox.sources.source import NOTHING, Item

TABLES = {
    "a number": "(id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, image_key text)",
    "two columns, in another order": (
        '(n int, image_key varchar(200), "Day" date DEFAULT current_date, PRIMARY KEY ("Day", n))'
    ),
    "the key itself": "(image_key text PRIMARY KEY)",
    "an index alone": "(image_key text); CREATE INDEX ON image_info (image_key)",
    "nothing": "(image_key text)",
}


class Database:
    """One whose table has a given form."""

    def __init__(self, server: PostgresServer, form: str) -> None:
        self._server = server
        self.name = f"db_{uuid.uuid4().hex[:12]}"
        server.execute("postgres", f"CREATE DATABASE {self.name}")
        self.url = server.url(self.name)
        self.execute(*f"CREATE TABLE image_info {TABLES[form]}".split("; "))
        numbered = "n, image_key" if "n int" in TABLES[form] else "image_key"
        values = "n, 'red/' || n" if "n int" in TABLES[form] else "'red/' || n"
        self._insert = f"INSERT INTO image_info ({numbered}) SELECT {values} FROM generate_series"  # noqa: S608 - ours

    def execute(self, *statements: str) -> None:
        self._server.execute(self.name, *statements)

    def add(self, first: int, last: int) -> None:
        self.execute(f"{self._insert}({first}, {last}) n")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query.encode()).fetchall()

    def form(self) -> list[tuple[Any, ...]]:
        """Everything in it that has a name."""
        return self.rows(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
            " UNION ALL SELECT 'trigger', tgname FROM pg_trigger"
            " UNION ALL SELECT 'index', indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
        )


@pytest.fixture(params=TABLES)
def database(request: pytest.FixtureRequest, postgres: PostgresServer) -> Database:
    return Database(postgres, request.param)


@pytest.fixture
def numbered(postgres: PostgresServer) -> Database:
    return Database(postgres, "a number")


def settings(url: str, **more: object) -> Settings:
    told = {"codec": "key", "bucket_url": "memory:///", "source": "keys", "keys_full_pass": True, "keys_timeout_s": 5}
    return Settings.model_validate({**told, "keys_url": SecretStr(url), **more})


def source(database: Database, **more: object) -> Generator[Item, None, None]:
    """The source's items; the connection ends with them."""
    made = KeysSource(settings(database.url, **more), "")
    try:
        yield from made
    finally:
        made._table.close()


def all_rows(table: KeyTable, *, prefix: str = "", most: int = 7) -> Iterator[Row]:
    at = START
    while rows := table.read(at, prefix=prefix, most=most):
        yield from rows
        at = rows[-1].place


def test_each_row_is_read_once_page_by_page_and_nothing_is_changed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_UNSORTED", 5)
    database.add(1, 30)
    before = database.form()
    table = key_table(settings(database.url))
    table.open()
    read = list(all_rows(table))
    assert sorted(row.key for row in read) == sorted(f"red/{n}" for n in range(1, 31))
    assert len({row.place.name for row in read}) == 30
    assert [row.key for row in all_rows(table, prefix="red/2")] == [r.key for r in read if r.key.startswith("red/2")]
    table.mark(read[-1].place)
    assert table.place() == START, "the next run begins anew"
    table.close()
    assert database.form() == before


def test_a_row_has_the_same_id_in_every_run_and_no_other_has_it(database: Database) -> None:
    database.add(1, 20)
    first, second = ({item.payload: item.id for item in source(database)} for _ in range(2))
    assert first == second
    assert len(set(first.values())) == 20


def test_without_a_primary_key_rows_with_the_same_key_are_one(postgres: PostgresServer) -> None:
    database = Database(postgres, "nothing")
    database.execute("INSERT INTO image_info VALUES ('twice'), ('twice'), (NULL), ('once')")
    table = key_table(settings(database.url))
    assert [row.key for row in all_rows(table, most=1)] == ["once", "twice"]
    table.close()


def test_sizes_and_checksums_are_read_and_added_where_there_are_columns_for_them(postgres: PostgresServer) -> None:
    pointer = Pointer(key="a", size_bytes=7, sha256="ab" * 32)
    for columns, known in (
        ("", (None, "")),
        (", size integer, sha256 varchar(64)", (7, "ab" * 32)),
        (", size text DEFAULT '3 KB', sha256 bytea", (None, "")),
    ):
        database = Database(postgres, "the key itself")
        database.execute("DROP TABLE image_info", f"CREATE TABLE image_info (image_key text PRIMARY KEY{columns})")
        table = key_table(settings(database.url))
        table.add([pointer])
        (row,) = all_rows(table)
        assert (row.size_bytes, row.sha256) == known
        (same,) = table.known(["a", "b"]).values()
        assert (same.size_bytes, same.sha256) == known
        table.close()


def test_a_connection_that_is_lost_in_the_middle_costs_nothing(numbered: Database) -> None:
    numbered.add(1, 20)
    table = key_table(settings(numbered.url))
    rows = table.read(START, prefix="", most=10)
    numbered.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'velox' AND datname = current_database()"
    )
    with pytest.raises(StoreUnavailableError):
        table.read(rows[-1].place, prefix="", most=10)
    assert [row.key for row in table.read(rows[-1].place, prefix="", most=10)] == [f"red/{n}" for n in range(11, 21)]
    table.close()


def test_who_may_only_read_needs_no_more(numbered: Database) -> None:
    numbered.add(1, 3)
    role = f"reader_{uuid.uuid4().hex[:8]}"
    numbered.execute(f"CREATE ROLE {role} LOGIN", f"GRANT SELECT ON image_info TO {role}")
    table = key_table(settings(numbered.url.replace("postgres@", f"{role}@")))
    assert len(list(all_rows(table))) == 3
    assert table.probe().startswith("KEYS_FULL_PASS: each run publishes all rows of image_info in postgresql://")
    assert table.held_up_by() is None
    table.close()


def test_what_it_costs_is_said_once(postgres: PostgresServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    database = Database(postgres, "nothing")
    database.add(1, 12)
    database.execute("ANALYZE image_info")
    table = key_table(settings(database.url))
    table.open()
    table.open()
    (said,) = (record.getMessage() for record in caplog.records if "KEYS_FULL_PASS" in record.getMessage())
    assert "publishes all rows, about 12, of image_info" in said
    assert "by image_key, with the same ids, and changes nothing there" in said
    assert said.endswith("no index is on image_key, so each 50,000 rows cost a look at all")
    table.close()


def test_a_table_that_is_missing_or_another_is_an_error(numbered: Database) -> None:
    numbered.execute("ALTER TABLE image_info RENAME image_key TO key")
    with pytest.raises(StoreUnavailableError, match="it has no column image_key, or is not there"):
        key_table(settings(numbered.url)).open()
    assert "is not there, or has no column image_key" in key_table(settings(numbered.url)).probe()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"keys_follow": True}, "nothing tells which rows are new; run it again now and then, or set SOURCE_LOOP=true"),
        ({"keys_url": SecretStr("sqlite:///keys.db")}, "KEYS_FULL_PASS is for PostgreSQL"),
    ],
)
def test_what_makes_no_sense_is_refused(more: dict[str, object], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        key_table(settings("postgresql://x@localhost/y", **more))


def test_a_loop_over_an_empty_table_waits(numbered: Database) -> None:
    items = source(numbered, source_loop=True)
    assert [next(items), next(items)] == [NOTHING, NOTHING]
    numbered.add(1, 1)
    assert [next(items).payload for _ in range(3)] == [b"red/1"] * 3
    items.close()
