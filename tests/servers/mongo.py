"""A server that speaks MongoDB's protocol, as a local process.

It is mongo-java-server, not MongoDB: no mongod can be installed from the registries these tests may count on. Upserts,
indexes, queries, aggregation and their error codes are right; sessions, transactions, change streams and authentication
are missing. It proves what Velox asks of a server, not what MongoDB keeps: it loses acknowledged writes on SIGKILL, so
judge no durability by it, and simulate an outage with a clean stop or `tests/servers/proxy.py`.
"""

from functools import cache
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.servers.jars import provision, run
from tests.servers.process import HOST, LocalServer

POM = Path(__file__).with_name("mongo.pom.xml")
MAIN = Path(__file__).with_name("MongoServerMain.java")


class MongoServer(LocalServer):
    """Documents live in memory, about 150 000 in 256 MiB; with `durable`, in a file that survives a clean stop."""

    name = "mongo"

    def __init__(self, *, durable: bool = False, heap_mib: int = 256) -> None:
        super().__init__()
        self._heap_mib = heap_mib
        self._file = [str(self.folder / "documents.h2")] if durable else []

    @property
    def uri(self) -> str:
        """The address for `MongoClient`."""
        return f"mongodb://{HOST}:{self.port}/"

    def command(self) -> list[str]:
        java = ["java", f"-Xmx{self._heap_mib}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return [*java, "-cp", f"{home()}/classes:{home()}/libs/*", "MongoServerMain", str(self.port), *self._file]

    def is_ready(self) -> bool:
        """Whether it answers a ping."""
        client: MongoClient[dict[str, Any]]
        with MongoClient(self.uri, serverSelectionTimeoutMS=1000) as client:
            try:
                client.admin.command("ping")
            except PyMongoError:
                return False
        return True


@cache
def home() -> Path:
    """Where the server's jars and its compiled main class lie; made on first use (about 10 s)."""
    return provision(POM, inputs=MAIN.read_text(), prepare=_compile)


def _compile(install: Path) -> None:
    run("javac", "-cp", f"{install}/libs/*", "-d", str(install / "classes"), str(MAIN))
