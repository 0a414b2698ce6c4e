"""An exported network answers as torch does, and an export that is not this model's is never used."""

import copy
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.models import lively, save_exported, save_untrained, some_images
from velox.errors import BadRecordError, ModelError
from velox.models import card
from velox.models.architectures import ARCHITECTURES
from velox.models.backends import openvino_backend, selection
from velox.models.backends.onnxruntime_backend import OnnxRuntimeBackend
from velox.models.backends.openvino_backend import OpenVinoBackend
from velox.models.backends.torch_backend import TorchBackend
from velox.models.card import ModelCard
from velox.models.export import to_onnx
from velox.models.image_classifier import ImageClassifier
from velox.settings import Settings

pytestmark = pytest.mark.usefixtures("one_torch_thread")

EXPORTED = pytest.mark.parametrize("backend", [OpenVinoBackend, OnnxRuntimeBackend])
Runs = type[OpenVinoBackend] | type[OnnxRuntimeBackend]
REPOSITORY = Path(__file__).parents[2]
WITHOUT_TORCH = REPOSITORY / "tests" / "without_torch"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        model_path=tmp_path / "model.pth",
        classes_path=tmp_path / "classes.json",
        model_arch="tiny_cnn",
        batch_size=2,
        precision="fp32",
    )


@pytest.fixture
def exported_model(settings: Settings) -> ModelCard:
    """All files of a small model."""
    return save_exported("tiny_cnn", settings)


def loaded(settings: Settings, **other: object) -> ImageClassifier:
    model = ImageClassifier(settings.model_copy(update=other))
    model.load("cpu")
    return model


def jpeg() -> bytes:
    return cv2.imencode(".jpg", some_images(1, 200)[0])[1].tobytes()


def shift(state: dict[str, torch.Tensor]) -> None:
    state["14.bias"] += torch.tensor([0.5, 0, 0, 0])


def confidence(model: ImageClassifier) -> float:
    (answer,) = model.predict([model.decode(jpeg())])
    assert not isinstance(answer, BadRecordError)
    return answer.confidence


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_answers_as_torch_does(name: str, tmp_path: Path) -> None:
    network, size = lively(name), ARCHITECTURES[name].input_size
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(network, ARCHITECTURES[name], "1"))
    backends = [runs(path, f"{name} 1") for runs in (OpenVinoBackend, OnnxRuntimeBackend)]
    reference = TorchBackend(copy.deepcopy(network), "cpu")
    for batch in (some_images(1, size), some_images(7, size), np.zeros((3, size, size, 3), np.uint8)):
        expected = reference(batch)
        for backend in backends:
            probabilities = backend(batch)
            assert probabilities.dtype == np.float32
            assert probabilities.shape == expected.shape
            assert np.array_equal(probabilities.argmax(1), expected.argmax(1))
            assert np.abs(probabilities - expected).max() < 1e-4


@EXPORTED
def test_answers_of_a_batch_outlive_the_next_one(backend: Runs, settings: Settings, exported_model: ModelCard) -> None:
    runs = backend(card.export_path(settings.model_path), f"tiny_cnn {exported_model.version}")
    first = runs(some_images(2, 64))
    kept = first.copy()
    runs(np.zeros((2, 64, 64, 3), np.uint8))
    assert np.array_equal(first, kept)


def test_openvino_computes_in_float32_on_one_thread_that_may_move(
    settings: Settings, exported_model: ModelCard
) -> None:
    model = loaded(settings)
    assert isinstance(model._backend, OpenVinoBackend)
    compiled = model._backend._request.get_compiled_model()
    assert str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()) == "f32"
    in_force = {name: compiled.get_property(name) for name in openvino_backend._CONFIG}
    assert in_force == {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}


def test_onnxruntime_computes_on_one_thread(settings: Settings, exported_model: ModelCard) -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    model = loaded(settings, backend="onnxruntime")
    assert isinstance(model._backend, OnnxRuntimeBackend)
    confidence(model)
    assert threads() == before


def test_an_export_tells_nothing_of_where_it_was_made(settings: Settings, exported_model: ModelCard) -> None:
    content = card.export_path(settings.model_path).read_bytes()
    assert exported_model.version.encode() in content
    assert str(REPOSITORY).encode() not in content
    assert b"site-packages" not in content


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "pointer"])
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_damaged_export_is_one_clear_error(
    backend: str, damage: str, settings: Settings, exported_model: ModelCard
) -> None:
    path = card.export_path(settings.model_path)
    whole = path.read_bytes()
    content, said = {
        "empty": (b"", " is empty; "),
        "truncated": (whole[: len(whole) // 2], ": damaged, or no ONNX file; "),
        "text": (b"not a model", ": damaged, or no ONNX file; "),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\n", " is a git-lfs pointer, "),
    }[damage]
    path.write_bytes(content)
    settings.model_path.unlink()
    with pytest.raises(ModelError, match=rf"model\.onnx{said}.*copy all files of one training together$") as caught:
        loaded(settings, backend=backend)
    assert "\n" not in str(caught.value)


@EXPORTED
def test_an_export_of_other_weights_is_never_used(backend: Runs, settings: Settings, exported_model: ModelCard) -> None:
    path = card.export_path(settings.model_path)
    with pytest.raises(ModelError, match=rf"exported from tiny_cnn {exported_model.version}, not from tiny_cnn other"):
        backend(path, "tiny_cnn other")
    with pytest.raises(ModelError, match="not from mobilenet_v2"):
        backend(path, f"mobilenet_v2 {exported_model.version}")


@pytest.mark.timeout(300)  # two exports, each in a process that imports torch
def test_a_missing_export_is_made_once_and_one_of_other_weights_replaced(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = card.export_path(settings.model_path)

    def start() -> tuple[str, int]:
        """Load; answer what was logged, and which file is there then."""
        caplog.clear()
        model = loaded(settings)
        assert isinstance(model._backend, OpenVinoBackend)
        assert confidence(model) == pytest.approx(confidence(loaded(settings, backend="torch")), abs=1e-4)
        return caplog.text, path.stat().st_ino

    save_untrained("tiny_cnn", settings)
    said, first = start()
    assert "cannot read the export: No such file or directory: exporting the model" in said
    assert "OpenVINO runs the model (the fastest on a CPU that is installed)" in said
    said, again = start()
    assert "exporting" not in said
    assert again == first
    save_untrained("tiny_cnn", settings, change=shift)
    said, other = start()
    assert "exported from tiny_cnn" in said
    assert other != first
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "classes.json", "model.json", "model.onnx", "model.pth",
    ]  # fmt: skip


def test_what_cannot_be_exported_says_why(settings: Settings) -> None:
    save_untrained("tiny_cnn", settings)
    settings.model_path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"cannot be exported: .*model\.pth: damaged, or no torch state dict"):
        loaded(settings, backend="openvino")


def test_in_a_folder_that_cannot_be_written_torch_takes_over(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save_untrained("tiny_cnn", settings)
    monkeypatch.setattr(os, "access", lambda *_args: False)
    assert isinstance(loaded(settings)._backend, TorchBackend)
    assert "OpenVINO cannot run the model" in caplog.text
    assert "cannot be written: change its owner" in caplog.text
    with pytest.raises(ModelError, match="cannot be written: change its owner"):
        loaded(settings, backend="openvino")
    assert not card.export_path(settings.model_path).exists()


PREDICT = """
import json, sys
from velox.models.image_classifier import ImageClassifier
from velox.settings import Settings
model = ImageClassifier(Settings(**json.loads(sys.argv[1])))
model.load("cpu")
(answer,) = model.predict([model.decode(sys.stdin.buffer.read())])
torch = [name for name in sys.modules if name.startswith("torch") and sys.modules[name]]
print(json.dumps([answer.label, answer.confidence, torch]))
"""


def predict(folder: Path, *blocked: Path, **settings: str) -> "subprocess.CompletedProcess[bytes]":
    """Predict in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", PREDICT, json.dumps(settings)],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join(map(str, (*blocked, REPOSITORY)))},
        input=jpeg(),
        capture_output=True,
        check=False,
    )


def test_with_a_current_export_torch_is_not_even_imported(settings: Settings, exported_model: ModelCard) -> None:
    done = predict(settings.model_path.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[2] == []


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_without_torch_export_labels_and_card_are_enough(
    backend: str, settings: Settings, exported_model: ModelCard
) -> None:
    expected = confidence(loaded(settings, backend="torch"))
    settings.model_path.unlink()
    done = predict(settings.model_path.parent, WITHOUT_TORCH, backend=backend)
    assert done.returncode == 0, done.stderr
    label, answered, _ = json.loads(done.stdout)
    assert label in exported_model.labels
    assert answered == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "torch"}, "torch would have to run the model (BACKEND=torch), but is not installed: pip install"),
        ({"preprocessing": "exact"}, "PREPROCESSING=exact needs torchvision, which is not installed"),
    ],
)
def test_without_torch_what_needs_it_says_so(
    given: dict[str, str], message: str, settings: Settings, exported_model: ModelCard
) -> None:
    done = predict(settings.model_path.parent, WITHOUT_TORCH, **given)
    assert done.returncode != 0
    assert message in done.stderr.decode()


def test_where_openvino_is_not_installed_onnxruntime_runs_the_model_and_else_torch(
    settings: Settings, exported_model: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"openvino"}
    monkeypatch.setattr(selection, "is_installed", lambda package: package not in missing)
    assert isinstance(loaded(settings)._backend, OnnxRuntimeBackend)
    missing.add("onnxruntime")
    assert isinstance(loaded(settings)._backend, TorchBackend)
    for backend in missing:
        with pytest.raises(ModelError, match=rf"{backend} is not installed: pip install 'velox\[{backend}\]'"):
            loaded(settings, backend=backend)


def test_for_cuda_torch_is_taken() -> None:
    assert selection.choose(Settings(), "cuda:1") == ("torch", "for cuda:1")


def test_a_model_without_weights_counts_where_they_are_not_needed(
    settings: Settings, exported_model: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not selection.lacks_model(settings)
    settings.model_path.unlink()
    assert selection.lacks_model(settings)
    assert not selection.lacks_model(settings.model_copy(update={"backend": "openvino"}))
    monkeypatch.setattr(selection, "is_installed", lambda package: package != "torch")
    assert not selection.lacks_model(settings)
    settings.classes_path.unlink()
    assert selection.lacks_model(settings)
    assert not selection.lacks_model(settings.model_copy(update={"model": "mine:Mine"}))
