"""A peer's server: LitServe, one worker a core, its batching and its fast queue."""

import base64
import os

import litserve

from benchmarks.peers.classifier import Classifier
from benchmarks.peers.job import Answer

_BATCH_TIMEOUT_S = 0.01


class Detections(litserve.LitAPI):
    """Base64 in JSON in, label and confidence out."""

    def setup(self, device: str) -> None:
        """Load the model, in each worker."""
        self.classifier = Classifier()

    def decode_request(self, request: dict[str, str]) -> bytes:
        """Take the JPEG out."""
        return base64.b64decode(request["image"])

    def predict(self, batch: list[bytes]) -> list[Answer]:
        """Classify what was batched."""
        return self.classifier.predict(batch)

    def encode_response(self, output: Answer) -> dict[str, object]:
        """Name the parts."""
        return {"label": output[0], "confidence": output[1]}


if __name__ == "__main__":
    cores = len(os.sched_getaffinity(0))
    api = Detections(max_batch_size=int(os.environ["BATCH_SIZE"]), batch_timeout=_BATCH_TIMEOUT_S)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=cores, fast_queue=True)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), num_api_servers=1, generate_client_file=False)
