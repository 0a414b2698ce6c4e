"""One model's consumer, as its supervisor sees it: a process, its port, and why it is not ready."""

import socket
from collections.abc import Callable
from typing import Final, Protocol, TextIO

from velox.children import Child
from velox.probing import unready_because
from velox.settings import handed_on
from velox.settings.models import ModelEntry

_LAST_PORT: Final = 65_535
_REFUSAL: Final = "velox consume: "
"""So begins the one line with which a command ends that cannot go on."""


class Running(Protocol):
    """A member that was started."""

    @property
    def port(self) -> int:
        """Port of its metrics and probes."""

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""

    @property
    def last_words(self) -> str:
        """Why it ended, as it said itself."""

    def unready_because(self) -> str | None:
        """Ask it; None when it is ready."""

    def terminate(self) -> None:
        """Ask it to drain and end."""

    def close(self) -> None:
        """End it at once, if it still runs."""


Start = Callable[[ModelEntry], Running]


class Member:
    """One ``velox consume`` with a model's pipeline file. Started from the main thread, to which the kernel ties it."""

    def __init__(self, entry: ModelEntry, port: int, output: TextIO, *, prefix: str) -> None:
        """Start it; what it says goes to ``output``, a prefix before each line."""
        self.port = port
        own = {"VELOX_ENV_FILE": str(entry.env_file), "METRICS_PORT": str(port)}
        environment = handed_on({**own, **entry.versions.environment()})
        self._child = Child("consume", environment, output, _ignore, prefix=prefix)
        self._child.start()

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._child.exit_code

    @property
    def last_words(self) -> str:
        """Why it ended: its refusal, else the last line that it said."""
        said = [*self._child.tail]
        refusals = [line.removeprefix(_REFUSAL) for line in said if line.startswith(_REFUSAL)]
        return (refusals or said or [f"exit code {self.exit_code}"])[-1]

    def unready_because(self) -> str | None:
        """Ask it; None when it is ready."""
        return unready_because(self.port)

    def terminate(self) -> None:
        """Ask it to drain and end."""
        self._child.terminate()

    def close(self) -> None:
        """End it at once, if it still runs."""
        self._child.close()


class Ports:
    """Gives each member a port of its own: the lowest that is free, from METRICS_PORT on; any where that is 0."""

    def __init__(self, first: int) -> None:
        """Begin there."""
        self._first = first

    def free(self, taken: set[int]) -> int:
        """Find a port nobody listens on; somebody else may take it before the member does, which then says so."""
        if not self._first:
            return _bound(0)
        candidates = (port for port in range(self._first, _LAST_PORT) if port not in taken)
        return next((port for port in candidates if _bound(port)), self._first)


def _bound(port: int) -> int:
    """Bind a port and let go of it; 0 when it cannot be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return 0
        number: int = probe.getsockname()[1]
        return number


def _ignore(_name: str, _message: str) -> None:
    """Say nothing more: what a member warns of is in the output already."""
