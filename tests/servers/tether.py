"""Run a command that dies with the process that started it: `python tether.py PARENT_PID COMMAND...`.

A server must not outlive a test session that was killed. `preexec_fn` is unsafe once there are threads, so this asks
the kernel from a fresh interpreter and then becomes the command.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then replace it with the command."""
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the kernel knew
        sys.exit("the parent is gone")
    os.execvp(command[0], command)  # noqa: S606 - the point of this file


if __name__ == "__main__":
    main()
