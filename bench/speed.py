"""Time and memory against `torch.nn.LSTM`, paired; a table, and a JSON to keep.

    python bench/speed.py [--shape 500,32,10,128 ...] [--gate UR ...] [--rounds 5]
                          [--seconds 60] [--threads 2] [--only small ...]
                          [--note TEXT] [--store]

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

SMALL = [
    [1, 1, 32, 128],
    [1, 8, 32, 128],
    [1, 1, 256, 512],
    [10, 1, 32, 128],
    [10, 8, 32, 128],
    [100, 1, 32, 128],
    [100, 8, 32, 128],
    [20, 32, 32, 128],
    [100, 1, 256, 512],
]
"""(T, B, I, H) of little work: single steps, short sequences, batches of 1 and 8."""

FEW = ["LSTM", "UR", "O", "G2", "GRU"]
"""The plain gate, the book's, and those with the dearest step and draws."""

CROWDED = [[1, 1, 256, 512], [100, 1, 32, 128], [100, 8, 32, 128], [100, 32, 10, 128]]
"""Shapes that are timed beside busy neighbours as well."""

STEPS = [[1, 32, 128], [8, 32, 128], [1, 256, 512]]
"""(B, I, H) of one step of a cell."""

COMPILED = [[10, 32, 10, 128], [20, 32, 10, 128]]
"""Shapes of the loop through `torch.compile`, which takes minutes for a longer one."""

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
            rows += _rows(found, {"shape": shape, "allocator": allocator})
    return rows


def smalls(o: argparse.Namespace) -> list[dict[str, Any]]:
    """Ratios where there is little work, on one thread and on all."""
    rows = []
    for threads in sorted({1, o.threads}):
        for shape in SMALL:
            limits = {"rounds": 300, "seconds": o.seconds / 3, "calls": 5}
            gates = [gate for gate in FEW if gate in o.gate]
            found = measure("ratios", threads, {}, shape=shape, methods=gates, **limits)
            rows += _rows(found, {"shape": shape, "threads": threads})
    return rows


def _rows(found: dict[str, Any], head: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each gate and pass of `ratios`."""
    rows = []
    for gate, passes in found.items():
        for name, figures in passes.items():
            rows.append(head | {"gate": gate, "pass": name, **figures})
            _say(rows[-1])
    return rows


def crowds(o: argparse.Namespace) -> list[dict[str, Any]]:
    """Ratios on quiet cores and beside a busy program on each core."""
    rows = []
    for threads in sorted({1, o.threads}):
        for shape in CROWDED:
            limits = {"rounds": 300, "seconds": o.seconds / 5}
            found = measure(
                "beside", threads, {}, shape=shape, methods=["UR", "GRU"], **limits
            )
            for around, ratios in found.items():
                head = {"shape": shape, "threads": threads, "around": around}
                rows += _rows(ratios, head)
    return rows


def steps(o: argparse.Namespace) -> list[dict[str, Any]]:
    """One step of cells and modules against torch's cells, on one thread."""
    rows = []
    for sizes in STEPS:
        gates = [gate for gate in FEW if gate in o.gate]
        found = measure("steps", 1, {}, sizes=sizes, methods=gates, rounds=200)
        rows += _rows(found, {"shape": [1, *sizes], "threads": 1})
    return rows


def compiles(o: argparse.Namespace) -> list[dict[str, Any]]:
    """The loop through `torch.compile`, with an empty cache."""
    rows = []
    for shape in COMPILED:
        with tempfile.TemporaryDirectory() as folder:
            setting = {"TORCHINDUCTOR_CACHE_DIR": folder}
            rows.append(measure("compiled", o.threads, setting, shape=shape, rounds=20))
        print(f"torch.compile {rows[-1]}", flush=True)
    return rows


def scans(o: argparse.Namespace) -> dict[str, Any]:
    """The loop through torch's ``scan`` operator."""
    found = measure(
        "higher_order", o.threads, {}, shape=[20, 8, 10, 32], rounds=o.rounds
    )
    print(f"scan operator {found}", flush=True)
    return found


def _say(row: dict[str, Any]) -> None:
    keys = ("allocator", "threads", "around")
    setting = " ".join(str(row[key]) for key in keys if key in row)
    print(
        f"{row['shape']!s:22} {setting:8} {row['gate']:10} {row['pass']:8}"
        f"{row['ms']:9.2f} ms  / torch {row['ratio']:.2f}"
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
    parser.add_argument("--only", action="append", choices=PARTS, help="parts to run")
    parser.add_argument("--note", default="", help="what else to say of the run")
    parser.add_argument("--store", action="store_true", help="keep the figures")
    found = parser.parse_args()
    found.shape, found.gate = found.shape or SHAPES, found.gate or list(METHODS)
    found.only = found.only or list(PARTS)
    return found


PARTS = {
    "timings": lambda o: timings(o) + loops(o),
    "small": smalls,
    "crowded": crowds,
    "steps": steps,
    "compiled": compiles,
    "scan": scans,
    "memory": memories,
    "growth": growth,
    "start": starts,
}
"""What a run measures, by its name in the stored file."""


def main() -> None:
    """Measure, print, and store if asked to."""
    o = options()
    commit()  # remembered now: the checkout may be edited while the run goes on
    torch.set_num_threads(o.threads)
    print(f"{device_name('cpu')}, {o.threads} threads, torch {torch.__version__}")
    started, load = time.perf_counter(), os.getloadavg()[0]
    rate = measure("rate", o.threads, {})
    print(f"fastest matrix product: {rate:.0f} GFLOP/s", flush=True)
    found: dict[str, Any] = {"status": "finished", "note": o.note}
    found |= {name: PARTS[name](o) for name in o.only}
    found["metrics"] = {"gflops": rate}
    found["load"] = {"before": load, "after": os.getloadavg()[0]}
    found["seconds"] = time.perf_counter() - started
    if o.store:
        keep("inside/speed", o.threads, found)


if __name__ == "__main__":
    main()
