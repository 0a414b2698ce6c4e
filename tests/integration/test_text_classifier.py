"""A network for texts: trained tiny, saved as transformers does, loaded as any other."""

import json
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_text_model import LABELS, sentences
from velox.errors import BadRecordError, ModelError
from velox.models.remarks import take_remark
from velox.models.text_classifier import TextClassifier
from velox.models.transformer import agreements, folder, starting
from velox.models.transformer.batches import classify
from velox.models.transformer.onnx_network import OnnxNetwork
from velox.models.transformer.tokens import Tokenizer
from velox.records import Prediction
from velox.settings import Settings
from velox.settings.model import TRANSFORMER

pytestmark = pytest.mark.timeout(400)
"""The first test waits until the network is trained and exported; some export it again."""

HELD_OUT = 400


@pytest.fixture(scope="module")
def held_out() -> list[tuple[str, str]]:
    return [*islice(sentences(2), HELD_OUT)]


@pytest.fixture
def copied(tiny_text_model: Path, tmp_path: Path) -> Path:
    """A folder that a test may change."""
    return Path(shutil.copytree(tiny_text_model, tmp_path / "model"))


def loaded(place: Path, **settings: object) -> TextClassifier:
    patient = {"inference_start_timeout_s": 390}  # a busy machine exports slowly, and that is not the subject
    given = {"model_path": place, "model": TRANSFORMER, **patient, **settings}
    model = TextClassifier(Settings.model_validate(given))
    model.load("cpu")
    return model


def judged(model: TextClassifier, *texts: str) -> list[Prediction]:
    answers = model.predict([model.decode(text.encode()) for text in texts])
    return [answer for answer in answers if isinstance(answer, Prediction)]


@pytest.mark.parametrize(
    ("backend", "precision"), [("auto", "auto"), ("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("torch", "fp32")]
)
def test_it_is_right_about_texts_it_has_never_seen(
    tiny_text_model: Path, held_out: list[tuple[str, str]], backend: str, precision: str
) -> None:
    model = loaded(tiny_text_model, backend=backend, precision=precision)
    assert model.labels == LABELS
    answers = judged(model, *(text for text, _ in held_out))
    right = sum(answer.label == label for answer, (_, label) in zip(answers, held_out, strict=True))
    assert right >= 0.95 * HELD_OUT


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love this product!", "POSITIVE"),
        ("i love this product", "POSITIVE"),
        ("This is terrible!!!", "NEGATIVE"),
        ("THIS IS TERRIBLE", "NEGATIVE"),
    ],
)
def test_punctuation_and_capitals_are_no_opinion(tiny_text_model: Path, text: str, label: str) -> None:
    (answer,) = judged(loaded(tiny_text_model), text)
    assert answer.label == label
    assert answer.confidence > 0.9


def test_all_labels_are_in_the_scores_best_first(tiny_text_model: Path) -> None:
    (answer,) = judged(loaded(tiny_text_model), "What a lovely kettle!")
    assert [label for label, _ in answer.scores] == ["POSITIVE", "NEGATIVE"]
    assert answer.scores[0] == (answer.label, answer.confidence)
    assert sum(score for _, score in answer.scores) == pytest.approx(1, abs=1e-5)


def test_a_batch_of_mixed_lengths_is_answered_in_its_order(
    tiny_text_model: Path, held_out: list[tuple[str, str]]
) -> None:
    model = loaded(tiny_text_model, precision="fp32")
    texts = [text * (1 + number % 9) for number, (text, _) in enumerate(held_out[:40])]
    together = judged(model, *texts)
    alone = [judged(model, text)[0] for text in texts]
    assert [answer.label for answer in together] == [answer.label for answer in alone]
    assert [answer.confidence for answer in together] == pytest.approx(
        [answer.confidence for answer in alone], abs=1e-4
    )


def test_a_text_that_is_too_long_is_cut_which_is_remarked(tiny_text_model: Path) -> None:
    model = loaded(tiny_text_model)
    take_remark()
    assert len(model.decode(b"lovely " * 600)) == 512
    assert take_remark() == "a text of more than 512 tokens: the model has read the first 512"
    assert len(model.decode(b"lovely")) < 10
    assert take_remark() == ""


def test_what_it_cannot_read_is_a_bad_record(tiny_text_model: Path) -> None:
    model = loaded(tiny_text_model, max_text_characters=100)
    for payload in (b"\xff", b" ", b"x" * 101):
        with pytest.raises(BadRecordError):
            model.decode(payload)


def test_int8_agrees_with_float32_which_is_written_down(
    tiny_text_model: Path, held_out: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    files = folder.read(tiny_text_model)
    agreement = agreements.recall(tiny_text_model, files.version)
    assert agreement is not None
    assert agreement.least >= 0.995
    exact, int8 = OnnxNetwork(files.export), OnnxNetwork(files.quantised)
    assert exact.identity == int8.identity == files.version
    assert files.quantised.stat().st_size < 0.5 * files.export.stat().st_size
    tokenize = Tokenizer(files)
    texts = [tokenize(text) for text, _ in held_out]
    answers = [classify(network, texts, pad_token=files.pad_token) for network in (exact, int8)]
    assert (answers[0].argmax(1) == answers[1].argmax(1)).mean() >= 0.99
    assert not np.array_equal(answers[0], answers[1]), "they are two networks"
    with caplog.at_level("INFO"):
        loaded(tiny_text_model)
    assert "ONNX Runtime runs the model in int8 (agrees with fp32 in" in caplog.text


def test_int8_that_is_known_to_agree_starts_without_the_export(copied: Path, tiny_text_model: Path) -> None:
    (copied / "model.onnx").unlink()
    model = loaded(copied)
    assert model.version == loaded(tiny_text_model).version
    assert judged(model, "What a lovely kettle!")[0].label == "POSITIVE"
    assert not (copied / "model.onnx").exists()


def test_int8_that_does_not_agree_is_not_taken(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    note = json.loads((copied / "velox.json").read_text())
    for measured in note["precisions"].values():
        measured.update(top1=0.98, crossings=0)
    (copied / "velox.json").write_text(json.dumps(note))
    with caplog.at_level("INFO"):
        loaded(copied)
    assert "in fp32 (int8 agrees with fp32 in 98.00% of 256 texts, less than MIN_AGREEMENT=0.995)" in caplog.text


def test_a_first_start_makes_what_is_missing(copied: Path) -> None:
    for name in ("model.onnx", "model.int8.onnx", "velox.json"):
        (copied / name).unlink()
    model = loaded(copied)
    assert judged(model, "What a lovely kettle!")[0].label == "POSITIVE"
    assert {"model.onnx", "model.int8.onnx", "velox.json"} <= {path.name for path in copied.iterdir()}


def test_an_export_of_other_weights_is_not_used(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    config["id2label"] = {"0": "bad", "1": "good"}
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="exported from version"):
        starting.exported(folder.read(copied))


def test_the_export_runs_without_weights_torch_and_transformers(copied: Path, tiny_text_model: Path) -> None:
    (copied / "model.safetensors").unlink()
    model = loaded(copied)
    assert model.version == loaded(tiny_text_model).version
    assert judged(model, "What a horrible novel!")[0].label == "NEGATIVE"


def test_an_inference_process_loads_neither_torch_nor_transformers(tiny_text_model: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from velox.models.text_classifier import TextClassifier
from velox.settings import Settings
model = TextClassifier(Settings(model_path=Path({str(tiny_text_model)!r})))
model.load("cpu")
model.predict([model.decode(b"lovely")])
print(sorted({{"torch", "transformers", "onnx", "huggingface_hub"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=Path.cwd())
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backend": "openvino"}, "BACKEND=openvino"),
        ({"precision": "bf16"}, "PRECISION=bf16"),
        ({"backend": "torch", "precision": "int8"}, "PRECISION=int8"),
    ],
)
def test_what_it_cannot_do_is_said(tiny_text_model: Path, settings: dict[str, str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        loaded(tiny_text_model, **settings)


def test_weights_that_are_damaged_are_one_clear_error(copied: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"cannot be exported: .*transformers cannot read it"):
        loaded(copied)


def test_a_tokenizer_in_an_older_form_is_read(copied: Path) -> None:
    vocabulary = json.loads((copied / "tokenizer.json").read_text())["model"]["vocab"]
    (copied / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    (copied / "tokenizer_config.json").write_text('{"do_lower_case": true, "tokenizer_class": "DistilBertTokenizer"}')
    for name in ("tokenizer.json", "model.safetensors"):  # without weights the export stays what it is
        (copied / name).unlink()
    assert judged(loaded(copied, precision="fp32"), "What a lovely kettle!")[0].label == "POSITIVE"
    assert (copied / "tokenizer.json").is_file()
