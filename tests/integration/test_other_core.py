"""Work in a process beside this one ends with it, and is done here when that process ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from velox.models.other_core import OtherCore
from velox.settings import Settings

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 30.0

BEGINS = """
import os, time
from velox.models.other_core import OtherCore
from velox.settings import Settings

if __name__ == "__main__":
    with OtherCore(Settings()) as other_core:
        print(other_core.begin(os.getpid)(), flush=True)
        other_core.begin(time.sleep, 600)()
"""


def test_it_is_done_in_another_process() -> None:
    with OtherCore(Settings()) as other_core:
        assert other_core.begin(os.getpid)() != os.getpid()
        assert other_core.begin(divmod, 7, 3)() == (2, 1)
        with pytest.raises(ZeroDivisionError):
            other_core.begin(divmod, 7, 0)()


def lives_only_in(pid: int) -> int:
    if os.getpid() != pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return pid


def test_what_the_process_does_not_survive_is_done_here_and_so_is_all_else_from_then_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with OtherCore(Settings()) as other_core:
        assert other_core.begin(lives_only_in, os.getpid())() == os.getpid()
        assert "The process beside this one ended, so that it takes longer" in caplog.text
        assert other_core.begin(os.getpid)() == os.getpid()


def test_it_dies_with_the_process_that_has_begun_it(tmp_path: Path) -> None:
    program = tmp_path / "begins.py"
    program.write_text(BEGINS)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, str(program)], env=environment, stdout=subprocess.PIPE, text=True) as begins:
        assert begins.stdout is not None
        beside = psutil.Process(json.loads(begins.stdout.readline()))
        begins.kill()
        beside.wait(PATIENCE_S)
