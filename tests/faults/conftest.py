"""A ledger for each fault; with --record, what was measured goes into the table of docs/delivery.md."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.pipeline import QUICK_SESSION, Pipeline, with_results
from tests.faults import table
from tests.faults.ledger import Ledger
from tests.servers.kafka import KafkaServer

SETTINGS = {
    "SINKS": "disk,sqlite,tests.faults.journal:JournalSink",
    "STORE": "all",
    "TARGET_LABELS": "*",
    "CONFIDENCE_THRESHOLD": "0",
    "CODEC": "raw",
    "MODEL": "tests.e2e.fragile:FragileModel",
    "INFERENCE_PROCESSES": "1",
    "QUEUE_SIZE": "64",
    "BATCH_SIZE": "4",
    "COMMIT_INTERVAL_S": "0.2",
    "FETCH_WAIT_MS": "100",
    "METRICS_PORT": "0",
}


class Broker(Protocol):
    """Where a topic can be made: one broker, or a cluster."""

    @property
    def bootstrap(self) -> str: ...

    def create_topic(self, name: str, *, partitions: int) -> None: ...


class LedgerFactory(Protocol):
    """Makes a ledger with a topic of its own on this broker, the session's by default; other arguments are settings."""

    def __call__(self, *, partitions: int = 3, broker: Broker | None = None, **settings: object) -> Ledger: ...


@pytest.fixture
def ledger(
    tmp_path: Path, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Iterator[LedgerFactory]:
    """Makes ledgers, and leaves nothing of them behind."""
    made: list[Ledger] = []
    recorded = bool(request.config.getoption("--record"))
    """Then the times to recover are those of a user's time-outs."""

    def make(*, partitions: int = 3, broker: Broker | None = None, **settings: object) -> Ledger:
        name = uuid.uuid4().hex[:8]
        chosen: Broker = broker or request.getfixturevalue("kafka")
        if not isinstance(chosen, KafkaServer) or chosen.is_running:
            chosen.create_topic(f"topic-{name}", partitions=partitions)
        mongo_uri = request.getfixturevalue("mongo").uri if "mongo" in str(settings.get("SINKS")) else ""
        given = {
            "KAFKA_BOOTSTRAP_SERVER": chosen.bootstrap,
            "KAFKA_TOPIC": f"topic-{name}",
            "KAFKA_PARTITIONS": str(partitions),
            "KAFKA_CONSUMER_GROUP": f"group-{name}",
            "MONGO_URI": mongo_uri,
            "DB_NAME": f"db_{name}",
            **SETTINGS,
            **({} if recorded else QUICK_SESSION),
            **{key: str(value) for key, value in settings.items()},
        }
        env = with_results(given)
        pipeline = Pipeline(tmp_path, chosen.bootstrap, f"topic-{name}", mongo_uri, env["DB_NAME"], env)
        made.append(Ledger(pipeline, record_property))
        return made[-1]

    yield make
    for each in made:
        each.load.stop()
        each.pipeline.end()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write what was measured into docs/delivery.md")
    parser.addoption("--abuse-s", default="60", help="how long strangers send whatever they like")
    parser.addoption("--abuse-inputs", help="a folder of files: payloads for them to send besides")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        table.MEASURED[report.nodeid.removeprefix("tests/")] = dict(report.user_properties)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--record", default=False):
        chosen = session.config.getoption("keyword") or session.config.getoption("markexpr")
        table.write(session.items, is_whole=not chosen and session.config.args == ["tests/faults"])
