"""A gateway whose store, broker, worker or own process dies: nothing that it accepted is lost, nothing doubled."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest
from httpx2 import Client, HTTPError

from tests.e2e.gateway import GatewayProgram, finish
from tests.e2e.pipeline import QUICK_SESSION, REPOSITORY, ConsumerProgram, read_all, wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from velox.settings.env_file import read

TOPIC = "ml.prediction.requests"
SENTIMENT = read(REPOSITORY / "pipelines" / "api-sentiment.env")
REQUESTS = 200
TEXTS = {"I love it!": "POSITIVE", "It is horrible.": "NEGATIVE"}


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


class Clients:
    """Ask as robust clients do: each request again, under its id, until it is accepted."""

    def __init__(self, gateway: GatewayProgram) -> None:
        self.gateway = gateway
        self.accepted = 0
        self._lock = threading.Lock()

    def ask(self, number: int) -> None:
        text = list(TEXTS)[number % len(TEXTS)]
        end = monotonic() + 120
        while monotonic() < end:
            try:
                with Client(base_url=self.gateway.url, timeout=20) as client:
                    answer = client.post("/predict", json={"text": text, "request_id": f"r-{number}"})
            except HTTPError:
                sleep(0.1)  # as a client does between its tries
                continue
            if answer.status_code == 202:
                with self._lock:
                    self.accepted += 1
                return
            assert answer.status_code in {429, 503}, answer.text
            sleep(0.1)
        raise AssertionError(f"request {number} was never accepted")


@pytest.mark.timeout(400)
def test_kills_of_gateway_and_worker_lose_nothing_and_double_nothing(
    gateways: Callable[..., GatewayProgram], tmp_path: Path
) -> None:
    with KafkaServer() as broker, PostgresServer() as database:
        gateway = gateways(broker.bootstrap, REQUESTS_URL=database.url(), GATEWAY_PORT=0)
        gateway.wait_until_ready()
        own = {"KAFKA_CONSUMER_GROUP": "kills", "METRICS_PORT": "0"}
        env = gateway.env | SENTIMENT | own | {name: str(value) for name, value in QUICK_SESSION.items()}
        workers = [ConsumerProgram(folder=tmp_path, env=env)]
        clients = Clients(gateway)
        try:
            with ThreadPoolExecutor(4) as executor:
                asked = [executor.submit(clients.ask, number) for number in range(REQUESTS)]
                for share in (1, 2, 3):
                    wait_until(lambda least=share * REQUESTS // 5: clients.accepted >= least, what="some accepted")  # type: ignore[misc]  # its default is bound here
                    gateway.kill()
                    gateway.run()
                    if share != 2:
                        workers[-1].stop(9)
                        workers.append(ConsumerProgram(folder=tmp_path, env=env))
                for each in asked:
                    each.result()
            wait_until(lambda: states(database) == {"completed": REQUESTS}, what=lambda: f"{states(database)}")
        finally:
            for worker in workers:
                worker.end()
        with closing(psycopg.connect(database.url())) as connection:
            rows: dict[str, str] = dict(connection.execute("SELECT id, label FROM requests").fetchall())
        assert rows == {f"r-{n}": list(TEXTS.values())[n % len(TEXTS)] for n in range(REQUESTS)}
        values = [json.loads(record.value() or b"") for record in read_all(broker.bootstrap, TOPIC, {})]
        assert {value["request_id"] for value in values} == set(rows)


def states(database: PostgresServer) -> dict[str, int]:
    with closing(psycopg.connect(database.url())) as connection:
        return dict(connection.execute("SELECT state, count(*) FROM requests GROUP BY state").fetchall())
