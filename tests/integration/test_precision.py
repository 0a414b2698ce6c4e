"""PRECISION on real files: what fails the gate is refused, what passes is taken, and each start says so in one line."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from tests.e2e.pipeline import wait_until
from tests.models import export_of, lively, save_exported, save_untrained
from velox.errors import ModelError
from velox.models import card, held_out, quantisation
from velox.models.agreement import Agreement, way
from velox.models.architectures import ARCHITECTURES
from velox.models.backends import preparing, selection, speed
from velox.models.backends.backend import Backend, Precision, UnsupportedPrecisionError
from velox.models.card import ModelCard, ModelFiles
from velox.models.held_out import HeldOut
from velox.models.measuring import Measurement
from velox.settings import Settings

pytestmark = pytest.mark.usefixtures("one_torch_thread")

REPOSITORY = Path(__file__).parents[2]
TINY = ARCHITECTURES["tiny_cnn"]
PATIENCE_S = 30.0
Save = Callable[[nn.Module], ModelCard]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Little to draw; a machine on which int8 is the fastest and bf16 slow."""
    monkeypatch.setattr(held_out, "LEAST", 24)

    def measured(backends: dict[Precision, Backend], _size: int) -> dict[Precision, float]:
        known = {"fp32": 4.0, "bf16": 7.0, "int8": 1.0}
        return {precision: known[precision] for precision in backends}

    monkeypatch.setattr(speed, "measure", measured)
    return Settings(
        model_path=tmp_path / "model.pth", classes_path=tmp_path / "classes.json", model_arch="tiny_cnn",
        img_height=64, img_width=64, samples_per_class=4, min_agreement=0.9,
    )  # fmt: skip


@pytest.fixture
def save(settings: Settings) -> Save:
    """Measures a network on all backends that run an export, and writes its files; the weights stand for no network."""

    def write(network: nn.Module) -> ModelCard:
        export = export_of(network, "tiny_cnn")
        made = ModelCard("tiny_cnn", settings.labels, 64, "1")
        card.write(made, b"", export=export, model_path=settings.model_path, classes_path=settings.classes_path)
        settings.model_path.unlink()
        images = HeldOut(settings, TINY)
        for name in selection.EXPORTED:
            runner = selection.runner(name, settings, ModelFiles(b"", made.labels, "1", made), TINY)
            made = Measurement(settings, made, images).of_missing(runner)
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
    assert made.precisions[way(backend, "int8")].least >= 0.9
    start(settings, backend=backend)
    assert f"runs the model (BACKEND={backend}) in int8 (1.00 ms an image here, fp32 4.00 ms" in caplog.text
    assert "agrees with fp32 in" in caplog.text


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_auto_refuses_an_int8_that_disagrees_and_a_forced_one_is_doubted(
    backend: str, settings: Settings, save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = save(hard_to_quantise())
    assert made.precisions[way(backend, "int8")].least < 0.9
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
    describe(settings, replace(made, version="2"))
    with pytest.raises(ModelError, match=r"model\.int8\.onnx: exported from tiny_cnn 1, not from tiny_cnn 2"):
        start(settings, precision="int8")


def describe(settings: Settings, described: ModelCard) -> None:
    """Put another card in the place of the model's."""
    card.card_path(settings.model_path).write_text(json.dumps(asdict(described)))


@pytest.mark.timeout(300)  # an export and a measurement, in processes of their own
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
    assert files.card.precisions[way("openvino", "int8")].images >= 400
    caplog.clear()
    start(settings, min_agreement=0)
    assert "exporting" not in caplog.text
    assert "in int8 (" in caplog.text


@pytest.mark.timeout(300)
def test_what_was_not_measured_is_measured_when_first_chosen_and_never_again(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = save_exported("tiny_cnn", settings)
    start(settings, backend="onnxruntime")
    assert "Measuring int8 against fp32 on onnxruntime" in caplog.text
    what = re.escape(way("onnxruntime", "int8"))
    assert re.search(rf"Measured in \d+ s: {what} agrees with fp32 in .* of 400 images", caplog.text)
    written = card.read(settings.model_path, settings.classes_path).card
    assert written is not None
    assert written.precisions.keys() == {way("onnxruntime", "int8")}
    assert replace(written, precisions={}) == before, "all else on the card stays"

    caplog.clear()
    start(settings, backend="onnxruntime")
    start(settings, backend="onnxruntime", precision="int8")
    start(settings, backend="openvino", precision="fp32")
    assert "Measuring" not in caplog.text

    int8 = card.quantised_path(settings.model_path).stat()
    start(settings, backend="openvino", precision="int8")
    assert "Measuring int8 against fp32 on openvino" in caplog.text
    assert card.quantised_path(settings.model_path).stat() == int8, "made once, for whoever runs it"


@pytest.mark.timeout(300)
def test_on_a_processor_that_computes_otherwise_it_is_measured_again_and_both_are_kept(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    elsewhere = {"onnxruntime int8 (none such)": Agreement(0.5, 0.1, 0.2, 0, 0.9, 400)}
    describe(settings, replace(save_exported("tiny_cnn", settings), precisions=elsewhere))
    start(settings, backend="onnxruntime")
    assert "Measuring int8 against fp32 on onnxruntime" in caplog.text
    written = card.read(settings.model_path, settings.classes_path).card
    assert written is not None
    assert written.precisions.keys() == {*elsewhere, way("onnxruntime", "int8")}


START = """
import json, logging, sys
from velox import logs
from velox.models.image_classifier import ImageClassifier
from velox.settings import Settings
logs.configure()
print("here", flush=True)
sys.stdin.readline()
ImageClassifier(Settings(**json.loads(sys.argv[1]))).load("cpu")
"""


def starting(settings: Settings) -> "subprocess.Popen[str]":
    """A process that loads the model as soon as it is told to."""
    given = {
        "backend": "onnxruntime", "min_agreement": 0,
        "model_path": str(settings.model_path), "classes_path": str(settings.classes_path),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", START, json.dumps(given)], cwd=settings.model_path.parent, text=True,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def test_where_nothing_is_to_be_measured_the_log_does_not_say_that_it_is(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = save_exported("tiny_cnn", settings)
    settings = settings.model_copy(update={"precision": "fp32"})
    files = card.read(settings.model_path, settings.classes_path)
    runner = selection.runner("onnxruntime", settings, files, TINY)
    assert Measurement(settings, made, HeldOut(settings, TINY)).of_missing(runner) == made
    assert "Measuring" not in caplog.text


@pytest.mark.timeout(300)
def test_of_processes_that_start_at_once_one_measures_and_all_know(settings: Settings) -> None:
    save_exported("tiny_cnn", settings)
    processes = [starting(settings) for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sum("Measuring int8" in each for each in said) == 1, said
    assert all("no agreement in the model card" not in each for each in said), said


def test_a_measurement_ends_with_the_process_that_waits_for_it(settings: Settings) -> None:
    save_exported("tiny_cnn", settings)
    process = starting(settings)
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    parent = psutil.Process(process.pid)
    wait_until(lambda: bool(parent.children()), what="it has begun to measure")
    (measuring,) = parent.children()
    wait_until(lambda: "velox.models.measuring" in " ".join(measuring.cmdline()), what="it runs what it is for")
    process.kill()
    process.communicate()
    measuring.wait(PATIENCE_S)
    known = card.read(settings.model_path, settings.classes_path).card
    assert known is not None
    assert known.precisions == {}, "it has not come to its end"


def test_a_measurement_that_takes_too_long_is_given_up_in_time_and_the_start_goes_on(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    save_exported("tiny_cnn", settings)
    start(settings, backend="onnxruntime", inference_start_timeout_s=0.3)
    assert "Not measured int8 against fp32 on onnxruntime: not done after 0.2 s" in caplog.text
    assert "in fp32 (int8: no agreement in the model card)" in caplog.text
    caplog.clear()
    start(settings, backend="onnxruntime", precision="int8", min_agreement=0, inference_start_timeout_s=120)
    assert "Measured in" in caplog.text, "the next start may have more time"


@pytest.mark.parametrize("lacking", ["torch", "a folder that can be written", "drawn labels", "weights"])
def test_where_it_cannot_be_measured_the_card_alone_counts(
    lacking: str, settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    save_exported("tiny_cnn", settings)
    if lacking == "torch":
        monkeypatch.setattr(preparing, "is_installed", lambda package: package != "torch")
    elif lacking == "a folder that can be written":
        monkeypatch.setattr(os, "access", lambda *_args: False)
    elif lacking == "drawn labels":
        settings = settings.model_copy(update={"colors": {"blue": (255, 0, 0), "green": (0, 255, 0)}})
    else:
        settings.model_path.unlink()
    start(settings, backend="onnxruntime")
    assert "Measuring" not in caplog.text
    assert "in fp32 (int8: no agreement in the model card)" in caplog.text


def test_a_network_that_cannot_be_quantised_costs_a_warning_and_nothing_else(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> bytes:
        raise ValueError("this operator is unknown")

    monkeypatch.setattr(quantisation, "quantise", fail)
    made = save_exported("tiny_cnn", settings)
    files = card.read(settings.model_path, settings.classes_path)
    runner = selection.runner("onnxruntime", settings, files, TINY)
    noted = Measurement(settings, made, HeldOut(settings, TINY)).of_missing(runner)
    assert "No int8: the network cannot be quantised: this operator is unknown" in caplog.text
    assert noted.precisions == {}


def test_without_an_agreement_on_the_card_float32_runs_and_the_log_says_why(
    settings: Settings, save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = save(lively("tiny_cnn"))
    describe(settings, replace(made, precisions={}))
    start(settings)
    assert "int8: no agreement in the model card)" in caplog.text
    assert "in fp32 (" in caplog.text
