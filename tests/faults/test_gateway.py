"""Requests through a gateway while every process on their way is killed, broker and database too."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.pipeline import QUICK_SESSION, environment
from tests.e2e.test_verify import VerifyProgram
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer

LONG_S = 1500


class Outage:
    """A shell command that waits until this test has killed a server and started it again."""

    def __init__(self, folder: Path, server: KafkaServer | PostgresServer) -> None:
        self._asked, self._done = folder / f"{server.name}-asked", folder / f"{server.name}-done"
        self.command = f"touch {self._asked}; while [ ! -e {self._done} ]; do sleep 0.1; done"
        self._server = server
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> "Outage":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _wait(self) -> None:
        while not self._asked.exists():
            if self._is_over.wait(0.1):
                return
        self._server.kill()
        self._server.start()
        self._done.touch()
        self._is_over.wait()  # the kernel ends what a thread has started with that thread


@pytest.fixture
def servers() -> Iterator[tuple[KafkaServer, PostgresServer]]:
    """Of the test's own; the database syncs its commits, or a kill would cost some."""
    with KafkaServer() as kafka, PostgresServer(durable=True) as postgres:
        yield kafka, postgres


Verify = Callable[..., VerifyProgram]


@pytest.fixture
def verify(tmp_path: Path, servers: tuple[KafkaServer, PostgresServer]) -> Iterator[Verify]:
    """Runs it through a gateway, with one outage of the broker and one of the database on the way."""
    kafka, postgres = servers
    with ExitStack() as stack:

        def run(*args: str, **settings: object) -> VerifyProgram:
            outages = [stack.enter_context(Outage(tmp_path, server)) for server in servers]
            commands = ("--broker-restart", outages[0].command, "--sink-outage", outages[1].command)
            env = environment(
                KAFKA_BOOTSTRAP_SERVER=kafka.bootstrap, REQUESTS_URL=postgres.url(), **QUICK_SESSION, **settings
            )
            program = VerifyProgram("--through", "gateway", *args, *commands, folder=tmp_path, env=env)
            stack.callback(program.end)
            return program

        yield run


@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize(
    ("count", "kills"), [pytest.param(600, 1, marks=pytest.mark.representative), (10_000, 5)], ids=["600", "10000"]
)
@pytest.mark.fault(
    "gateway, webhook worker, consumer, inference process, broker and database killed under requests",
    "each accepted request ends with its own result, which is delivered",
)
def test_no_accepted_request_is_lost_or_doubled_whatever_is_killed(
    verify: Verify, count: int, kills: int, record_property: Callable[[str, object], None]
) -> None:
    each = [word for what in ("gateway", "consumer", "webhooks") for word in (f"--kill-{what}", str(kills))]
    program = verify("--count", str(count), "--poison", "1%", "--webhooks", *each, "--kill-inference", "1")
    assert program.wait(LONG_S) == 0, program.output
    found = program.figures
    assert found["produced"] == found["acknowledged"] == found["webhooks"] == count
    assert found["stored"]["requests"] + sum(found["dead_lettered"].values()) == count
    record_property("records", count)
    record_property("recovery_s", round(found["longest_stall_s"], 1))
    record_property("duplicates", found["duplicates_absorbed_at_least"])
    faults = {fault: len(times) for fault, times in found["recovery_s"].items()}
    assert faults == {
        "kill gateway": kills,
        "kill webhooks": kills,
        "kill consumer": kills,
        "kill inference": 1,
        "broker restart": 1,
        "sink outage": 1,
    }
