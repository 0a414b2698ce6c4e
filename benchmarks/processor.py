"""What a processor can compute with: how many times as fast one design is as another depends on it, not on a name."""

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
    """Say what the processor calls itself; empty when it does not."""
    return _fields(cpu_info).get("model name", "")


def capabilities(cpu_info: Path = _CPU_INFO) -> tuple[str, ...]:
    """Name what it has instructions for, oldest first; nothing where Linux does not tell."""
    fields = _fields(cpu_info)
    flags = {*fields.get("flags", "").split(), *fields.get("Features", "").split()}
    return tuple(capability for capability, any_of in _FLAGS.items() if any_of & flags)


def _fields(cpu_info: Path) -> dict[str, str]:
    """Read what is said of the first core."""
    try:
        first, *_ = cpu_info.read_text().split("\n\n")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
