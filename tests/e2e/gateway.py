"""A gateway as a real process, with a database and a folder of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from httpx2 import Client, HTTPError, Response

from tests.e2e.pipeline import PATIENCE_S, REPOSITORY, Program, wait_until
from tests.results import MODEL, make_result
from velox.records import Prediction, Result
from velox.requests.store import RequestStore

LISTENS = "gateway on "


class GatewayProgram(Program):
    """``velox gateway`` on a free port."""

    def __init__(self, folder: Path, bootstrap: str, **settings: object) -> None:
        self.folder = folder
        self.database = str(settings.get("REQUESTS_URL", f"sqlite:///{folder}/requests.db"))
        own = {
            "PYTHONPATH": str(REPOSITORY),
            "KAFKA_BOOTSTRAP_SERVER": bootstrap,
            "GATEWAY_PORT": "0",
            "REQUESTS_URL": self.database,
            "MODELS_PATH": str(REPOSITORY / "models.toml"),
            **{name: str(value) for name, value in settings.items()},
        }
        self.env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | own
        self._client: Client | None = None
        self.run()

    def run(self) -> None:
        """Start it, or start it again."""
        self.log = self.folder / f"gateway-{len(list(self.folder.glob('gateway-*.log')))}.log"
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "velox", "gateway"]
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=log)
        self._close()

    @property
    def url(self) -> str:
        self.wait_until_it_says(LISTENS)
        return self.output.split(LISTENS)[1].split()[0]

    @property
    def http(self) -> Client:
        """A client of it."""
        if self._client is None:
            self._client = Client(base_url=self.url, timeout=PATIENCE_S)
        return self._client

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.status("/readyz") == 200, what=lambda: f"ready:\n{self.output}")

    def status(self, path: str) -> int:
        """The status that a page has; 0 while nobody answers."""
        try:
            return self.http.get(path).status_code
        except HTTPError:
            return 0

    def predict(self, text: str, **fields: Any) -> Response:  # noqa: ANN401 - any field
        return self.http.post("/predict", json={"text": text, **fields})

    def result(self, identity: str) -> dict[str, Any]:
        """What /predict answers once there is a result."""
        found: dict[str, Any] = {}

        def is_there() -> bool:
            found.update(self.http.get(f"/predict/{identity}").json())
            return bool(found["status"] != "pending")

        wait_until(is_there, what=lambda: f"a result of {identity}:\n{self.output}")
        return found

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def end(self) -> None:
        self._close()
        super().end()

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None


def finish(database: str, identities: Sequence[str], *, label: str = "POSITIVE", score: float = 0.9) -> None:
    """Store results as a worker's sink does."""
    other = "NEGATIVE" if label == "POSITIVE" else "POSITIVE"
    prediction = Prediction(label, score, ((label, score), (other, round(1 - score, 6))))
    results = [_result(number, identity, prediction) for number, identity in enumerate(identities)]
    store = RequestStore(database)
    try:
        store.finish(results, model="sentiment", ttl_s=3600)
    finally:
        store.close()


def _result(number: int, identity: str, prediction: Prediction) -> Result:
    made = make_result(number, record_id=identity)
    return Result(
        record=made.record,
        prediction=prediction,
        model=MODEL,
        is_detection=True,
        predicted_at=made.record.produced_at + 1,
        file_path="",
    )
