"""Run a command that dies with the process that started it: ``python tether.py PARENT_PID COMMAND…``.

Whatever kills a process must not leave behind what it has started. The kernel is asked from a fresh interpreter, which
then becomes the command: after a fork, a process with threads may not run Python code.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tethered(*command: str) -> list[str]:
    """Write the command line that runs ``command`` tied to this process. For the main thread, to which the tie is."""
    return [sys.executable, "-IS", __file__, str(os.getpid()), *command]


def tie_to(parent_pid: int) -> None:
    """Make this process die with the one that started it, or end if that is already gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the kernel knew
        sys.exit("the parent is gone")


def main() -> None:
    """Tie this process to its parent, then replace it with the command."""
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    tie_to(parent_pid)
    os.execvp(command[0], command)  # noqa: S606 - the point of this file


if __name__ == "__main__":
    main()
