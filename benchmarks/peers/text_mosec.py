"""A peer: mosec, one worker a core, with dynamic batching."""

import os
import sys

from mosec import Server, Worker

from benchmarks.peers.text_pipeline import classify, load

_MAX_WAIT_MS = 10


class Sentiments(Worker):
    """A text in JSON in, label and score out."""

    def __init__(self) -> None:
        super().__init__()
        self.model = load()

    def forward(self, data: list[dict[str, str]]) -> list[dict[str, object]]:
        """Classify what was batched."""
        return classify(self.model, [each["text"] for each in data])


if __name__ == "__main__":
    # mosec reads its address from the command line.
    sys.argv += ["--address", "127.0.0.1", "--port", os.environ["PORT"], "--timeout", "60000"]
    server = Server()
    cores = len(os.sched_getaffinity(0))
    batch = int(os.environ["BATCH_SIZE"])
    server.append_worker(Sentiments, num=cores, max_batch_size=batch, max_wait_time=_MAX_WAIT_MS)
    server.run()
