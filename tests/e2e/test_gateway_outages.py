"""A gateway whose store or broker dies: it says so, nothing it accepted is lost. More: faults/test_gateway.py."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.e2e.gateway import GatewayProgram, finish
from tests.e2e.pipeline import read_all, wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer

TOPIC = "ml.prediction.requests"


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[Callable[..., GatewayProgram]]:
    made: list[GatewayProgram] = []

    def start(bootstrap: str, **settings: object) -> GatewayProgram:
        made.append(GatewayProgram(tmp_path, bootstrap, **settings))
        return made[-1]

    yield start
    for each in made:
        each.end()


@pytest.mark.timeout(240)
def test_a_store_that_goes_away_refuses_and_loses_nothing(
    kafka: KafkaServer, gateways: Callable[..., GatewayProgram]
) -> None:
    with PostgresServer() as database:
        gateway = gateways(kafka.bootstrap, REQUESTS_URL=database.url())
        gateway.wait_until_ready()
        identity = gateway.predict("I love it!").json()["request_id"]
        told: list[str] = []
        waiting = threading.Thread(
            target=lambda: told.append(gateway.http.get(f"/v1/requests/{identity}?wait=60s").json()["state"])
        )
        waiting.start()
        wait_until(lambda: "velox_waiters 1.0" in gateway.http.get("/metrics").text, what="one who waits")
        database.kill()
        refused = gateway.predict("It is horrible.", request_id="while-it-was-away")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert gateway.http.get(f"/predict/{identity}").status_code == 503
        wait_until(lambda: "store:" in gateway.http.get("/readyz").text, what=lambda: gateway.output)
        assert gateway.status("/livez") == 200
        assert b"while-it-was-away" not in {record.key() for record in read_all(kafka.bootstrap, TOPIC, {})}
        database.start()
        gateway.wait_until_ready()
        finish(gateway.database, [identity])
        waiting.join(60)
        assert told == ["completed"], "whoever waited has waited for the store, too"
        assert gateway.predict("It is horrible.", request_id="while-it-was-away").status_code == 202


@pytest.mark.timeout(240)
def test_a_broker_that_dies_is_503_in_time_and_the_same_request_is_accepted_later(
    gateways: Callable[..., GatewayProgram],
) -> None:
    with KafkaServer() as broker:
        gateway = gateways(broker.bootstrap, ACCEPT_TIMEOUT_S=1)
        gateway.wait_until_ready()
        broker.kill()
        began = monotonic()
        assert gateway.predict("I love it!", request_id="r-1").status_code == 503
        assert monotonic() - began < 30
        wait_until(lambda: "Kafka" in gateway.http.get("/readyz").text, what=lambda: gateway.output)
        broker.start()
        gateway.wait_until_ready()

        def is_accepted() -> bool:
            return gateway.predict("I love it!", request_id="r-1").status_code == 202

        wait_until(is_accepted, what=lambda: gateway.output)
        assert gateway.http.get("/predict/r-1").json()["status"] == "pending"
