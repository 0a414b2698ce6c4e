"""What a process does with large blocks of memory: glibc's default suits neither the fetcher nor computing."""

import ctypes
from contextlib import suppress
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_GIB: Final = 1024**3
# Parameters of mallopt(3). By default the first large block that is freed raises the threshold for the next ones.


def keep_large_blocks() -> None:
    """Reuse large blocks: for processes that compute, which ask for the same sizes again and again.

    Otherwise each goes back to the kernel when it is freed, and is faulted in anew, page by page, at the next batch.
    """
    _set(_M_MMAP_THRESHOLD, _GIB)
    _set(_M_TRIM_THRESHOLD, 2 * _GIB - 1)


def return_large_blocks() -> None:
    """Return freed large blocks to the system: for the fetcher, whose fetched megabytes would fragment its heap.

    Its memory then does not grow with the number of records it has read.
    """
    _set(_M_MMAP_THRESHOLD, 128 * 1024)


def _set(parameter: int, value: int) -> None:
    with suppress(OSError, AttributeError):  # no glibc: nothing to set
        ctypes.CDLL(None).mallopt(parameter, value)
