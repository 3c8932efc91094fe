"""Where a run comes from: device, versions, commit, memory, date."""

import datetime
import functools
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from gatebook_book.paths import root


def provenance(device: str = "cpu") -> dict[str, Any]:
    """Device, versions, commit, peak memory (of the GPU where one is used), date."""
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "commit": commit(),
        "peak_memory_mb": round(peak_memory(device) / 2**20),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def peak_memory(device: str) -> int:
    """The largest number of bytes held so far: by tensors on a GPU, else in all."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    # On Linux ru_maxrss starts at the parent's size, so the kernel's own mark is read.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(
            x for x in status.read_text(encoding="utf-8").splitlines() if "VmHWM" in x
        )
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        import psutil  # needed there alone

        return psutil.Process().memory_info().peak_wset
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def device_name(device: str) -> str:
    """The GPU's name, or the processor's."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            x.split(":")[1].strip() for x in lines if x.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@functools.cache
def commit() -> str:
    """The checkout's commit, with ``+`` behind it if the library has been edited."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root()), *words],
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout.strip()

    try:
        edited = git("status", "--porcelain", "--", "src/lib", "book")
        return git("rev-parse", "HEAD")[:12] + ("+" if edited else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
