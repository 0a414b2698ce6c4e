"""A processor is known by what it can compute with."""

from pathlib import Path

import pytest

from velox import processor

PROCESSORS = {
    "Zen 2": ("fma avx2 sha_ni", ["AVX2"]),
    "Skylake": ("avx2 avx512f avx512dq avx512bw avx512vl", ["AVX2", "AVX-512"]),
    "Zen 4": ("avx2 avx512f avx512bw avx512_vnni avx512_bf16", ["AVX2", "AVX-512", "VNNI", "bf16"]),
    "Sapphire Rapids": (
        "avx2 avx_vnni avx512f avx512bw avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8",
        ["AVX2", "AVX-512", "VNNI", "bf16", "AMX"],
    ),
    "Alder Lake": ("avx2 avx_vnni", ["AVX2", "VNNI"]),
    "too old": ("sse4_2 avx", []),
}


@pytest.mark.parametrize("kind", PROCESSORS)
def test_a_processor_is_known_by_what_it_has_instructions_for(kind: str, tmp_path: Path) -> None:
    flags, expected = PROCESSORS[kind]
    info = tmp_path / "cpuinfo"
    core = f"processor\t: 0\nmodel name\t: {kind} CPU @ 2 GHz: fast\nflags\t\t: {flags}\nbugs\t\t: avx512_bf16_bug\n"
    info.write_text(f"{core}\n{core}")
    assert processor.capabilities(info) == tuple(expected)
    assert processor.name(info) == f"{kind} CPU @ 2 GHz: fast"


def test_an_arm_processor_too(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp sve i8mm bf16\nCPU part\t: 0xd40\n")
    assert processor.capabilities(info) == ("NEON", "dotprod", "SVE", "bf16")
    assert processor.name(info), "what the platform calls it"


def test_where_linux_does_not_tell_nothing_is_made_up(tmp_path: Path) -> None:
    assert processor.capabilities(tmp_path / "none") == ()
    (tmp_path / "empty").write_text("")
    assert processor.capabilities(tmp_path / "empty") == ()


def test_the_processor_is_named_with_what_it_can_do(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Fast CPU\nflags\t\t: avx2 amx_int8\n\nprocessor\t: 1\n")
    with_amx = processor.identity(info)
    assert with_amx.startswith("Fast CPU ")
    info.write_text("model name\t: Fast CPU\nflags\t\t: avx2\n")
    assert processor.identity(info) != with_amx
    assert processor.identity(tmp_path / "nowhere")
