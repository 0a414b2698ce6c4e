"""How many inference processes, and on which device each."""

import os
from collections.abc import Sequence
from pathlib import Path

from velox.settings import InferenceSettings

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def placements(settings: InferenceSettings) -> list[str]:
    """Name the device of each inference process: ``cpu``, or ``cuda:0``, ``cuda:1``, … in turn.

    None where others predict.
    Asks the operating system, not torch: the fetcher never imports it.
    """
    if settings.predictor == "serve":
        return []
    gpus = 0 if settings.device == "cpu" or settings.backend in {"openvino", "onnxruntime"} else gpu_count()
    count = settings.inference_processes or (gpus or core_count())
    if gpus:
        return [f"cuda:{index % gpus}" for index in range(count)]
    return ["cuda:0" if settings.device == "cuda" else "cpu"] * count


def decode_threads(settings: InferenceSettings, devices: Sequence[str]) -> int:
    """Say how many threads decode in each inference process; 1 = none but its own.

    By itself it is more than one only beside GPUs, which compute meanwhile, and only for the model that is ours: a
    user's may not expect it. They share all cores but the fetcher's.
    """
    if settings.decode_threads or not settings.is_model_ours or all(device == "cpu" for device in devices):
        return settings.decode_threads or 1
    return max(2, (core_count() - 1) // len(devices))


def gpu_count(*, devices: Path = Path("/dev")) -> int:
    """Count the NVIDIA GPUs this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = sum(1 for _ in devices.glob("nvidia[0-9]*"))
    return (
        present
        if visible is None
        else min(present, len([v for v in visible.split(",") if v.strip() not in {"", "-1"}]))
    )


def core_count(*, cpu_max: Path = _CPU_MAX) -> int:
    """Count the cores this process may use: its affinity, and its container's quota (cgroup v2)."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def prepare_environment(processes: int) -> None:
    """Set what inference processes inherit and must find at their start; what the user has set stays.

    One thread each when there is a process per core: that is faster than threads that share cores, and does not
    collapse when a neighbour takes one.
    """
    threads = str(max(1, core_count() // max(1, processes)))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, threads)
