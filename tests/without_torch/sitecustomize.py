"""With this folder on PYTHONPATH a process, and every process it spawns, finds neither torch nor torchvision."""

import sys

for _name in ("torch", "torchvision"):
    sys.modules[_name] = None  # type: ignore[assignment]  # how Python itself marks what must not be imported
