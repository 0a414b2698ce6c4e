"""The webhook worker as a process: what it delivers, how it stops, and what is delivered after it was killed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.gateway import GatewayProgram, finish
from tests.e2e.pipeline import PATIENCE_S, CommandProgram, environment, wait_until
from tests.requests import answered
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.receiver import Receiver, Reply
from velox.core.states import WebhookState
from velox.requests.store import RequestStore

TIMEOUT_S = 2
"""Leases are twice as long and a bit, and then the deliveries of a worker that was killed are due again."""


class Site:
    """A store, a receiver, and the workers that a test starts."""

    def __init__(self, folder: Path, receiver: Receiver, url: str) -> None:
        self.folder = folder
        self.receiver = receiver
        self.settings: dict[str, object] = {
            "REQUESTS_URL": url,
            "WEBHOOK_ALLOW": "127.0.0.0/8",
            "WEBHOOK_TIMEOUT_S": TIMEOUT_S,
            "WEBHOOK_LADDER_S": "0,0.2,0.2,0.2",
            "METRICS_PORT": 0,
        }
        self.store = RequestStore(url)
        self.workers: list[CommandProgram] = []

    def start(self, **settings: object) -> CommandProgram:
        env = environment(**{**self.settings, **settings})
        self.workers.append(CommandProgram("webhooks", folder=self.folder, env=env))
        return self.workers[-1]

    def run(self, *words: str) -> tuple[int, str]:
        """Run ``velox webhooks ...`` to its end."""
        command = [sys.executable, "-m", "velox", "webhooks", *words]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment(**self.settings),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def state(self, identity: str) -> WebhookState:
        return self.store.look([identity])[identity].webhook_state

    def wait_until_delivered(self, *ids: str) -> None:
        wait_until(
            lambda: all(self.state(each) is WebhookState.DELIVERED for each in ids),
            what=lambda: "\n".join(worker.output for worker in self.workers),
        )

    def end(self) -> None:
        for worker in self.workers:
            worker.end()
        self.store.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, receiver: Receiver) -> Iterator[Site]:
    made = Site(tmp_path, receiver, f"sqlite:///{tmp_path}/requests.db")
    made.store.open()
    yield made
    made.end()


def test_it_delivers_what_is_due_serves_its_metrics_and_ends_when_told_to(site: Site) -> None:
    answered(site.store, ("r1", site.receiver.url("/hook")))
    worker = site.start()
    worker.wait_until_ready()
    site.wait_until_delivered("r1")
    answered(site.store, *((f"n{n}", site.receiver.url("/hook")) for n in range(20)))
    site.wait_until_delivered(*(f"n{n}" for n in range(20)))
    assert worker.probe("/livez")[0] == 200
    assert worker.metric("velox_webhook_attempts_total", outcome="delivered") == 21
    assert worker.stop() == 0, worker.output
    assert "Drained" in worker.output
    assert sorted(site.receiver.ids()) == sorted(["r1", *(f"n{n}" for n in range(20))])


def test_what_a_gateway_has_accepted_is_delivered_as_the_gateway_answers_it(site: Site, kafka: KafkaServer) -> None:
    gateway = GatewayProgram(site.folder, kafka.bootstrap, **site.settings)
    try:
        gateway.wait_until_ready()
        hook = site.receiver.url("/old")
        old = {"model_name": "text_processing", "data": "I love it!", "webhook_url": hook}
        first = gateway.http.post("/inference", json=old).json()["request_id"]
        new = {"model": "sentiment", "text": "I love it!", "webhook_url": site.receiver.url("/new")}
        second = gateway.http.post("/v1/requests", json=new).json()["id"]
        finish(gateway.database, [first, second])
        site.start()
        site.wait_until_delivered(first, second)
        got = {each.path: json.loads(each.body) for each in site.receiver.got}
        assert got["/old"] == gateway.http.get(f"/result/{first}").json()
        assert got["/old"]["result"]["predictions"][0] == {"label": "positive", "score": 0.9}
        assert got["/new"]["type"] == "request.completed"
        assert got["/new"]["data"] == gateway.http.get(f"/v1/requests/{second}").json()
        told = gateway.http.get(f"/v1/requests/{second}/webhook").json()
        assert (told["state"], told["due_at"], len(told["attempts"])) == ("delivered", None, 1)
        assert told["attempts"][0].items() >= {"attempt": 1, "status": 204, "error": None}.items()
        assert gateway.http.post(f"/v1/requests/{second}/webhook").status_code == 202
        wait_until(lambda: site.receiver.ids().count(second) == 2, what="the second delivery")
        refused = gateway.http.post("/inference", json=old | {"webhook_url": "http://169.254.169.254/"})
        assert refused.status_code == 422
    finally:
        gateway.end()


def test_the_command_shows_the_log_of_a_delivery_and_makes_it_again(site: Site) -> None:
    site.receiver.replies["/hook"] = [Reply(500), Reply(204)]
    answered(site.store, ("r1", site.receiver.url("/hook")))
    site.start()
    site.wait_until_delivered("r1")
    code, said = site.run("log", "r1")
    assert code == 0
    head, first, second = said.splitlines()
    assert head == f"r1 is completed; its webhook to {site.receiver.url('/hook')} is delivered"
    assert first.split()[0] == "1"
    assert first.endswith("due  answered 500")
    assert second.split()[0] == "2"
    assert second.endswith(["204", "", "", "", "", "", "0.00 s", "delivered"][-1])
    code, said = site.run("redeliver", "r1")
    assert (code, said.partition(";")[0]) == (0, "r1: due now")
    wait_until(lambda: len(site.receiver.got) == 3, what="a third delivery")
    assert set(site.receiver.ids()) == {"r1"}
    assert site.run("log", "r2") == (1, "r2: no such request at REQUESTS_URL\n")
    assert site.run("redeliver", "r2") == (1, "r2: no such request at REQUESTS_URL\n")


@pytest.mark.parametrize(("failpoint", "times"), [("after_claim", 1), ("after_post", 2)])
def test_a_worker_that_is_killed_leaves_its_delivery_to_the_next(site: Site, failpoint: str, times: int) -> None:
    answered(site.store, ("r1", site.receiver.url("/hook")))
    answered(site.store, ("r2", site.receiver.url("/hook")))
    armed = {"VELOX_TESTING": 1, "VELOX_FAILPOINT": f"{failpoint}:1:kill", "WEBHOOK_CONCURRENCY": 1}
    killed = site.start(**armed)
    assert killed.process.wait(PATIENCE_S) == -9
    assert len(site.receiver.got) == times - 1
    assert site.state("r1") is WebhookState.DUE
    assert site.store.deliveries("r1") == []
    site.start(**armed)
    site.wait_until_delivered("r1", "r2")
    assert site.receiver.ids().count("r1") == times
    assert site.receiver.ids().count("r2") == 1
    assert len({got.body for got in site.receiver.got if got.id == "r1"}) == 1


def test_a_worker_that_hangs_has_its_delivery_made_by_another_and_undoes_nothing(site: Site) -> None:
    answered(site.store, ("r1", site.receiver.url("/hook")))
    hanging = site.start(VELOX_TESTING=1, VELOX_FAILPOINT="after_post:1:stop")
    wait_until(lambda: site.receiver.ids() == ["r1"], what="the first delivery")
    site.start()
    site.wait_until_delivered("r1")
    assert site.receiver.ids() == ["r1", "r1"]
    (before,) = site.store.deliveries("r1")
    hanging.process.send_signal(18)
    hanging.wait_until_ready()
    assert hanging.stop() == 0
    assert site.state("r1") is WebhookState.DELIVERED
    assert before in site.store.deliveries("r1")


def test_a_stopping_worker_lets_attempts_end(site: Site) -> None:
    site.receiver.replies["/slow"] = [Reply(trickles=True)]
    answered(site.store, ("r1", site.receiver.url("/slow")))
    worker = site.start(WEBHOOK_TIMEOUT_S=3)
    wait_until(lambda: site.receiver.ids() == ["r1"], what="the attempt")
    assert worker.stop() == 0, worker.output
    (tried,) = site.store.deliveries("r1")
    assert tried.error == "no whole answer within 3 s"


def test_while_the_store_is_down_it_is_alive_and_says_so_and_then_goes_on(tmp_path: Path, receiver: Receiver) -> None:
    with PostgresServer() as postgres:
        site = Site(tmp_path, receiver, postgres.url())
        postgres.stop()
        worker = site.start()
        try:
            worker.wait_until_it_says("Delivering nothing: cannot use postgresql")
            worker.wait_until_it_says("Metrics and health on port")
            assert "cannot use postgresql" in worker.not_ready_because()
            assert worker.probe("/livez")[0] == 200
            postgres.start()
            site.store.open()
            answered(site.store, ("r1", receiver.url("/hook")))
            site.wait_until_delivered("r1")
            worker.wait_until_ready()
            postgres.kill()
            wait_until(lambda: "cannot use" in worker.not_ready_because(), what="not ready")
            postgres.start()
            answered(site.store, ("r2", receiver.url("/hook")))
            site.wait_until_delivered("r2")
            assert worker.stop() == 0, worker.output
            assert receiver.ids() == ["r1", "r2"]
        finally:
            site.end()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"WEBHOOK_ALLOW": "10.0.0.1/8"}, "WEBHOOK_ALLOW"),
        ({"WEBHOOK_SECRET": "secret"}, "WEBHOOK_SECRET"),
        ({"WEBHOOK_PROXY": "proxy:3128"}, "WEBHOOK_PROXY"),
        ({"WEBHOOK_LADDER_S": "5,10"}, "WEBHOOK_LADDER_S"),
        ({"REQUESTS_URL": "mysql://x/y"}, "REQUESTS_URL"),
    ],
)
def test_a_setting_that_cannot_be_ends_the_start_with_one_line(
    site: Site, settings: dict[str, object], complaint: str
) -> None:
    worker = site.start(**settings)
    assert worker.process.wait(PATIENCE_S) == 2
    assert complaint in worker.output
    assert "Traceback" not in worker.output
