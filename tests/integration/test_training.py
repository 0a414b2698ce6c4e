"""A real training of the small network, and what a stopped or failed one leaves behind."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch

from tests.small_model import LOG
from velox.errors import BadRecordError, ModelError, SettingsError
from velox.models import card, held_out, training, trial
from velox.models.agreement import way
from velox.models.architectures import ARCHITECTURES
from velox.models.backends import selection
from velox.models.backends.backend import RUNS, Precision, Runner
from velox.models.backends.openvino_backend import OpenVinoBackend
from velox.models.card import ModelCard
from velox.models.image_classifier import ImageClassifier
from velox.models.stopping import Stopped
from velox.settings import Settings
from velox.sources.drawing import draw

REPOSITORY = Path(__file__).parents[2]
SMALL = {"model_arch": "tiny_cnn", "samples_per_class": 100, "epochs": 6}


def settings_in(folder: Path, **given: object) -> Settings:
    paths = {"model_path": folder / "model.pth", "classes_path": folder / "classes.json"}
    return Settings.model_validate({**paths, **SMALL, **given})


def classifier(settings: Settings) -> ImageClassifier:
    model = ImageClassifier(settings)
    model.load("cpu")
    return model


def plain_jpeg(color: tuple[int, int, int], shape: str) -> bytes:
    image = draw(shape, color=color, height=512, width=512, center=(256, 256), size=150)
    return cv2.imencode(".jpg", image)[1].tobytes()


def right_and_sure(settings: Settings, **other: str) -> list[float]:
    """Confidences for one plain image of each label, all of which must be right."""
    model = classifier(settings.model_copy(update=other))
    confidences = []
    for name, color in settings.colors.items():
        for shape in settings.shapes:
            (prediction,) = model.predict([model.decode(plain_jpeg(color, shape))])
            assert not isinstance(prediction, BadRecordError)
            assert prediction.label == f"{name}_{shape}"
            confidences.append(prediction.confidence)
    return confidences


@pytest.fixture(autouse=True)
def little_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep all but the model that is shared from measuring precisions on hundreds of images."""
    monkeypatch.setattr(held_out, "LEAST", 8)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, ModelCard]:
    """The default labels, learned by the small network; with all that can be measured."""
    settings = settings_in(tmp_path_factory.mktemp("trained"))
    return settings, training.train(settings, all_precisions=True)


def test_a_trained_model_tells_the_labels_apart(trained: tuple[Settings, ModelCard]) -> None:
    settings, card = trained
    assert card.accuracy is not None
    assert card.accuracy >= 0.97
    assert min(right_and_sure(settings)) > 0.95


def test_its_export_is_of_this_model_and_answers_the_same(trained: tuple[Settings, ModelCard]) -> None:
    settings, card = trained
    assert f"tiny_cnn {card.version}".encode() in settings.model_path.with_suffix(".onnx").read_bytes()
    sure = right_and_sure(settings, backend="openvino", precision="fp32")
    assert sure == pytest.approx(right_and_sure(settings, backend="torch", precision="fp32"), abs=1e-4)


def test_the_card_describes_the_model(trained: tuple[Settings, ModelCard]) -> None:
    settings, card = trained
    written = json.loads(settings.model_path.with_suffix(".json").read_text())
    assert written["architecture"] == "tiny_cnn"
    assert written["labels"] == ["red_circle", "red_square", "green_circle", "green_square"]
    assert written["input_size"] == 64
    assert written["preprocessing"] == "fast"
    assert written["starts_from"] == "scratch"
    assert written["accuracy"] == card.accuracy
    assert written["accuracy_by_label"].keys() == set(settings.labels)
    assert written["dataset"]["samples_per_class"] == SMALL["samples_per_class"]
    assert written["version"] == classifier(settings).version


def test_with_all_precisions_the_card_says_what_each_and_fast_preprocessing_change(
    trained: tuple[Settings, ModelCard],
) -> None:
    settings, card = trained
    ways = {way(backend, precision) for backend, runs in RUNS.items() for precision in runs}
    always = {way("openvino", "int8"), way("onnxruntime", "int8")}
    assert always <= card.precisions.keys() <= ways - {way("torch", "fp32")}
    for name, agreement in (*card.precisions.items(), *card.profiles.items()):
        assert agreement.images >= 400
        assert agreement.threshold == settings.confidence_threshold
        assert agreement.top1 > 0.95, name
        assert agreement.mean_difference <= agreement.max_difference <= 1
    for backend in ("openvino", "onnxruntime"):
        exact, int8 = card.precisions[way(backend, "fp32")], card.precisions[way(backend, "int8")]
        assert exact.top1 == 1
        assert exact.max_difference < 1e-4 < int8.max_difference
    assert card.profiles.keys() == {"fast"}
    assert card.profiles["fast"].max_difference > 1e-3


@pytest.mark.parametrize(
    ("chosen", "measured"),
    [
        ({}, {"openvino bf16", "openvino int8"}),
        ({"backend": "onnxruntime"}, {"onnxruntime int8"}),
        ({"backend": "torch"}, {"torch bf16"}),
        ({"precision": "int8"}, {"openvino int8"}),
        ({"precision": "fp32"}, set()),
    ],
)
def test_by_default_only_what_a_start_here_may_choose_is_measured(
    chosen: dict[str, str], measured: set[str], tmp_path: Path
) -> None:
    settings = settings_in(tmp_path, samples_per_class=8, epochs=1, **chosen)
    card = training.train(settings)
    backend, _ = selection.choose(settings, "cpu")
    here = {f"{backend} {precision}" for precision in runner_of(backend, settings).precisions}
    assert card.precisions.keys() == {way(*name.split()) for name in measured & here}
    assert card.profiles == {}
    assert (tmp_path / "model.int8.onnx").exists() == any(name.endswith("int8") for name in measured)


def runner_of(backend: str, settings: Settings) -> Runner:
    files = card.read(settings.model_path, settings.classes_path)
    return selection.runner(backend, settings, files, ARCHITECTURES[settings.model_arch])


@pytest.mark.parametrize("all_precisions", [False, True])
def test_a_training_loads_what_it_judges_and_starts_once_and_says_when_all_else_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, all_precisions: bool
) -> None:
    caplog.set_level(logging.INFO)
    loaded: list[str] = []
    load = OpenVinoBackend.__init__

    def counted(self: OpenVinoBackend, path: Path, identity: str, precision: Precision = "fp32") -> None:
        load(self, path, identity, precision)
        loaded.append(precision)

    monkeypatch.setattr(OpenVinoBackend, "__init__", counted)
    settings = settings_in(tmp_path, samples_per_class=8, epochs=1, min_agreement=0)
    training.train(settings, all_precisions=all_precisions)
    assert sorted(loaded) == sorted(runner_of("openvino", settings).precisions)
    assert ("are measured when first chosen; --all-precisions measures them now" in caplog.text) != all_precisions


def test_what_is_not_installed_measures_nothing_and_the_model_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trial, "is_installed", lambda package: package != "openvino")
    monkeypatch.setattr(selection, "is_installed", lambda package: package != "openvino")
    settings = settings_in(tmp_path, samples_per_class=8, epochs=1, backend="openvino")
    training.train(settings)
    assert "will not start: BACKEND=openvino: openvino is not installed: pip install" in caplog.text
    assert settings.model_path.exists()


def test_three_shapes_in_three_colours_need_settings_only_in_the_exact_profile_too(tmp_path: Path) -> None:
    settings = settings_in(
        tmp_path,
        shapes=("circle", "square", "triangle"),
        colors={"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)},
        preprocessing="exact",
        img_height=128,
        img_width=160,
    )
    card = training.train(settings)
    assert card.preprocessing == "exact"
    assert len(card.labels) == 9
    assert card.accuracy is not None
    assert card.accuracy >= 0.95
    assert len(right_and_sure(settings)) == 9


def test_the_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    def version(name: str, seed: int) -> str:
        return training.train(
            settings_in(tmp_path / name, samples_per_class=8, epochs=1, precision="fp32", training_seed=seed)
        ).version

    first = version("first", 1)
    assert version("again", 1) == first
    assert version("other", 2) != first


def test_a_stopped_training_leaves_the_old_model(trained: tuple[Settings, ModelCard], tmp_path: Path) -> None:
    for path in trained[0].model_path.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    steps = 0

    def stop() -> None:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise Stopped(signal.SIGTERM)

    with pytest.raises(Stopped):
        training.train(settings_in(tmp_path, samples_per_class=8, epochs=1), check_stop=stop)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in trained[0].model_path.parent.iterdir()}
    assert classifier(settings_in(tmp_path)).version == trained[1].version


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_and_leaves_the_old_model(tmp_path: Path, number: int, code: int) -> None:
    for name in ("model.pth", "classes.json"):
        (tmp_path / name).write_text("old")
    small = {"MODEL_ARCH": "tiny_cnn", "EPOCHS": "1000", "SAMPLES_PER_CLASS": "8"}
    env = {**os.environ, **small, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, str(REPOSITORY / "train.py")], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        while "Epoch 1 done" not in (line := command.stdout.readline()):
            assert line, "ended before its first epoch"
        command.send_signal(number)
        output = command.stdout.read()
        assert command.wait(timeout=30) == code
    assert "Stopped by" in output
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"model.pth": "old", "classes.json": "old"}


def test_in_json_every_line_of_a_training_is_an_object_and_our_own(tmp_path: Path) -> None:
    small = {"MODEL_ARCH": "tiny_cnn", "EPOCHS": "1", "SAMPLES_PER_CLASS": "8", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py"), "--all-precisions"],
        cwd=tmp_path, env={**os.environ, **small, "LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["logger"].partition(".")[0] for line in lines} == {"velox"}
    assert any("Held-out images right: red_circle " in line["message"] for line in lines), "in the place of the table"


def test_every_line_of_a_training_is_our_own_or_of_the_table(small_model: Path) -> None:
    lines = (small_model / LOG).read_text().splitlines()
    assert any("Exporting" in line for line in lines)
    assert any("openvino int8" in line for line in lines)
    table = [line for line in lines if "Held-out images" in line or line[0] in "┏┃┡│└"]
    assert len(table) == 1 + 3 + 4 + 1, "title, head, a row of each label, foot"
    others = [line for line in lines if line not in table]
    wrong = [line for line in others if not re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - (INFO|WARNING) - \S", line)]
    assert wrong == []
    librarys = [
        line for line in others if re.search(r"constant folding|rewrite rules|unused nodes|pre-processing", line)
    ]
    assert librarys == []


def test_a_training_that_diverges_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", lambda logits, _targets: logits.sum() * torch.nan)
    with pytest.raises(ModelError, match="training diverged"):
        training.train(settings_in(tmp_path, samples_per_class=8, epochs=1))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_shape_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"SHAPES=circle,star: no shape star; there are circle, square, triangle"):
        training.train(settings_in(tmp_path, shapes=("circle", "star")))


def test_the_other_large_architecture_runs_through_every_step_too(tmp_path: Path) -> None:
    """The default, mobilenet_v2, does in e2e/test_default_model.py; what a full training reaches is measured."""
    settings = settings_in(tmp_path, model_arch="squeezenet1_1", samples_per_class=4, epochs=1, pretrained="none")
    card = training.train(settings)
    assert (card.architecture, card.starts_from) == ("squeezenet1_1", "scratch")
    model = ImageClassifier(settings)
    model.load("cpu")
    assert model.version == card.version
