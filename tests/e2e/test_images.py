"""``velox up`` with ``pipelines/images.env`` on a folder of photographs, from nothing to right names."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.photographs import SAMPLES, sample
from velox.models.card import export_path
from velox.settings import env_file

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_photographs_are_named_rightly_by_a_model_that_is_written_first(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in SAMPLES:
        shutil.copy(sample(name), photos / name)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    settings = env_file.read(REPOSITORY / "pipelines/images.env")
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "INFERENCE_PROCESSES": "1", **settings}
    ran = subprocess.run(
        [sys.executable, "-m", "velox", "up"],
        cwd=tmp_path, env=env, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "writing ImageNet's first" in ran.stdout
    assert "Produced 4 = predicted 3 + dead letters 1" in ran.stdout
    assert export_path(tmp_path / settings["MODEL_PATH"]).exists()
    with closing(sqlite3.connect(tmp_path / settings["SQLITE_PATH"])) as connection:
        rows = connection.execute("SELECT predicted_label, confidence, file_path FROM predictions").fetchall()
    expected = {name: right for name, right in SAMPLES.items() if not any(label in right for label, _, _ in rows)}
    assert expected == {}, rows
    assert len(rows) == 3
    stored = {Path(path) for _, _, path in rows if path}
    assert {path.parent.name for path in stored} == {"images"}
    assert all((tmp_path / path).read_bytes().startswith(b"\xff\xd8\xff") for path in stored)
