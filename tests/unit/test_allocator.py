"""Large blocks: kept by processes that compute, returned by the fetcher. Each is tried in a process of its own."""

import subprocess
import sys

import pytest

FREED_IN_TURN = """
import ctypes, sys
from velox import allocator

getattr(allocator, sys.argv[1])()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]


def resident_pages():
    return int(open("/proc/self/statm").read().split()[1])


def use_and_free(size):
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)


use_and_free(24 * 2**20)  # from here on glibc's default would keep blocks of this size
before = resident_pages()
use_and_free(24 * 2**20)
pages_of_a_block = 24 * 2**20 // 4096
print("kept" if before + resident_pages() > pages_of_a_block * 2 else "returned")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
@pytest.mark.parametrize(("choice", "outcome"), [("keep_large_blocks", "kept"), ("return_large_blocks", "returned")])
def test_what_becomes_of_large_blocks(choice: str, outcome: str) -> None:
    ran = subprocess.run([sys.executable, "-c", FREED_IN_TURN, choice], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == outcome
