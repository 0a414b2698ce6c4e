"""Runs a step that needs heavy libraries in a process of its own, which takes them with it when it ends."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from velox.settings import InferenceSettings
from velox.tether import tethered

_RUN: Final = "import sys; sys.path[:] = {path!r}; from {module} import main; main(*{arguments!r})"


def run_apart(module: str, *arguments: str, settings: InferenceSettings, limit_s: float) -> str | None:
    """Run ``module.main(*arguments)`` in another process; answer why it failed, None when it did not.

    It dies with this one: a new process can then begin again, and no two do the same work. What ``main`` needs of the
    settings it reads with ``handed_over``.
    """
    code = _RUN.format(path=sys.path, module=module, arguments=arguments)
    given = settings.part(InferenceSettings).model_dump_json().encode()  # all but the secrets
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            tethered(sys.executable, "-c", code), check=False, capture_output=True, input=given, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return f"not done after {limit_s:.1f} s, a longer INFERENCE_START_TIMEOUT_S allows for more"
    said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
    return said[-1] if done.returncode else None


def handed_over() -> InferenceSettings:
    """Read, in such a process, the settings as its parent has them, whatever the environment says."""
    given = json.load(sys.stdin)
    paths = {name: Path(given[name]) for name in ("model_path", "classes_path")}
    return InferenceSettings.model_construct(**{**given, **paths})
