"""A consumer on the light path: OpenVINO, an exported model, and no torch."""

import os
from pathlib import Path

import pytest

from tests.e2e.pipeline import REPOSITORY, ConsumerProgram, Pipeline, Program

WITHOUT_TORCH = os.pathsep.join((str(REPOSITORY / "tests" / "without_torch"), str(REPOSITORY)))


def libraries(consumer: ConsumerProgram) -> str:
    """The files that its inference processes have mapped."""
    return "\n".join(Path(f"/proc/{process.pid}/maps").read_text() for process in consumer.inference_processes())


def test_without_torch_a_consumer_predicts_from_what_training_exported(shapes: Pipeline) -> None:
    (shapes.folder / "model.pth").unlink()
    consumer = shapes.consume(PYTHONPATH=WITHOUT_TORCH)
    shapes.produced(50)
    shapes.wait_for_documents(50)
    assert consumer.says("CPU Inference Started (tiny_cnn ")
    assert consumer.says("OpenVINO runs the model")
    assert "openvino" in libraries(consumer)
    assert "torch" not in libraries(consumer)
    assert consumer.stop() == 0
    right = [document["predicted_label"] == document["ground_truth"] for document in shapes.documents()]
    assert sum(right) / len(right) > 0.9


@pytest.mark.timeout(300)
def test_of_several_inference_processes_one_exports_a_model_that_was_not_and_a_restart_none(shapes: Pipeline) -> None:
    (shapes.folder / "model.onnx").unlink()
    exporting = "exporting the model"
    first = shapes.consume(BACKEND="openvino", INFERENCE_PROCESSES=2)
    first.wait_until_ready(timeout_s=180)
    assert first.output.count(exporting) == 1
    assert first.output.count("OpenVINO runs the model (BACKEND=openvino)") == 2
    assert "torch" not in libraries(first)
    assert first.stop() == 0
    second = shapes.consume(BACKEND="openvino")
    second.wait_until_ready()
    assert not second.says(exporting)
    assert second.stop() == 0


@pytest.mark.parametrize("missing", ["model.onnx", "model.json", "classes.json"])
def test_without_torch_and_without_a_model_one_line_says_what_to_copy(shapes: Pipeline, missing: str) -> None:
    for name in ("model.pth", missing):
        (shapes.folder / name).unlink()
    consumer = shapes.consume(PYTHONPATH=WITHOUT_TORCH)
    assert consumer.process.wait(60) == 2
    assert consumer.says("model.pth: no model; train one with `python train.py` where there is torch, or copy here ")
    assert "Traceback" not in consumer.output


def test_training_without_torch_is_one_clear_line(tmp_path: Path) -> None:
    trained = Program("train", folder=tmp_path, env={"PATH": os.environ["PATH"], "PYTHONPATH": WITHOUT_TORCH})
    assert trained.process.wait(60) == 2
    assert trained.output == "velox train: training needs torch, which is not installed: pip install 'velox[torch]'\n"
