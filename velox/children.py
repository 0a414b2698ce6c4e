"""A ``velox`` command as a child of this process: started, listened to, stopped."""

import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import IO, Final, TextIO

from velox.errors import VeloxError
from velox.tether import tethered

_LINE: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - (?P<level>[A-Z]+) - (?P<message>.*)")
_TAIL_LINES: Final = 15
_SHOWN: Final = frozenset({"WARNING", "ERROR", "CRITICAL"})

OnTrouble = Callable[[str, str], None]
"""Called with a process's name and what it warns of; on a thread of its own."""


def tethered_command(command: str) -> list[str]:
    """Write the command line of ``velox <command>``, to be run by the main thread's process and to end with it."""
    return tethered(sys.executable, "-m", "velox", *command.split())


class Child:
    """A ``velox`` command as a process of its own. Start it from the main thread, to which the kernel ties it."""

    def __init__(
        self,
        command: str,
        environment: Mapping[str, str],
        log_file: TextIO,
        on_trouble: OnTrouble,
        *,
        prefix: str | None = None,
    ) -> None:
        """Plan ``velox <command>``; what it says goes to the log file, its warnings also to ``on_trouble``.

        Each line there begins with ``prefix``, by default ``[<command>]``.
        """
        self.name = command
        self._prefix = f"[{command}] " if prefix is None else prefix
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        """The last lines it said."""
        self._environment = environment
        self._log_file = log_file
        self._on_trouble = on_trouble
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C is for the parent alone, which stops its children in order."""
        self.tail.clear()
        self._process = subprocess.Popen(  # noqa: S603 - our own commands
            tethered_command(self.name),
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def is_started(self) -> bool:
        """Say whether it was ever started."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Its process id; 0 before it was started."""
        return self._process.pid if self._process else 0

    @property
    def exit_code(self) -> int | None:
        """What it ended with, negative for a signal; None while it runs, and before."""
        return self._process.poll() if self._process else None

    def terminate(self) -> None:
        """Ask it to finish."""
        if self._process:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        if self._process:
            self._process.kill()

    def close(self) -> None:
        """Kill it if it still runs, and read what it said last."""
        if self._process:
            self._process.kill()
            self._process.wait()
        if self._reader:
            self._reader.join(timeout=5)

    def ended(self, when: str) -> VeloxError:
        """Say that it ended and should not have, with its last words as notes."""
        error = VeloxError(f"`velox {self.name}` ended with exit code {self.exit_code} {when}; it said:")
        for line in self.tail:
            error.add_note(line)
        return error

    def _read(self, output: IO[str]) -> None:
        for line in output:
            self.tail.append(line.rstrip())
            self._log_file.write(f"{self._prefix}{line}")
            self._log_file.flush()
            said = _LINE.match(line)
            if said and said["level"] in _SHOWN:
                self._on_trouble(self.name, said["message"])
