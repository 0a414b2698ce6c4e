"""Models and records that spoil a prediction or its process: only what is bad pays."""

import io
import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.e2e.pipeline import PATIENCE_S, REPOSITORY
from tests.faults.conftest import LedgerFactory

FAULTY = "tests.faults.models:FaultyModel"
GIB = 1024**3


@pytest.mark.fault("model answers NaN", "a dead letter for that record alone")
def test_a_confidence_that_is_no_number_costs_only_its_record(ledger: LedgerFactory) -> None:
    one = ledger(MODEL=FAULTY)
    one.doomed = {"nan 30"}
    one.load.begin(text=lambda number: f"nan {number}" if number == 30 else f"good {number}")
    consumer = one.consume()
    one.wait_until_stored(100)
    one.fault()
    one.finish(consumer)
    assert one.pipeline.reasons() == {"bad_prediction": 1}


@pytest.mark.fault("record needs more memory than the process may have", "a dead letter for that record alone")
@pytest.mark.parametrize("where", ["decode", "predict"])
def test_a_record_that_needs_too_much_memory_costs_only_itself(ledger: LedgerFactory, where: str) -> None:
    one = ledger(MODEL=FAULTY)
    consumer = one.consume()
    consumer.wait_until_ready()
    for process in consumer.inference_processes():
        psutil.Process(process.pid).rlimit(resource.RLIMIT_AS, (4 * GIB, 4 * GIB))
    doomed = f"eat in {where}"
    one.doomed = {doomed}
    one.load.publish(*(doomed if number == 30 else f"good {number}" for number in range(60)))
    one.fault()
    one.wait_until_stored(59)
    one.finish(consumer, may_trace=True)
    assert one.pipeline.reasons().total() == 1


@pytest.mark.fault("record kills every process that has it", "found among its neighbours, a dead letter for it alone")
@pytest.mark.representative
@pytest.mark.parametrize("how", ["die", "hang"])
def test_a_record_that_spoils_its_process_costs_only_itself(ledger: LedgerFactory, how: str) -> None:
    one = ledger(INFERENCE_TIMEOUT_S=1)
    one.doomed = {f"{how} 30"}
    one.load.begin(text=lambda number: f"{how if number == 30 else 'good'} {number}")
    consumer = one.consume()
    consumer.wait_until_it_says("replacing it")
    one.fault()
    one.wait_until_stored(200)
    one.finish(consumer)
    assert one.pipeline.reasons() == {"killed_inference": 1}


@pytest.mark.fault(
    "model file spoiled while it runs, then a process dies", "exit code 2, one clear line; nothing is lost"
)
def test_a_model_that_cannot_be_loaded_again_ends_the_consumer(ledger: LedgerFactory) -> None:
    one = ledger(MODEL=FAULTY)
    one.load.begin()
    first = one.consume()
    one.wait_until_stored(50)
    spoiled = one.pipeline.folder / "spoiled"
    spoiled.touch()
    first.inference_processes()[0].kill()
    assert first.process.wait(PATIENCE_S) == 2
    assert first.output.strip().splitlines()[-1] == (
        "velox consume: MODEL_PATH: the file is spoiled; train the model again"
    )
    one.check_no_orphans()
    spoiled.unlink()
    one.fault()
    second = one.consume()
    one.wait_for_more()
    one.finish(second)


class _MakesFolder:
    """A pickle that runs code when it is loaded."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self._path,)


def _truncated(folder: Path) -> None:
    weights = (folder / "model.pth").read_bytes()
    (folder / "model.pth").write_bytes(weights[: len(weights) // 2])


def _pickle(folder: Path) -> None:
    buffer = io.BytesIO()
    pickle.dump(_MakesFolder(str(folder / "ran")), buffer)
    (folder / "model.pth").write_bytes(buffer.getvalue())


def _missing(folder: Path) -> None:
    (folder / "model.pth").unlink()


def _no_labels(folder: Path) -> None:
    (folder / "classes.json").write_text('{"0": "only_one"}')


SPOIL = {
    "truncated": _truncated,
    "a pickle with code": _pickle,
    "missing": _missing,
    "other labels": _no_labels,
}


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole model that was never trained."""
    folder = tmp_path_factory.mktemp("random-model")
    code = (
        "import pathlib; from tests.models import save_untrained; from velox.settings import Settings; "
        f"folder = pathlib.Path({str(folder)!r}); "
        "save_untrained('tiny_cnn', Settings(model_path=folder / 'model.pth', classes_path=folder / 'classes.json'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
    return folder


@pytest.mark.fault(
    "model file spoiled before the start", "exit code 2, one line that names the file; no code in it runs"
)
@pytest.mark.parametrize("how", SPOIL)
def test_a_spoiled_model_ends_the_start_with_one_clear_line(
    ledger: LedgerFactory, tmp_path: Path, random_model: Path, how: str
) -> None:
    for name in ("model.pth", "classes.json", "model.json"):
        shutil.copy(random_model / name, tmp_path / name)
    SPOIL[how](tmp_path)
    one = ledger(CODEC="framed", MODEL="velox.models.image_classifier:ImageClassifier", MODEL_ARCH="tiny_cnn")
    consumer = one.consume()
    assert consumer.process.wait(PATIENCE_S) == 2, consumer.output
    last = consumer.output.strip().splitlines()[-1]
    assert last.startswith("velox consume: ")
    assert "model.pth" in last or "classes.json" in last
    assert not consumer.says("Traceback")
    assert not (tmp_path / "ran").exists()
    one.check_no_orphans()
