"""What every model keeps to, whatever it is made of."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
from PIL import Image

from examples.mean_color import MeanColorModel
from tests import foreign_text_model
from tests.models import save_exported, save_untrained
from tests.pictures import encoded, turned_by_exif
from velox.consumer.checking import checked
from velox.errors import BadRecordError
from velox.models import published
from velox.models.architectures import ARCHITECTURES
from velox.models.image_classifier import ImageClassifier
from velox.models.imagenet import ImageNetClassifier
from velox.models.lexicon_sentiment import LexiconSentiment
from velox.models.model import Model
from velox.models.text_classifier import TextClassifier
from velox.settings import Settings
from velox.settings.model import IMAGENET
from velox.sources.drawing import draw

pytestmark = pytest.mark.usefixtures("one_torch_thread")

Maker = Callable[[], Model]
Payload = Callable[[str], bytes]
COLORS = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}


def image(color: str, form: str = ".jpg") -> bytes:
    drawn = draw("circle", color=COLORS[color], height=200, width=300, center=(150, 100), size=60)
    return cv2.imencode(form, drawn)[1].tobytes()


TEXTS = {"red": "I love it.", "green": "It is horrible.", "blue": "It is blue."}
IMAGE_MODELS = (
    *(f"{name} torch" for name in ARCHITECTURES),
    *("tiny_cnn openvino", "tiny_cnn onnxruntime", "imagenet torch", "examples.mean_color"),
)
TEXT_MODELS = ("lexicon_sentiment", "text_classifier onnxruntime")

each_image_model = pytest.mark.parametrize("kind", IMAGE_MODELS, scope="module")


@pytest.fixture(params=[*IMAGE_MODELS, *TEXT_MODELS], scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def payload(kind: str) -> Payload:
    """Builds payloads of the model's kind, one for each colour."""
    return (lambda color: TEXTS[color].encode()) if kind in TEXT_MODELS else image


@pytest.fixture(scope="module")
def make(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Builds the model; a network has random weights, but for ImageNet: the contract asks for no particular answer."""
    name, _, backend = kind.partition(" ")
    folder = tmp_path_factory.mktemp("model")
    paths = {"model_path": folder / "model.pth", "classes_path": folder / "classes.json"}
    given = {"colors": COLORS, "batch_size": 4, "backend": backend or "auto", "precision": "fp32"}
    settings = Settings.model_validate({**given, **paths})
    if name == "lexicon_sentiment":
        return lambda: LexiconSentiment(settings)
    if name == "text_classifier":
        foreign_text_model.write(folder)
        settings = settings.model_copy(update={"model_path": folder})
        return lambda: TextClassifier(settings)
    if not backend:
        return lambda: MeanColorModel(settings)

    if name == "imagenet":
        settings = settings.model_copy(update={"model": IMAGENET})
        settings.model_path.write_bytes(published.weights_of(ARCHITECTURES["mobilenet_v2"]))
        labels = published.labels_of(ARCHITECTURES["mobilenet_v2"])
        settings.classes_path.write_text(json.dumps({str(index): label for index, label in enumerate(labels)}))
        return lambda: ImageNetClassifier(settings)

    def classifier() -> Model:
        return ImageClassifier(settings)

    (save_untrained if backend == "torch" else save_exported)(name, settings)
    return classifier


@pytest.fixture(scope="module")
def model(make: Maker) -> Model:
    """The model, loaded once: what it has predicted changes nothing."""
    made = make()
    made.load("cpu")
    return made


def test_building_a_model_touches_no_file(tmp_path: Path) -> None:
    nowhere = Settings(model_path=tmp_path / "nowhere.pth", classes_path=tmp_path / "nowhere.json")
    ImageClassifier(nowhere)
    ImageNetClassifier(nowhere)
    MeanColorModel(nowhere)
    LexiconSentiment(nowhere)
    TextClassifier(nowhere)


def test_a_loaded_model_says_what_it_is(model: Model) -> None:
    assert model.name
    assert model.version
    assert len(model.labels) >= 2
    assert len(set(model.labels)) == len(model.labels)


def test_the_version_is_the_same_at_every_start(make: Maker) -> None:
    first, second = make(), make()
    first.load("cpu")
    second.load("cpu")
    assert first.version == second.version


def test_a_prediction_is_a_known_label_with_a_probability(model: Model, payload: Payload) -> None:
    (prediction,) = model.predict([model.decode(payload("red"))])
    assert not isinstance(prediction, BadRecordError)
    assert prediction.label in model.labels
    assert 0 <= prediction.confidence <= 1
    assert type(prediction.confidence) is float
    assert checked(prediction) == prediction, "its scores and boxes too"


def test_predictions_come_in_the_order_of_the_inputs(model: Model, payload: Payload) -> None:
    inputs = [model.decode(payload(color)) for color in ("red", "green", "blue", "green")]
    together = model.predict(inputs)
    alone = [model.predict([one])[0] for one in inputs]
    assert len(together) == len(inputs)
    for a, b in zip(together, alone, strict=True):
        assert not isinstance(a, BadRecordError)
        assert not isinstance(b, BadRecordError)
        assert a.label == b.label
        assert a.confidence == pytest.approx(b.confidence, abs=1e-4)


@each_image_model
def test_jpeg_and_png_are_read(model: Model) -> None:
    assert len(model.predict([model.decode(image("red", form)) for form in (".jpg", ".png")])) == 2


@pytest.mark.parametrize(("orientation", "top"), [("exif", "red"), ("stored", "both")])
def test_an_image_is_turned_as_the_settings_say(tmp_path: Path, orientation: str, top: str) -> None:
    paths = {"model_path": tmp_path / "model.pth", "classes_path": tmp_path / "classes.json"}
    settings = Settings.model_validate({"image_orientation": orientation, "backend": "torch", **paths})
    save_untrained("tiny_cnn", settings)
    model = ImageClassifier(settings)
    model.load("cpu")
    red_left = Image.new("RGB", (64, 64), "blue")
    red_left.paste("red", (0, 0, 32, 64))
    row = model.decode(encoded(red_left, "PNG", exif=turned_by_exif(6)))[0]
    assert ("both" if (row[0] != row[-1]).any() else "red") == top


@pytest.mark.parametrize("unreadable", [b"", b"\xff\xfe", image("red")[:400]], ids=["empty", "neither", "truncated"])
def test_a_payload_that_cannot_be_read_is_a_bad_record_and_the_next_is_not(
    model: Model, payload: Payload, unreadable: bytes
) -> None:
    with pytest.raises(BadRecordError):
        model.decode(unreadable)
    assert len(model.predict([model.decode(payload("red"))])) == 1


@each_image_model
def test_a_page_is_no_image(model: Model) -> None:
    with pytest.raises(BadRecordError):
        model.decode(b"<html>")


def test_the_example_names_the_colour(tmp_path: Path) -> None:
    example = MeanColorModel(Settings(colors=COLORS))
    example.load("cpu")
    predictions = example.predict([example.decode(image(color)) for color in COLORS])
    assert [prediction.label for prediction in predictions] == list(COLORS)
    assert all(prediction.confidence > 0.9 for prediction in predictions)


@pytest.mark.parametrize("backend", ["torch", "openvino", "onnxruntime"])
def test_a_network_that_answers_nan_gives_an_error_for_that_item(backend: str, tmp_path: Path) -> None:
    paths = {"model_path": tmp_path / "model.pth", "classes_path": tmp_path / "classes.json"}
    settings = Settings.model_validate({"backend": backend, "precision": "fp32", **paths})

    def poison(state: dict[str, torch.Tensor]) -> None:
        state["14.weight"].fill_(torch.nan)

    save_exported("tiny_cnn", settings, change=poison)
    model = ImageClassifier(settings)
    model.load("cpu")
    (answer,) = model.predict([model.decode(image("red"))])
    assert isinstance(answer, BadRecordError)
    assert answer.reason == "bad_prediction"
