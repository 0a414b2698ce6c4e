"""The client against everything that runs in production: a gateway, Kafka, a model's consumer, the webhook worker."""

import asyncio
import json
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.gateway import GatewayProgram
from tests.e2e.pipeline import PATIENCE_S, REPOSITORY, CommandProgram, environment, wait_until
from tests.servers.kafka import KafkaServer, TopicFactory
from tests.servers.process import HOST, free_port
from tests.servers.receiver import Receiver
from velox.client import (
    Accepted,
    AccessError,
    AsyncClient,
    Client,
    NotFoundError,
    Question,
    Refused,
    RequestFailedError,
    State,
    UnreachableError,
    verify_webhook,
)
from velox.settings.env_file import read

SECRET = f"whsec_{b64encode(bytes(range(32))).decode()}"
SENTIMENT = read(REPOSITORY / "pipelines" / "api-sentiment.env")
LOOPBACK = "127.0.0.0/8"
NOBODY = "unanswered"
"""A model whose consumer does not run."""


class Site:
    """The processes, and a folder with ``models.toml`` of their own."""

    def __init__(self, folder: Path, kafka: KafkaServer, topic: TopicFactory) -> None:
        self.folder = folder
        self.bootstrap = kafka.bootstrap
        for name in ("sentiment", NOBODY):
            own = {**SENTIMENT, "KAFKA_TOPIC": topic(2), "KAFKA_CONSUMER_GROUP": f"{name}-{folder.name}"}
            (folder / f"{name}.env").write_text("".join(f"{key}={value}\n" for key, value in own.items()))
        entries = (f'[{name}]\nenv_file = "{name}.env"\n' for name in ("sentiment", NOBODY))
        (folder / "models.toml").write_text("\n".join(entries))
        self.port = free_port()
        self.gateway = GatewayProgram(
            folder, kafka.bootstrap, GATEWAY_PORT=self.port, MODELS_PATH="models.toml", WEBHOOK_ALLOW=LOOPBACK
        )
        self.programs: list[CommandProgram] = []

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self, *words: str, **settings: object) -> CommandProgram:
        """Start another command around the same store."""
        shared = {
            "KAFKA_BOOTSTRAP_SERVER": self.bootstrap,
            "REQUESTS_URL": self.gateway.database,
            "METRICS_PORT": 0,
            **settings,
        }
        self.programs.append(CommandProgram(*words, folder=self.folder, env=environment(**shared)))
        return self.programs[-1]

    def consume(self) -> None:
        """Run the model's consumer."""
        self.start("consume", "--env-file", "sentiment.env")

    def end(self) -> None:
        for program in [*self.programs, self.gateway]:
            program.end()


@pytest.fixture
def site(tmp_path: Path, kafka: KafkaServer, topic: TopicFactory) -> Iterator[Site]:
    made = Site(tmp_path, kafka, topic)
    yield made
    made.end()


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    site.gateway.wait_until_ready()
    with Client(site.url, timeout_s=PATIENCE_S) as made:
        yield made


@pytest.mark.timeout(240)
def test_texts_are_predicted_waited_for_streamed_and_delivered(site: Site, client: Client) -> None:
    site.consume()
    with Receiver() as receiver:
        site.start("webhooks", WEBHOOK_ALLOW=LOOPBACK, WEBHOOK_SECRET=SECRET)
        submitted = client.submit("sentiment", text="I love this product!", webhook_url=receiver.url("/hook"))
        assert submitted.state is State.PENDING
        assert client.wait(submitted.id, PATIENCE_S).label == "POSITIVE"
        wait_until(lambda: receiver.got, what=lambda: "\n".join(each.output for each in site.programs))
        (got,) = receiver.got
    webhook = verify_webhook(got.body, got.headers, SECRET)
    assert webhook.id == submitted.id
    assert webhook.request == client.get(submitted.id)

    predicted = client.predict("sentiment", text="This is horrible.", timeout_s=PATIENCE_S)
    assert (predicted.label, predicted.answered_by) == ("NEGATIVE", "vader")
    assert [each.label for each in client.stream(predicted.id)] == ["NEGATIVE"]

    questions = [Question(model="sentiment", text=text) for text in ("lovely", "", "awful")]
    first, second, third = client.submit_batch(questions)
    assert isinstance(second, Refused)
    assert second.status == 422
    assert isinstance(first, Accepted)
    assert isinstance(third, Accepted)
    assert [client.wait(each.id, PATIENCE_S).label for each in (first, third)] == ["POSITIVE", "NEGATIVE"]
    assert {each.id for each in client.list(state=State.COMPLETED).requests} == {
        submitted.id,
        predicted.id,
        first.id,
        third.id,
    }

    async def many() -> list[str | None]:
        async with AsyncClient(site.url, timeout_s=PATIENCE_S) as asking:
            calls = (asking.predict("sentiment", text="I love it!", timeout_s=PATIENCE_S) for _ in range(20))
            return [each.label for each in await asyncio.gather(*calls)]

    assert asyncio.run(many()) == ["POSITIVE"] * 20


def test_a_request_that_nobody_answers_is_cancelled_and_removed(client: Client) -> None:
    pending = client.submit(NOBODY, text="I love it!")
    streamed = client.stream(pending.id, PATIENCE_S)
    assert next(streamed).state is State.PENDING
    assert client.cancel(pending.id).state is State.PENDING
    assert [each.state for each in streamed] == [State.CANCELLED]
    with pytest.raises(RequestFailedError, match="ended as cancelled"):
        client.predict(NOBODY, text="I love it!", id=pending.id)
    assert {model.name: model.pending for model in client.models()} == {"sentiment": 0, NOBODY: 0}
    with pytest.raises(NotFoundError):
        client.get("never-given-out")


def test_a_gateway_that_is_killed_costs_its_clients_no_more_than_time(site: Site, client: Client) -> None:
    pending = client.submit("sentiment", text="I love it!")
    told: list[str | None] = []
    waiting = threading.Thread(target=lambda: told.append(client.wait(pending.id, PATIENCE_S).label))
    waiting.start()
    wait_until(lambda: "velox_waiters 1.0" in site.gateway.http.get("/metrics").text, what="one who waits")
    site.gateway.kill()
    with Client(site.url, retry_for_s=0) as hasty, pytest.raises(UnreachableError, match="does not answer"):
        hasty.submit("sentiment", text="I love it!")
    asked: list[str] = []
    asking = threading.Thread(target=lambda: asked.append(client.submit("sentiment", text="Awful!", id="again").id))
    asking.start()
    site.gateway.run()
    site.consume()
    waiting.join(2 * PATIENCE_S)
    asking.join(2 * PATIENCE_S)
    assert told == ["POSITIVE"]
    assert asked == ["again"]
    assert client.wait("again", PATIENCE_S).label == "NEGATIVE"


def test_a_gateway_that_wants_a_key_takes_the_clients(site: Site) -> None:
    site.gateway.end()
    site.gateway = GatewayProgram(site.folder, site.bootstrap, GATEWAY_PORT=site.port, AUTH="on")
    site.gateway.wait_until_ready()
    create = [sys.executable, "-m", "velox", "key", "create", "tests", "--scopes", "submit"]
    key = subprocess.check_output(create, cwd=site.folder, env=site.gateway.env, text=True).strip()
    with Client(site.url, retry_for_s=0) as stranger, pytest.raises(AccessError, match="401"):
        stranger.models()
    with Client(site.url, api_key=key) as client:
        submitted = client.submit("sentiment", text="I love it!")
        with pytest.raises(AccessError, match="403"):
            client.get(submitted.id)


WITHOUT = "import runpy, sys; sys.modules.update(dict.fromkeys({without})); sys.argv = {words}; "


def test_the_load_test_needs_httpx2_and_no_more(site: Site) -> None:
    site.gateway.wait_until_ready()
    site.consume()
    words = [
        "load_test.py",
        "--url",
        site.url,
        "--requests",
        "100",
        "--concurrency",
        "10",
        "--wait",
        "--json",
        "f.json",
    ]
    begin = WITHOUT.format(without=["velox", "numpy", "rich", "matplotlib", "pydantic"], words=words)
    script = str(REPOSITORY / "scripts" / "load_test.py")
    done = subprocess.run(
        [sys.executable, "-c", f"{begin}runpy.run_path({script!r}, run_name='__main__')"],
        cwd=site.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"100 requests to {site.url}, 10 at a time\naccepted   100 in ")
    assert done.stdout.endswith("errors     none\n")
    figures = json.loads((site.folder / "f.json").read_text())
    assert (figures["accepted"], figures["results"], figures["errors"]) == (100, 100, {})
    assert figures["result_ms"]["50"] >= figures["accept_ms"]["50"]
