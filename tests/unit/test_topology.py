"""How many inference processes, and where: asked of the operating system, never of torch."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from velox.consumer import topology
from velox.consumer.topology import core_count, decode_threads, gpu_count, placements, prepare_environment
from velox.settings import Settings

AUTO = Settings(device="auto", inference_processes=0)


@pytest.fixture(autouse=True)
def _sixteen_cores_and_no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """A /dev with two GPUs, and what else the driver puts there."""
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-modeset", "null"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def be(*, gpus: int, cores: int) -> None:
        monkeypatch.setattr(topology, "gpu_count", lambda: gpus)
        monkeypatch.setattr(topology, "core_count", lambda: cores)

    return be


def test_gpus_are_counted_by_their_device_files(devices: Path, tmp_path: Path) -> None:
    assert gpu_count(devices=devices) == 2
    assert gpu_count(devices=tmp_path / "nothing") == 0


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("1", 1), ("0, 1", 2), ("0,1,2,3", 2)])
def test_hidden_gpus_do_not_count(devices: Path, monkeypatch: pytest.MonkeyPatch, visible: str, count: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_count(devices=devices) == count


@pytest.mark.parametrize(
    ("cpu_max", "cores"),
    [
        ("max 100000", 16),
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("6400000 100000", 16),
        ("", 16),
        ("nonsense", 16),
    ],
)
def test_a_containers_quota_limits_the_cores(tmp_path: Path, cpu_max: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(cpu_max)
    assert core_count(cpu_max=tmp_path / "cpu.max") == cores


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert core_count(cpu_max=tmp_path / "absent") == 16


def test_a_process_per_gpu(machine: Callable[..., None]) -> None:
    machine(gpus=2, cores=16)
    assert placements(AUTO) == ["cuda:0", "cuda:1"]


def test_a_process_per_core_without_gpus(machine: Callable[..., None]) -> None:
    machine(gpus=0, cores=3)
    assert placements(AUTO) == ["cpu", "cpu", "cpu"]


def test_processes_take_turns_on_the_gpus(machine: Callable[..., None]) -> None:
    machine(gpus=2, cores=16)
    assert placements(Settings(device="auto", inference_processes=5)) == [
        "cuda:0",
        "cuda:1",
        "cuda:0",
        "cuda:1",
        "cuda:0",
    ]


def test_the_user_may_choose_the_cpu(machine: Callable[..., None]) -> None:
    machine(gpus=2, cores=3)
    assert placements(Settings(device="cpu", inference_processes=0)) == ["cpu"] * 3


def test_cuda_that_the_user_insists_on_is_left_for_the_model_to_find(machine: Callable[..., None]) -> None:
    machine(gpus=0, cores=3)
    assert placements(Settings(device="cuda", inference_processes=1)) == ["cuda:0"]


@pytest.mark.parametrize(("processes", "threads"), [(1, "16"), (3, "5"), (16, "1"), (64, "1")])
def test_processes_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, machine: Callable[..., None], processes: int, threads: str
) -> None:
    machine(gpus=0, cores=16)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    prepare_environment(processes)
    assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == (threads, threads)


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    prepare_environment(2)
    assert {os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} == {"7"}


@pytest.mark.parametrize(
    ("setting", "devices", "threads"),
    [
        (0, ["cpu"] * 16, 1),
        (0, ["cuda:0"], 15),
        (0, ["cuda:0", "cuda:1"], 7),
        (0, ["cuda:0"] * 32, 2),
        (3, ["cpu"], 3),
        (1, ["cuda:0"], 1),
    ],
)
def test_beside_gpus_all_cores_but_the_fetchers_decode(setting: int, devices: list[str], threads: int) -> None:
    assert decode_threads(Settings(decode_threads=setting), devices) == threads


def test_a_users_own_model_is_decoded_by_one_thread_unless_it_is_asked_for() -> None:
    own = "examples.mean_color:MeanColor"
    assert decode_threads(Settings(model=own), ["cuda:0"]) == 1
    assert decode_threads(Settings(model=own, decode_threads=4), ["cuda:0"]) == 4
