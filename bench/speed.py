"""Time and memory against `torch.nn.LSTM`, paired; a table, and a JSON to keep.

    python bench/speed.py [--shape 500,32,10,128 ...] [--gate UR ...] [--rounds 5]
                          [--seconds 60] [--threads 2] [--store]

Each of our runs stands between two of torch's in the same process, and a figure is
the median of the ratios: what disturbs the machine disturbs both sides. `nn.GRU` is
the counterpart of the GRU. With ``--store`` the figures go to data/results, one file
a machine and number of threads.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from gatebook_book.runs.provenance import commit, device_name
from keep import keep
from measure import METHODS

SHAPES = ["500,32,10,128", "500,32,10,256", "784,50,1,512", "70,20,400,1150"]
"""(T, B, I, H): short and wide tasks, pixel by pixel, the language model's layer."""

ALLOCATORS = {
    "default": {},
    "tuned": {
        "MALLOC_MMAP_THRESHOLD_": "4294967296",
        "MALLOC_TRIM_THRESHOLD_": "8589934592",
    },
}
"""The C library's own setting, and one that never gives memory back."""

SWEEPS = {
    "T": [[t, 32, 10, 128] for t in (62, 125, 250, 500, 1000)],
    "B": [[100, b, 10, 128] for b in (1, 4, 16, 64, 256)],
    "H": [[100, 32, 10, h] for h in (32, 64, 128, 256, 512, 1024)],
}


def measure(kind: str, threads: int, setting: dict[str, str], **options: Any) -> Any:
    """One measurement in a process of its own; see measure.py."""
    script = Path(__file__).with_name("measure.py")
    command = [sys.executable, str(script), kind, json.dumps(options), str(threads)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | setting
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    return json.loads(done.stdout)


def timings(o: argparse.Namespace) -> list[dict[str, Any]]:
    """Ratios of each gate, shape, pass and allocator setting."""
    rows = []
    for words in o.shape:
        shape = [int(word) for word in words.split(",")]
        for allocator, setting in ALLOCATORS.items():
            limits = {"rounds": o.rounds, "seconds": o.seconds}
            found = measure(
                "ratios", o.threads, setting, shape=shape, methods=o.gate, **limits
            )
            for method, passes in found.items():
                for name, figures in passes.items():
                    row = {"shape": shape, "allocator": allocator, "gate": method}
                    rows.append(row | {"pass": name, **figures})
                    _say(rows[-1])
    return rows


def _say(row: dict[str, Any]) -> None:
    print(
        f"{row['shape']!s:22} {row['allocator']:8} {row['gate']:10} {row['pass']:8}"
        f"{row['ms']:9.1f} ms  / torch {row['ratio']:.2f}"
        f"  ({row['low']:.2f} to {row['high']:.2f}, best {row['best']:.2f})",
        flush=True,
    )


def loops(o: argparse.Namespace) -> list[dict[str, Any]]:
    """The reference loop of UR, where it takes less than 20 seconds."""
    rows = []
    for words in o.shape:
        shape = [int(word) for word in words.split(",")]
        found = measure("loop", o.threads, {}, shape=shape, method="UR")
        if found:
            row = {"shape": shape, "allocator": "default", "gate": "UR"}
            rows.append(row | {"pass": "loop", **found})
            _say(rows[-1])
    return rows


def memories(o: argparse.Namespace) -> list[dict[str, Any]]:
    """Peak MiB that a training step adds, ours and torch's."""
    rows = []
    for words in o.shape:
        shape = [int(word) for word in words.split(",")]
        found = measure("memories", o.threads, {}, shape=shape, methods=o.gate)
        for method, (ours, theirs) in found.items():
            row = {"shape": shape, "gate": method, "mib": round(ours, 1)}
            row |= {"torch_mib": round(theirs, 1), "ratio": round(ours / theirs, 3)}
            rows.append(row)
            print(f"memory {row}", flush=True)
    return rows


def starts(o: argparse.Namespace) -> dict[str, float]:
    """Seconds from starting Python to the end of a first training step."""

    def seconds(torchs: bool, folder: str) -> float:
        started = time.perf_counter()
        setting = {"GATEBOOK_CACHE": folder}
        measure("start", o.threads, setting, method="UR", torchs=torchs)
        return round(time.perf_counter() - started, 2)

    with tempfile.TemporaryDirectory() as folder:
        found = {"empty cache": seconds(False, folder)}
        found |= {"warm cache": seconds(False, folder), "torch": seconds(True, folder)}
    print(f"import and first step: {found}", flush=True)
    return found


def growth(o: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Training steps of UR while one size grows."""
    limits = {"rounds": o.rounds, "seconds": o.seconds}
    found = {}
    for size, shapes in SWEEPS.items():
        found[size] = measure("growth", o.threads, {}, sizes=shapes, **limits)
        for row in found[size]:
            print(f"growth with {size} {row}", flush=True)
    return found


def options() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", action="append", help="T,B,in,H")
    parser.add_argument("--gate", action="append", choices=METHODS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=30, help="most for one shape and setting"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--store", action="store_true", help="keep the figures")
    found = parser.parse_args()
    found.shape, found.gate = found.shape or SHAPES, found.gate or list(METHODS)
    return found


def main() -> None:
    """Measure, print, and store if asked to."""
    o = options()
    commit()  # remembered now: the checkout may be edited while the run goes on
    torch.set_num_threads(o.threads)
    print(f"{device_name('cpu')}, {o.threads} threads, torch {torch.__version__}")
    started, load = time.perf_counter(), os.getloadavg()[0]
    rate = measure("rate", o.threads, {})
    print(f"fastest matrix product: {rate:.0f} GFLOP/s", flush=True)
    found = {
        "status": "finished",
        "timings": timings(o) + loops(o),
        "memory": memories(o),
        "growth": growth(o),
        "start": starts(o),
        "metrics": {"gflops": rate},
    }
    found["load"] = {"before": load, "after": os.getloadavg()[0]}
    found["seconds"] = time.perf_counter() - started
    if o.store:
        keep("inside/speed", o.threads, found)


if __name__ == "__main__":
    main()
