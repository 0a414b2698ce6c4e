"""A peer's server: mosec, one worker a core, with dynamic batching."""

import os
import sys

from mosec import Server, Worker

from benchmarks.peers.classifier import Classifier
from benchmarks.peers.job import Answer

_MAX_WAIT_MS = 10


class Detections(Worker):
    """A JPEG in, label and confidence out as JSON, mosec's default."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = Classifier()

    def deserialize(self, data: bytes) -> bytes:
        """Leave the body as it is."""
        return data

    def forward(self, data: list[bytes]) -> list[dict[str, object]]:
        """Classify what was batched."""
        answers: list[Answer] = self.classifier.predict(data)
        return [{"label": label, "confidence": confidence} for label, confidence in answers]


if __name__ == "__main__":
    # mosec reads its address from the command line.
    sys.argv += ["--address", "127.0.0.1", "--port", os.environ["PORT"], "--timeout", "60000"]
    server = Server()
    cores = len(os.sched_getaffinity(0))
    batch = int(os.environ["BATCH_SIZE"])
    server.append_worker(Detections, num=cores, max_batch_size=batch, max_wait_time=_MAX_WAIT_MS)
    server.run()
