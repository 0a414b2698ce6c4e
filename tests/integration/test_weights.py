"""Weights from elsewhere: what other programs wrap them in is taken off, and what is none is named for what it is."""

import io
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.models import State, lively, untrained
from velox.errors import ModelError
from velox.models.architectures import ARCHITECTURES
from velox.models.backends.weights import load_network
from velox.models.image_classifier import ImageClassifier
from velox.settings import Settings

TINY = ARCHITECTURES["tiny_cnn"]


class Payload:
    """What an attacker would put in a pickle."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pwned",)


def as_torch_file(content: object, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def as_program(network: nn.Module) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # torch would rather export
        torch.jit.save(torch.jit.script(network.eval()), buffer)
    return buffer.getvalue()


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def changed(change: Callable[[State], object]) -> bytes:
    """A state dict that no longer fits."""

    def apply(state: State) -> None:
        change(state)

    return untrained("tiny_cnn", 4, change=apply)


WRAPPED: dict[str, Callable[[State], object]] = {
    "nothing": lambda state: state,
    "DataParallel": lambda state: prefixed(state, "module."),
    "torch.compile": lambda state: prefixed(state, "_orig_mod."),
    "both": lambda state: prefixed(state, "module._orig_mod."),
    "torch.compile of a part": lambda state: {name.replace("14.", "14._orig_mod."): state[name] for name in state},
    "Lightning": lambda state: {"epoch": 3, "state_dict": prefixed(state, "model."), "hyper_parameters": {"lr": 0.1}},
    "a checkpoint": lambda state: {"model": state, "optimizer": {"state": {}}, "best": 0.5},
    "another checkpoint": lambda state: {"model_state_dict": prefixed(state, "module."), "epoch": 3},
    "two checkpoints": lambda state: {"state_dict": {"model": state, "step": 9}},
}
"""How other programs keep a state dict."""

DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", " is empty; "),
    "text": (lambda: b"not a model", ": damaged, or no torch state dict"),
    "a part": (lambda: untrained("tiny_cnn", 4)[:9000], " is cut short or damaged; "),
    "a pickle": (lambda: pickle.dumps(Payload()), ": damaged, or no torch state dict"),
    "a pickle in a torch file": (lambda: as_torch_file(Payload()), ": holds objects besides tensors"),
    "a whole network": (
        lambda: as_torch_file(TINY.build(4)),
        r": holds objects .* save the network's state_dict\(\) alone",
    ),
    "a checkpoint with an object": (lambda: as_torch_file({"model": {}, "args": Path()}), ": holds objects besides"),
    "a list": (lambda: as_torch_file([1, 2]), ": holds a list, not a state dict"),
    "an empty state dict": (lambda: as_torch_file({}), ": holds a dict, not a state dict"),
    "a checkpoint without weights": (
        lambda: as_torch_file({"model": {"epoch": 1}}),
        ": holds a dict, not a state dict",
    ),
    "numbers for names": (lambda: as_torch_file({0: torch.zeros(1)}), ": holds a dict, not a state dict"),
    "a program": (lambda: as_program(TINY.build(4)), " is a TorchScript program; "),
    "other labels": (lambda: untrained("tiny_cnn", 5), ": .* are the labels in CLASSES_PATH those of this model"),
    "another network": (
        lambda: as_torch_file(prefixed(ARCHITECTURES["squeezenet1_1"].build(4).state_dict(), "module.")),
        ": not the weights of a tiny_cnn, as it .*; it fits squeezenet1_1: set MODEL_ARCH=squeezenet1_1",
    ),
    "an unknown network": (
        lambda: as_torch_file({"conv1.weight": torch.zeros(1)}),
        r": not the weights of a tiny_cnn, as it lacks 0\.weight and has conv1\.weight; a network that is none of",
    ),
    "a tensor too many": (lambda: changed(lambda state: state.update(more=torch.zeros(1))), ": .* as it has more; "),
    "a tensor too few": (lambda: changed(lambda state: state.popitem()), r": .* as it lacks 14\.bias; "),
    "one prefix": (
        lambda: changed(lambda state: state.update({"module.14.bias": state.pop("14.bias")})),
        r": .* has module\.14\.bias; ",
    ),
    "a name twice": (
        lambda: changed(lambda state: state.update({"_orig_mod.14.bias": torch.zeros(4)})),
        r": .* has _orig_mod\.14\.bias; ",
    ),
}
"""What lies in place of the weights, and what is said of it after the file's name."""


def settings_in(folder: Path, labels: str, **given: object) -> Settings:
    paths = {"model_path": folder / "model.pth", "classes_path": folder / "classes.json"}
    (folder / "classes.json").write_text(labels)
    return Settings.model_validate({**paths, "backend": "torch", **given})


def classifier(settings: Settings) -> ImageClassifier:
    model = ImageClassifier(settings)
    model.load("cpu")
    return model


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", WRAPPED)
def test_what_a_program_has_wrapped_weights_in_is_taken_off(wrapper: str, legacy: bool) -> None:
    state: State = dict(lively("tiny_cnn").state_dict())
    weights = as_torch_file(WRAPPED[wrapper](state), legacy=legacy)
    loaded = load_network(TINY, weights, classes=4, source="weights").state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_prefix_is_taken_off_the_names_of_every_network(name: str) -> None:
    weights = as_torch_file(prefixed(ARCHITECTURES[name].build(3).state_dict(), "module."))
    load_network(ARCHITECTURES[name], weights, classes=3, source="weights")


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_no_weights_is_named_in_one_line_and_nobody_is_told_to_train_over_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, said = DAMAGED[kind]
    settings = settings_in(Path(), '{"0": "a", "1": "b", "2": "c", "3": "d"}', model_arch="tiny_cnn")
    settings.model_path.write_bytes(make())
    with pytest.raises(ModelError, match=rf"^model\.pth{said}") as caught:
        classifier(settings)
    assert "\n" not in str(caught.value)
    assert "train" not in str(caught.value)
    assert not Path("pwned").exists()


def test_a_foreign_mobilenet_needs_no_card(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, '{"0": "cat", "1": "dog"}', model_arch="mobilenet_v2")
    settings.model_path.write_bytes(untrained("mobilenet_v2", 2))
    model = classifier(settings)
    assert (model.name, tuple(model.labels)) == ("mobilenet_v2", ("cat", "dog"))
    assert model.decode(model.sample()).shape == (224, 224, 3)
