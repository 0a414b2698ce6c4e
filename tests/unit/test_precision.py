"""Only a precision that is shown to agree is taken unasked, and of those the fastest here."""

import fcntl
import logging
import os
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from velox import processor
from velox.models import card
from velox.models.agreement import Agreement, way
from velox.models.backends import precision, speed
from velox.models.backends.backend import (
    RUNS,
    Backend,
    Images,
    Precision,
    Probabilities,
    Runner,
    UnsupportedPrecisionError,
)
from velox.models.backends.precision import Started, fastest, judge, unmeasured
from velox.models.card import ModelCard, ModelFiles
from velox.settings import Settings

PATIENCE_S = 10.0


def agreeing(top1: float) -> Agreement:
    return Agreement(top1, 0.001, 0.01, 0, threshold=0.9, images=400)


def files(**top1: float) -> ModelFiles:
    """A model whose card has these agreements for onnxruntime."""
    precisions = {f"onnxruntime {name}": agreeing(value) for name, value in top1.items()}
    return ModelFiles(b"", ("a", "b"), "1", ModelCard("tiny_cnn", ("a", "b"), 8, "1", precisions=precisions))


class Fake:
    """Backends that answer nothing of interest, and a note of those that were started."""

    def __init__(self, *unsupported: Precision) -> None:
        self.unsupported, self.loaded = unsupported, list[Precision]()

    def load(self, chosen: Precision) -> Backend:
        self.loaded.append(chosen)
        if chosen in self.unsupported:
            raise UnsupportedPrecisionError(f"no {chosen} here")

        def answer(images: Images) -> Probabilities:
            return np.full((len(images), 2), 0.5, np.float32)

        return answer


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "model.pth").touch()
    return Settings(model_path=tmp_path / "model.pth", classes_path=tmp_path / "classes.json")


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """On this machine int8 takes 1 ms, all else 2 ms; a note of what was measured."""
    measurements: list[set[str]] = []

    def measure(backends: dict[Precision, Backend], _size: int) -> dict[Precision, float]:
        measurements.append(set(backends))
        return {name: 1.0 if name == "int8" else 2.0 for name in backends}

    monkeypatch.setattr(speed, "measure", measure)
    return measurements


def start(settings: Settings, model: ModelFiles, fake: Fake) -> Started:
    return precision.start(runner("onnxruntime", fake), settings, model, size=8)


def runner(name: str, fake: Fake, *, lacks: Precision | None = None) -> Runner:
    """As `selection` makes it, on a processor that lacks a precision."""
    return Runner(name, cache(fake.load), tuple(each for each in RUNS[name] if each != lacks))


def test_a_lock_on_the_folder_holds_nothing_up(settings: Settings, tmp_path: Path) -> None:
    """As start.sh has it while it waits for a training, which ends with a first start of the model."""
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    started = threading.Thread(target=start, args=(settings, files(int8=1.0), Fake()), daemon=True)
    started.start()
    started.join(PATIENCE_S)
    os.close(folder)
    assert not started.is_alive()


def test_what_agrees_well_enough_is_admitted() -> None:
    agreements = {"openvino bf16": agreeing(0.995), "openvino int8": agreeing(0.9949), "torch bf16": agreeing(1)}
    losing_detections = replace(agreeing(1), crossings=3)
    assert judge("torch", {"torch bf16": losing_detections}, 0.995).admitted == ("fp32",)
    verdict = judge("openvino", agreements, 0.995)
    assert verdict.admitted == ("fp32", "bf16")
    assert verdict.refused == ("int8 refused: it agrees with fp32 in 99.49% of 400 images, MIN_AGREEMENT=0.995",)


def test_what_was_never_measured_is_not_admitted() -> None:
    verdict = judge("onnxruntime", {"openvino int8": agreeing(1)}, 0.5)
    assert verdict.admitted == ("fp32",)
    assert verdict.refused == ("int8: no agreement in the model card",)


def test_what_this_processor_lacks_is_called_so_and_not_unmeasured() -> None:
    verdict = judge("openvino", {"openvino bf16": agreeing(1)}, 0.5, runs=("fp32", "int8"))
    assert verdict.admitted == ("fp32",)
    assert verdict.refused == ("bf16: not on this processor", "int8: no agreement in the model card")


@pytest.mark.parametrize(
    ("chosen", "backend", "lacks", "measured", "missing"),
    [
        ("auto", "openvino", None, [], ["bf16", "int8"]),
        ("auto", "openvino", "bf16", [], ["int8"]),
        ("auto", "openvino", None, ["openvino int8", "torch bf16"], ["bf16"]),
        ("auto", "onnxruntime", None, ["openvino int8"], ["int8"]),
        ("auto", "torch", None, ["torch bf16"], []),
        ("fp32", "openvino", None, [], []),
        ("int8", "openvino", None, [], ["int8"]),
        ("bf16", "openvino", "bf16", [], ["bf16"]),
        ("bf16", "onnxruntime", None, [], []),
    ],
)
def test_only_what_precision_may_choose_here_is_to_be_measured(
    chosen: str, backend: str, lacks: Precision | None, measured: list[str], missing: list[str], settings: Settings
) -> None:
    known = ModelCard("tiny_cnn", ("a", "b"), 8, "1", precisions=dict.fromkeys(measured, agreeing(1)))
    chosen_settings = settings.model_copy(update={"precision": chosen})
    assert unmeasured(runner(backend, Fake(), lacks=lacks), chosen_settings, known) == missing


def test_an_agreement_is_measured_again_on_a_processor_that_computes_otherwise(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(measured: str) -> list[Precision]:
        known = ModelCard("tiny_cnn", ("a", "b"), 8, "1", precisions={measured: agreeing(1)})
        return unmeasured(runner("onnxruntime", Fake()), settings, known)

    monkeypatch.setattr(processor, "capabilities", lambda: ("AVX2", "VNNI"))
    assert missing(way("onnxruntime", "int8")) == missing("onnxruntime int8 (AVX2, VNNI)") == []
    assert missing("onnxruntime int8 (AVX2)") == ["int8"]
    assert missing("onnxruntime int8") == [], "an older card, which tells of no processor"
    monkeypatch.setattr(processor, "capabilities", lambda: ())
    assert missing(way("onnxruntime", "int8")) == []


def test_where_it_cannot_be_measured_again_another_processors_agreement_counts_and_the_log_says_so(
    settings: Settings,
) -> None:
    for top1, precision_, said in (
        (1.0, "int8", "agrees with fp32 in 100.00% of 400 images on another processor"),
        (0.9, "fp32", "int8 refused: it agrees with fp32 in 90.00% of 400 images on another processor, MIN_AGREEMENT"),
    ):
        elsewhere = ModelCard(
            "tiny_cnn", ("a", "b"), 8, "1", precisions={"onnxruntime int8 (none such)": agreeing(top1)}
        )
        started = start(settings, ModelFiles(b"", ("a", "b"), "1", elsewhere), Fake())
        assert started.precision == precision_
        assert said in started.why


def test_an_int8_that_can_neither_be_made_nor_is_there_is_not_to_be_measured(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "is_installed", lambda _package: False)
    int8 = runner("openvino", Fake(), lacks="bf16")
    assert unmeasured(int8, settings, None) == []
    card.write_quantised(b"made elsewhere", settings.model_path)
    assert unmeasured(int8, settings, None) == ["int8"]


def test_the_fastest_is_chosen_and_one_that_is_hardly_faster_is_not() -> None:
    assert fastest({"fp32": 4.2, "bf16": 7.0, "int8": 1.3}) == "int8"
    assert fastest({"fp32": 4.2, "bf16": 7.0}) == "fp32"
    assert fastest({"fp32": 4.0, "bf16": 2.0, "int8": 1.95}) == "bf16"


def test_auto_takes_what_passes_and_says_why(settings: Settings) -> None:
    started = start(settings, files(int8=0.9975), Fake())
    assert started.precision == "int8"
    assert started.why == "1.00 ms an image here, fp32 2.00 ms; agrees with fp32 in 99.75% of 400 images"
    assert not started.is_doubtful


def test_auto_refuses_what_does_not_pass_and_says_why(settings: Settings) -> None:
    fake = Fake()
    started = start(settings, files(int8=0.9), fake)
    assert (started.precision, fake.loaded) == ("fp32", ["fp32"])
    assert started.why == "int8 refused: it agrees with fp32 in 90.00% of 400 images, MIN_AGREEMENT=0.995"
    lenient = settings.model_copy(update={"min_agreement": 0.9})
    assert start(lenient, files(int8=0.9), fake).precision == "int8"


def test_a_model_without_a_card_runs_in_float32_and_it_says_so(settings: Settings) -> None:
    started = start(settings, ModelFiles(b"", ("a", "b"), "1", None), Fake())
    assert (started.precision, started.why) == ("fp32", "int8: no agreement in the model card")


def test_speeds_are_measured_once_for_a_model_a_backend_and_a_processor(
    settings: Settings, measured: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = files(int8=1)
    for _ in range(2):
        assert start(settings, model, Fake()).precision == "int8"
    assert measured == [{"fp32", "int8"}]
    assert speed.recall(settings.model_path, "2", "onnxruntime 1") == {}
    monkeypatch.setattr(processor, "identity", lambda: "another")
    start(settings, model, Fake())
    assert len(measured) == 2


def test_speeds_that_lack_what_is_admitted_since_are_measured_again(
    settings: Settings, measured: list[set[str]]
) -> None:
    start(settings, files(int8=1), Fake("int8"))
    assert start(settings, files(int8=1), Fake()).precision == "int8"
    assert measured == [{"fp32"}, {"fp32", "int8"}]


def test_a_second_start_loads_only_what_it_runs(settings: Settings) -> None:
    start(settings, files(int8=1), Fake())
    fake = Fake()
    start(settings, files(int8=1), fake)
    assert fake.loaded == ["int8"]


def test_in_a_folder_that_cannot_be_written_every_start_chooses(
    settings: Settings, measured: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_args: False)
    for _ in range(2):
        assert start(settings, files(int8=1), Fake()).precision == "int8"
    assert len(measured) == 2
    assert list(settings.model_path.parent.iterdir()) == [settings.model_path], "nothing is written"


def test_a_damaged_memory_of_speeds_is_measured_anew(settings: Settings, measured: list[set[str]]) -> None:
    start(settings, files(int8=1), Fake())
    whole = speed.path_for(settings.model_path).read_bytes()
    for content in (b"", b"[1]", whole.replace(b"{", b"[", 1), whole.replace(b"2.0", b'"2"'), b"\xff"):
        speed.path_for(settings.model_path).write_bytes(content)
        assert start(settings, files(int8=1), Fake()).precision == "int8"
    assert len(measured) == 6


def test_what_this_machine_cannot_run_is_left_out(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert start(settings, files(int8=1), Fake("int8")).precision == "fp32"
    assert "not in int8: no int8 here" in caplog.text


def test_what_was_measured_and_is_gone_costs_a_warning_not_the_start(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    start(settings, files(int8=1), Fake())
    assert start(settings, files(int8=1), Fake("int8")).precision == "fp32"
    assert "not in int8: no int8 here" in caplog.text


def test_a_forced_precision_is_used_and_doubted_when_nothing_shows_that_it_agrees(settings: Settings) -> None:
    forced = settings.model_copy(update={"precision": "int8"})
    for model, why in (
        (files(int8=0.5), "PRECISION=int8; int8 refused: it agrees with fp32 in 50.00% of 400 images"),
        (files(), "PRECISION=int8; int8: no agreement in the model card"),
    ):
        started = start(forced, model, Fake())
        assert started.precision == "int8"
        assert started.is_doubtful
        assert started.why.startswith(why)
    assert not start(forced, files(int8=1), Fake()).is_doubtful


def test_a_forced_precision_that_the_backend_lacks_is_an_error_with_the_remedy(settings: Settings) -> None:
    forced = settings.model_copy(update={"precision": "bf16"})
    with pytest.raises(UnsupportedPrecisionError, match=r"onnxruntime cannot .*set BACKEND=openvino or BACKEND=torch"):
        start(forced, files(), Fake())


def test_agreements_survive_the_card(settings: Settings) -> None:
    described = ModelCard(
        "tiny_cnn", ("a", "b"), 8, card.version_of(b"w", ("a", "b")),
        precisions={"openvino int8": agreeing(0.9975)}, profiles={"fast": agreeing(0.98)},
    )  # fmt: skip
    card.write(described, b"w", model_path=settings.model_path, classes_path=settings.classes_path)
    assert card.read(settings.model_path, settings.classes_path).card == described
