"""The small model that `train.py` makes of the default shapes in a few seconds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

MODEL_FILES = ("model.pth", "classes.json", "model.json", "model.onnx", "model.int8.onnx")
"""What a training writes."""
LOG = "training.log"
"""What it said, beside them."""
SMALL_MODEL = {"MODEL_ARCH": "tiny_cnn", "SAMPLES_PER_CLASS": "100", "EPOCHS": "6"}
_ROOT = Path(__file__).parents[1]


def train(folder: Path) -> None:
    """Train it, as a user does."""
    env = {**os.environ, **SMALL_MODEL, "PYTHONPATH": str(_ROOT)}
    command = [sys.executable, str(_ROOT / "train.py")]
    trained = subprocess.run(
        command, cwd=folder, env=env, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert trained.returncode == 0, trained.stdout
    (folder / LOG).write_text(trained.stdout)


def install(model: Path, folder: Path) -> None:
    """Copy it to where a program looks for it."""
    for name in MODEL_FILES:
        shutil.copy(model / name, folder / name)
