"""PRECISION on real files: what fails the gate is refused, what passes is taken, and each start says so in one line."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.models import lively, save_untrained
from velox.errors import ModelError
from velox.models import card, measuring
from velox.models.architectures import ARCHITECTURES
from velox.models.backends import selection, speed
from velox.models.backends.backend import Backend, Precision, UnsupportedPrecisionError
from velox.models.card import ModelCard
from velox.models.export import to_onnx
from velox.models.measuring import measure
from velox.settings import Settings

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TINY = ARCHITECTURES["tiny_cnn"]
Save = Callable[[nn.Module], ModelCard]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Little to draw; a machine on which int8 is the fastest and bf16 slow."""
    monkeypatch.setattr(measuring, "_IMAGES", 48)

    def measured(backends: dict[Precision, Backend], _size: int) -> dict[Precision, float]:
        known = {"fp32": 4.0, "bf16": 7.0, "int8": 1.0}
        return {precision: known[precision] for precision in backends}

    monkeypatch.setattr(speed, "measure", measured)
    return Settings(
        model_path=tmp_path / "model.pth", classes_path=tmp_path / "classes.json", model_arch="tiny_cnn",
        img_height=64, img_width=64, min_agreement=0.9,
    )  # fmt: skip


@pytest.fixture
def save(settings: Settings) -> Save:
    """Measures a network and writes all its files but the weights."""

    def write(network: nn.Module) -> ModelCard:
        export = to_onnx(network, TINY, "1")
        measured = measure(network, TINY, export, "1", settings)
        made = ModelCard("tiny_cnn", settings.labels, 64, "1", precisions=measured.precisions)
        paths = {"model_path": settings.model_path, "classes_path": settings.classes_path}
        card.write(made, b"", export=export, quantised=measured.quantised, **paths)
        settings.model_path.unlink()
        return made

    return write


def start(settings: Settings, **other: object) -> Backend:
    changed = settings.model_copy(update={"backend": "openvino", **other})
    files = card.read(changed.model_path, changed.classes_path, needs_weights=False)
    return selection.start(changed, files, TINY, "cpu")


def hard_to_quantise() -> nn.Module:
    """The same function in float32, with activations of which 8 bits see only the largest channel."""
    network = lively("tiny_cnn")
    assert isinstance(network, nn.Sequential)
    with torch.no_grad():
        for norm, following in ((network[1], network[3]), (network[4], network[6]), (network[7], network[9])):
            assert isinstance(norm, nn.BatchNorm2d)
            assert isinstance(following, nn.Conv2d)
            norm.weight[0] *= 4096
            norm.bias[0] *= 4096
            following.weight[:, 0] /= 4096
    return network


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_auto_takes_an_int8_that_agrees(
    backend: str, settings: Settings, save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = save(lively("tiny_cnn"))
    assert made.precisions[f"{backend} int8"].least >= 0.9
    start(settings, backend=backend)
    assert f"runs the model (BACKEND={backend}) in int8 (1.00 ms an image here, fp32 4.00 ms" in caplog.text
    assert "agrees with fp32 in" in caplog.text


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_auto_refuses_an_int8_that_disagrees_and_a_forced_one_is_doubted(
    backend: str, settings: Settings, save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = save(hard_to_quantise())
    assert made.precisions[f"{backend} int8"].least < 0.9
    start(settings, backend=backend)
    assert f"runs the model (BACKEND={backend}) in fp32 (" in caplog.text
    assert "int8 refused: it agrees with fp32 in " in caplog.text
    start(settings, backend=backend, precision="int8")
    assert f"runs the model (BACKEND={backend}) in int8 (PRECISION=int8; int8 refused" in caplog.text
    assert "nothing shows that int8 answers as fp32 does" in caplog.text


def test_a_precision_nobody_can_run_here_is_one_error_with_the_remedy(
    settings: Settings, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(lively("tiny_cnn"))
    with pytest.raises(UnsupportedPrecisionError, match=r"PRECISION=bf16: onnxruntime cannot .*: set BACKEND=openvino"):
        start(settings, backend="onnxruntime", precision="bf16")
    with pytest.raises(UnsupportedPrecisionError, match=r"PRECISION=int8: torch cannot .*: set BACKEND=openvino"):
        selection.start(
            settings.model_copy(update={"backend": "torch", "precision": "int8"}),
            card.read(settings.model_path, settings.classes_path, needs_weights=False), TINY, "cpu",
        )  # fmt: skip
    monkeypatch.setattr(selection, "is_installed", lambda package: package != "openvino")
    assert selection.choose(settings.model_copy(update={"precision": "bf16"}), "cpu")[0] == "torch"
    assert selection.choose(settings.model_copy(update={"precision": "int8"}), "cpu")[0] == "onnxruntime"


def test_a_forced_int8_without_its_file_says_what_to_copy(settings: Settings, save: Save) -> None:
    save(lively("tiny_cnn"))
    card.quantised_path(settings.model_path).unlink()
    with pytest.raises(
        ModelError, match=r"model\.int8\.onnx: cannot read the export: .* copy all files of one training"
    ):
        start(settings, precision="int8")


def test_an_int8_of_another_model_is_never_used(settings: Settings, save: Save) -> None:
    made = save(lively("tiny_cnn"))
    card.write_export(b"", settings.model_path, described=replace(made, version="2"))
    with pytest.raises(ModelError, match=r"model\.int8\.onnx: exported from tiny_cnn 1, not from tiny_cnn 2"):
        start(settings, precision="int8")


@pytest.mark.timeout(300)  # an export and all measurements, in a process that imports torch
def test_weights_of_the_users_own_are_measured_once_with_their_export(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = save_untrained("tiny_cnn", settings)
    card.card_path(settings.model_path).unlink()
    start(settings, min_agreement=0)
    assert "exporting the model" in caplog.text
    assert "OpenVINO runs the model (BACKEND=openvino) in int8 (1.00 ms" in caplog.text
    files = card.read(settings.model_path, settings.classes_path)
    assert files.card is not None
    assert files.card.version == made.version
    assert files.card.precisions["openvino int8"].images >= 400
    caplog.clear()
    start(settings, min_agreement=0)
    assert "exporting" not in caplog.text
    assert "in int8 (" in caplog.text


def test_without_an_agreement_on_the_card_float32_runs_and_the_log_says_why(
    settings: Settings, save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = save(lively("tiny_cnn"))
    card.card_path(settings.model_path).write_text("{}")
    export = card.export_path(settings.model_path).read_bytes()
    card.write_export(export, settings.model_path, described=replace(made, precisions={}))
    start(settings)
    assert "in fp32 (bf16: no agreement in the model card; int8: no agreement in the model card)" in caplog.text
