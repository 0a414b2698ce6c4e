"""A consumer that finishes the gateway's requests: each gets its outcome once, whatever happens to the consumer."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import wait_until
from tests.servers.postgres import PostgresServer
from velox.core.states import State, WebhookState
from velox.requests.database import apart
from velox.requests.rows import NewRequest
from velox.requests.store import RequestStore

TESTING = {"VELOX_TESTING": "1", "SINKS": "requests", "QUEUE_SIZE": "20", "PIPELINE": "echo"}
COUNT = 40


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/requests.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return apart(server.url(), tmp_path.name.lower())


@pytest.fixture
def store(url: str) -> Iterator[RequestStore]:
    made = RequestStore(url)
    made.open()
    yield made
    made.remove("")
    made.close()


def request(identity: str, now: float) -> NewRequest:
    return NewRequest(
        id=identity,
        model="echo",
        fingerprint="f",
        created_at=now,
        expires_at=now + 3600,
        webhook_url="https://example.com/",
    )


@pytest.mark.parametrize("between", ["after_dead_letters", "after_sinks"])
def test_every_request_is_finished_once_though_the_consumer_is_killed_before_it_has_committed(
    pipeline: PipelineFactory, store: RequestStore, url: str, between: str
) -> None:
    echo = pipeline(partitions=2, DEAD_LETTER_RATIO="0", REQUESTS_URL=url, **TESTING)
    now = time.time()
    ids = [f"r-{number:02}" for number in range(COUNT)]
    store.enter([request(identity, now) for identity in ids])
    store.cancel("r-00", "-", now)
    for number, identity in enumerate(ids):
        echo.publish(b"bad" if number % 4 == 1 else b"good", headers=[("velox-id", identity)])
    echo.publish(b"good", headers=[("velox-id", "from-elsewhere")])
    killed = echo.consume(VELOX_FAILPOINT=f"{between}:2:kill")
    killed.process.wait(60)
    assert killed.process.returncode == -9, killed.output
    early = {row.id for row in store.completed("")}
    delivered = store.claim(COUNT, lease_s=3600, now=time.time())
    assert len(early) < COUNT
    assert delivered or between != "after_sinks", "what is stored is due, though it is not committed"
    again = echo.consume()
    wait_until(
        lambda: store.pending() == {} and echo.uncommitted() == 0,
        what=lambda: f"{store.pending()} pending:\n{again.output}",
    )
    assert again.stop() == 0, again.output
    rows = store.look(ids)
    assert {identity: row.state for identity, row in rows.items()} == {
        identity: State.CANCELLED if not number else State.FAILED if number % 4 == 1 else State.COMPLETED
        for number, identity in enumerate(ids)
    }
    assert {(row.label, row.error_reason, row.model) for row in rows.values() if row.id != "r-00"} == {
        ("good", None, "echo"),
        (None, "undecodable", "echo"),
    }
    foreign = store.look(["from-elsewhere"])["from-elsewhere"]
    assert (foreign.label, foreign.model, foreign.webhook_state) == ("good", "echo", WebhookState.NONE)
    left = store.claim(COUNT, lease_s=3600, now=time.time())
    claimed = [claim.request.id for claim in (*delivered, *left)]
    assert sorted(claimed) == ids[1:], "each is due once, and the cancelled one never"


def test_a_record_that_kills_its_inference_process_fails_for_that_reason(
    pipeline: PipelineFactory, store: RequestStore, url: str
) -> None:
    echo = pipeline(partitions=1, DEAD_LETTER_RATIO="0", REQUESTS_URL=url, **TESTING)
    now = time.time()
    store.enter([request(identity, now) for identity in ("r-1", "r-2", "r-3")])
    consumer = echo.consume()
    for identity, value in (("r-1", b"good"), ("r-2", b"die"), ("r-3", b"good")):
        echo.publish(value, headers=[("velox-id", identity)])
    wait_until(lambda: store.pending() == {}, what=lambda: f"{store.pending()} pending:\n{consumer.output}")
    assert consumer.stop() == 0, consumer.output
    rows = store.look(["r-1", "r-2", "r-3"])
    assert {identity: (row.state, row.error_reason) for identity, row in rows.items()} == {
        "r-1": (State.COMPLETED, None),
        "r-2": (State.FAILED, "killed_inference"),
        "r-3": (State.COMPLETED, None),
    }
