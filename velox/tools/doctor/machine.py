"""Whether this machine has what the consumer will take: memory, disk, files, a port, GPUs."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from velox.consumer.topology import gpu_count, placements
from velox.errors import SettingsError
from velox.models.backends.selection import choose
from velox.probes import listen
from velox.settings import MIB, Settings
from velox.settings.model import ModelSettings, ProcessSettings
from velox.settings.sinks import SinkSettings
from velox.tools.doctor.findings import Finding, error, ok, warning

_FETCHER_BYTES = 200 * MIB
_INFERENCE_BYTES = {"torch": 900 * MIB, "openvino": 250 * MIB, "onnxruntime": 250 * MIB}
"""Resident in a process, measured with the default model and rounded up."""
_LOW_DISK_BYTES = 1024 * MIB
_FULL_DISK_BYTES = 100 * MIB
_FILES = 256
_FILES_PER_PROCESS = 16
_DRIVER_S = 5.0
_TORCH_S = 20.0


def find(settings: Settings) -> Iterator[Finding]:
    """Compare what there is with what the settings ask for."""
    devices = placements(settings)
    processes = len(devices)
    backend, _ = choose(settings, devices[0])
    yield memory(settings, available_bytes(), processes=processes, each_bytes=_INFERENCE_BYTES[backend])
    if has_images(settings) or "sqlite" in settings.sinks:
        yield disk(settings)
    yield open_files(processes, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield port(settings.metrics_port)
    yield from gpus(settings, gpu_count())


def memory(settings: ProcessSettings, available: int, *, processes: int, each_bytes: int) -> Finding:
    """Judge whether what is in flight and the models fit into memory."""
    needed = settings.queue_bytes + _FETCHER_BYTES + processes * each_bytes
    value = (
        f"{available // MIB} MiB free, about {needed // MIB} wanted by {processes} inference processes and QUEUE_BYTES"
    )
    if settings.queue_bytes + _FETCHER_BYTES > available:
        return error("memory", value, f"lower QUEUE_BYTES={settings.queue_bytes}, or give more memory")
    if needed > available:
        return warning("memory", value, "lower INFERENCE_PROCESSES or QUEUE_BYTES, or give more memory")
    return ok("memory", value)


def available_bytes(*, root: Path = Path("/")) -> int:
    """Answer the memory that is free for us: of the machine, or of its container's limit (cgroup v2)."""
    lines = (root / "proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    free = int(fields["MemAvailable"].split()[0]) * 1024
    cgroup = root / "sys/fs/cgroup"
    try:
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return free
    return min(free, max(0, limit - used))


def has_images(settings: SinkSettings) -> bool:
    """Say whether images of detections are kept on this machine."""
    return "disk" in settings.sinks and not settings.storage_url


def disk(settings: SinkSettings) -> Finding:
    """Judge the space where images and rows go."""
    folder = settings.storage_path if has_images(settings) else settings.sqlite_path.parent
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    value = f"{free // MIB} MiB free at {existing}"
    if free < _FULL_DISK_BYTES:
        return error("disk", value, "free some, or limit the images with MAX_STORED_FILES")
    if free < _LOW_DISK_BYTES:
        return warning("disk", value, "free some, or limit the images with MAX_STORED_FILES")
    return ok("disk", value)


def open_files(processes: int, limit: int) -> Finding:
    """Judge the limit on open files: connections and pipes count too."""
    wanted = _FILES + _FILES_PER_PROCESS * processes
    value = f"{'no limit' if limit == resource.RLIM_INFINITY else limit}, about {wanted} wanted"
    if limit != resource.RLIM_INFINITY and limit < wanted:
        return error("open files", value, f"raise the limit: `ulimit -n {2 * wanted}`, or nofile of the service")
    return ok("open files", value)


def port(number: int) -> Finding:
    """Judge whether the probes can be served."""
    try:
        listen(number).close()
    except SettingsError as problem:
        value = str(problem).partition("; ")[0]
        return warning("port", value, "set another METRICS_PORT, unless it is a consumer of yours that runs there")
    return ok("port", f"METRICS_PORT={number} is free")


def gpus(settings: ModelSettings, count: int) -> Iterator[Finding]:
    """Judge GPUs, their driver, and whether torch can use them, without loading it here."""
    if settings.device == "cpu" or (settings.device == "auto" and not count):
        yield ok("gpu", f"none is asked for: DEVICE={settings.device}, {count} present")
        return
    if not count:
        yield error("gpu", "DEVICE=cuda, and no GPU is visible", "set DEVICE=auto, or let the container see the GPU")
        return
    names = _output(
        "nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader", limit_s=_DRIVER_S
    )
    if names is None:
        yield error("gpu", f"{count} GPUs, and their driver does not answer", "install the driver, run `nvidia-smi`")
        return
    yield ok("gpu", "; ".join(names.splitlines()))
    question = "import torch; print(torch.version.cuda or 'no CUDA', torch.cuda.is_available())"
    answer = _output(sys.executable, "-c", question, limit_s=_TORCH_S)
    if answer is None or not answer.strip().endswith("True"):
        yield error("torch", f"cannot use the GPU: {(answer or 'no answer').strip()}", "install torch with CUDA")
    else:
        yield ok("torch", f"uses CUDA {answer.split()[0]}")


def _output(*command: str, limit_s: float) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=True)  # noqa: S603 - ours
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
