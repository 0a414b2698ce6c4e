"""A real PostgreSQL as a local process."""

import os
import shutil
import signal
import tempfile
import time
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import ClassVar

import psutil
import psycopg

from tests.servers.jars import cache_root, locked, run
from tests.servers.process import HOST, POLL_S, LocalServer, ServerError

IS_ROOT = os.geteuid() == 0
PLACES = Path("/usr/lib/postgresql")
INSTALL = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "postgresql"]
OWNER = "postgres"
"""Who runs it where the tests are root, whom PostgreSQL refuses; and its first user in any case."""


class PostgresServer(LocalServer):
    """Its data survive kills and restarts; with `durable`, every acknowledged commit is on the disk, as by default."""

    name: ClassVar[str] = "postgres"

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self._options = [] if durable else ["-c", "fsync=off"]
        self._data = self.folder / "data"

    def url(self, database: str = OWNER, *, port: int | None = None) -> str:
        """The address for REQUESTS_URL; `port` is that of a proxy."""
        return f"postgresql://{OWNER}@{HOST}:{port or self.port}/{database}"

    def execute(self, database: str, *statements: str) -> None:
        """Do something as its owner, each statement by itself."""
        with closing(psycopg.connect(self.url(database), autocommit=True)) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def command(self) -> list[str]:
        """The server itself, no `pg_ctl`: it is to die with the tests."""
        if not self._data.exists():
            shutil.copytree(template(), self._data)
            self._data.chmod(0o700)
            if IS_ROOT:
                self.folder.chmod(0o711)
                run("chown", "-R", OWNER, str(self._data))
        return [
            *as_owner(),
            f"{programs()}/postgres",
            *("-D", str(self._data), "-p", str(self.port), "-h", HOST, "-k", ""),
            *("-c", "max_connections=60", "-c", "shared_buffers=16MB"),
            *self._options,
        ]

    def stop(self) -> None:
        """Have it end the connections of its clients, for which it would wait at a SIGTERM."""
        if self._process is not None and self.is_running:
            self._process.send_signal(signal.SIGINT)
            self._outlives(self.stop_timeout_s)
        super().stop()

    def kill(self) -> None:
        """SIGKILL to all of its processes: with one left, it would not start again."""
        processes = psutil.Process(self.pid).children() if self.is_running else []
        super().kill()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        while not all(map(_is_dead, processes)):
            time.sleep(POLL_S)

    def close(self) -> None:
        """Spare it the tidying up: its folder goes, too."""
        self.kill()
        super().close()

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.Error:
            return False
        return True


def _is_dead(process: psutil.Process) -> bool:
    """Whether it holds nothing any more, though nobody may have asked what became of it."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@cache
def programs() -> Path:
    """Where its programs are; installed on first use where that is allowed."""
    if not (found := list(PLACES.glob("*/bin/postgres"))):
        if not IS_ROOT or shutil.which("apt-get") is None:
            raise ServerError(
                f"no PostgreSQL in {PLACES}, and tests need it: install it (as root: {' '.join(INSTALL)})"
            )
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        with locked(cache_root() / "lock"):
            run("apt-get", "update", "-q", env=env)
            run(*INSTALL, env=env)
        found = list(PLACES.glob("*/bin/postgres"))
    return max(found, key=lambda path: int(path.parts[-3])).parent


@cache
def template() -> Path:
    """A new database cluster, to be copied: making one takes two seconds, and is done once for all runs."""
    place = programs()
    made = cache_root() / f"postgres-{place.parts[-2]}"
    with locked(cache_root() / "postgres.lock"):
        complete = made.with_suffix(".complete")
        if not complete.exists():
            shutil.rmtree(made, ignore_errors=True)
            with tempfile.TemporaryDirectory() as folder:
                new = Path(folder) / "data"
                new.mkdir()
                if IS_ROOT:
                    Path(folder).chmod(0o711)
                    shutil.chown(new, OWNER)
                run(*as_owner(), f"{place}/initdb", "-D", str(new), "-A", "trust", "-U", OWNER, "-E", "UTF8", "-N")
                shutil.copytree(new, made)
            complete.touch()
    return made


def as_owner() -> list[str]:
    """What makes of root a user whom PostgreSQL accepts, and keeps the tie to this process, which that would undo."""
    if not IS_ROOT:
        return []
    return ["setpriv", "--reuid", OWNER, "--regid", OWNER, "--init-groups", "--pdeathsig", "KILL"]
