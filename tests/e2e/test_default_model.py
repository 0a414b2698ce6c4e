"""The default architecture, trained and served by the same commands as the small one."""

import subprocess
import sys

from tests.e2e.conftest import PipelineFactory

TRAIN = """
from velox.cli import main
from velox.models import held_out
held_out.LEAST = 8
main(["train"])
"""
"""The command, judging by few images; the small model, which takes a tenth of the time, is judged by hundreds."""


def test_mobilenet_is_trained_and_served_by_a_process_per_core(pipeline: PipelineFactory) -> None:
    default = pipeline(
        CODEC="framed",
        MODEL="velox.models.image_classifier:ImageClassifier",
        MODEL_ARCH="mobilenet_v2",
        SAMPLES_PER_CLASS=8,  # enough to run every step; what a full training reaches is not tested here
        EPOCHS=1,
        INFERENCE_PROCESSES=2,
    )
    trained = subprocess.run(
        [sys.executable, "-c", TRAIN],
        cwd=default.folder,
        env=default.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "red_circle" in trained.stdout

    default.produced(60)
    consumer = default.consume()
    default.wait_for_documents(60)
    consumer.wait_until_ready()
    assert consumer.output.count("CPU Inference Started (mobilenet_v2 ") == 2
    assert consumer.stop() == 0
    documents = default.documents()
    assert len(documents) == 60
    assert {document["model"] for document in documents} == {"mobilenet_v2"}
    assert all(0.25 <= document["confidence"] <= 1 for document in documents)
