"""The processor: its name, and what it can compute with, on which speed and rounding depend and not on a name."""

import hashlib
import platform
from functools import cache
from pathlib import Path
from typing import Final

_CPU_INFO: Final = Path("/proc/cpuinfo")
_FLAGS: Final = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512bw"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "NEON": {"asimd"},
    "dotprod": {"asimddp"},
    "SVE": {"sve"},
    "bf16": {"avx512_bf16", "avx_ne_convert", "bf16"},
    "AMX": {"amx_tile"},
}
"""What libraries have kernels for, with the flags by which Linux tells it, of which one is enough; x86 and Arm."""


def name(cpu_info: Path = _CPU_INFO) -> str:
    """Say what the processor calls itself."""
    return _fields(cpu_info).get("model name") or platform.processor() or platform.machine()


@cache
def capabilities(cpu_info: Path = _CPU_INFO) -> tuple[str, ...]:
    """Return the names of what it has instructions for, oldest first; none where Linux does not say."""
    flags = {*_features(cpu_info).split()}
    return tuple(capability for capability, any_of in _FLAGS.items() if any_of & flags)


def identity(cpu_info: Path = _CPU_INFO) -> str:
    """Name this very kind: by its name, and a hash of all its features, since virtual machines hide parts of them."""
    return f"{name(cpu_info)} {hashlib.sha256(_features(cpu_info).encode()).hexdigest()[:8]}"


def _features(cpu_info: Path) -> str:
    fields = _fields(cpu_info)
    return fields.get("flags") or fields.get("Features") or ""


def _fields(cpu_info: Path) -> dict[str, str]:
    """Read what is said of the first core."""
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:
        lines = []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
