"""What of Velox is measured: as it comes, and with each backend and precision that can be chosen here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, get_args

from velox.loading import is_installed
from velox.settings import Settings


@dataclass(frozen=True, slots=True)
class Design:
    """One way to get predictions from Kafka into the sinks: the naive one, or Velox with these settings."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)


NAIVE: Final = Design("naive")
VELOX: Final = Design("Velox")
"""With default settings: it chooses backend and precision itself."""


def variants() -> list[Design]:
    """List Velox with each backend that is installed in each precision, as far as there are settings for them.

    Not every combination exists: whether one does, only trying shows.
    """
    backends = [name for name in _choices("backend") if is_installed(name)]
    precisions = _choices("precision")
    if not precisions:
        return [Design(backend, {"BACKEND": backend}) for backend in backends]
    return [
        Design(f"{backend} {precision}", {"BACKEND": backend, "PRECISION": precision})
        for backend in backends
        for precision in precisions
    ]


def _choices(setting: str) -> list[str]:
    """List what a setting can be, but for ``auto``; nothing when there is no such setting."""
    known = Settings.model_fields.get(setting)
    return [str(choice) for choice in get_args(known.annotation) if choice != "auto"] if known else []
