"""Every backend in every precision gives the same answers, each as exactly as its numbers allow."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from torch import nn

from tests.models import lively, some_images
from velox.loading import load_class
from velox.models.architectures import ARCHITECTURES
from velox.models.backends.backend import PRECISIONS, RUNS, Backend, Precision, UnsupportedPrecisionError
from velox.models.backends.selection import EXPORTED
from velox.models.backends.torch_backend import TorchBackend
from velox.models.export import to_onnx
from velox.models.quantisation import quantise

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SIZE = ARCHITECTURES["tiny_cnn"].input_size
WITHIN = {"fp32": 1e-4, "bf16": 0.03, "int8": 0.1}
WAYS = [(backend, precision) for backend, runs in RUNS.items() for precision in runs]
Begin = Callable[[str, Precision], Backend]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return lively("tiny_cnn")


@pytest.fixture(scope="module")
def export(network: nn.Module) -> bytes:
    return to_onnx(network, ARCHITECTURES["tiny_cnn"], "1")


@pytest.fixture(scope="module")
def int8(export: bytes) -> bytes:
    return quantise(export, some_images(16, SIZE))


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory, network: nn.Module, export: bytes, int8: bytes) -> Begin:
    """Starts a backend for the same small network."""
    folder = tmp_path_factory.mktemp("exports")
    (folder / "model.onnx").write_bytes(export)
    (folder / "model.int8.onnx").write_bytes(int8)

    def start(name: str, precision: Precision) -> Backend:
        if name == "torch":
            return TorchBackend(copy.deepcopy(network), "cpu", precision)
        path: Path = folder / ("model.int8.onnx" if precision == "int8" else "model.onnx")
        backend: Backend = load_class(EXPORTED[name][1])(path, "tiny_cnn 1", precision)
        return backend

    return start


@pytest.mark.parametrize(("name", "precision"), WAYS)
def test_answers_are_those_of_float32_but_for_rounding(name: str, precision: Precision, begin: Begin) -> None:
    try:
        backend = begin(name, precision)
    except UnsupportedPrecisionError:
        pytest.skip(f"no {precision} on this processor")
    batch = some_images(9, SIZE)
    expected, probabilities = begin("torch", "fp32")(batch), backend(batch)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == expected.shape
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.abs(probabilities - expected).max() < WITHIN[precision]
    if (name, precision) != ("torch", "fp32"):
        assert not np.array_equal(probabilities, expected)
    assert np.abs(backend(batch[:1]) - probabilities[:1]).max() < WITHIN[precision]
    assert not np.allclose(probabilities, backend(np.zeros_like(batch)), atol=1e-3)


@pytest.mark.parametrize("precision", [each for each in PRECISIONS if each not in RUNS["torch"]])
def test_torch_refuses_what_it_cannot_run(precision: Precision, begin: Begin) -> None:
    with pytest.raises(UnsupportedPrecisionError):
        begin("torch", precision)


def test_normalisation_and_softmax_stay_in_float(int8: bytes) -> None:
    nodes = list(onnx.load_model_from_string(int8).graph.node)
    rounded = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    reads_rounded = [(node.op_type, bool(set(node.input) & rounded)) for node in nodes]
    first = [kind for kind, _ in reads_rounded].index("Conv")
    assert not any(reads for kind, reads in reads_rounded[:first] if kind in {"Mul", "Add"})
    assert {kind for kind, _ in reads_rounded[:first]} >= {"Mul", "Add"}
    assert [reads for kind, reads in reads_rounded if kind in {"Conv", "Gemm"}] == [True] * 5
