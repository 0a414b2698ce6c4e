"""A peer: LitServe, one worker a core, with its batching and its fast queue."""

import os

import litserve

from benchmarks.peers.text_pipeline import classify, load

_BATCH_TIMEOUT_S = 0.01


class Sentiments(litserve.LitAPI):
    """A text in JSON in, label and score out."""

    def setup(self, device: str) -> None:
        """Load the model, in each worker."""
        self.model = load()

    def decode_request(self, request: dict[str, str]) -> str:
        """Take the text out."""
        return request["text"]

    def predict(self, batch: list[str]) -> list[dict[str, object]]:
        """Classify what was batched."""
        return classify(self.model, batch)

    def encode_response(self, output: dict[str, object]) -> dict[str, object]:
        """Answer it as it is."""
        return output


if __name__ == "__main__":
    cores = len(os.sched_getaffinity(0))
    api = Sentiments(max_batch_size=int(os.environ["BATCH_SIZE"]), batch_timeout=_BATCH_TIMEOUT_S)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=cores, fast_queue=True)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), num_api_servers=1, generate_client_file=False)
