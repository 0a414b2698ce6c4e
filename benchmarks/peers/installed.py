"""Which versions an environment has."""

import json
import subprocess
from pathlib import Path

_QUESTION = (
    "import json,importlib.metadata as m; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
)


def versions(python: str) -> dict[str, str]:
    """Ask an environment what it has; nothing when there is none."""
    if not Path(python).exists():
        return {}
    answer = subprocess.run([python, "-c", _QUESTION], capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = json.loads(answer)
    return found
