"""Cores with a memory against plain loops, paired; a table, and a JSON to keep.

    python bench/cores.py [--rounds 20] [--seconds 60] [--threads 2] [--only RMC ...]
                          [--note TEXT] [--store]

Each of our runs stands between two of the plain loop's in the same process. On one
thread the clock counts the process's own time on the processor, which other programs
disturb less; on more it is the wall's.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from gatebook import DNC, RMC
from gatebook_book.runs.provenance import commit, device_name
from keep import keep
from measure import summary
from plain import PlainDNC, PlainRMC
from torch import Tensor, nn

FEATURES = 45
"""I: one-hot characters of a program."""


def rmc(shape: dict[str, int]) -> tuple[nn.Module, nn.Module]:
    """Ours and the plain loop."""
    sizes = (shape["width"], shape["slots"], shape["heads"])
    core = RMC(FEATURES, *sizes, gate="LSTM", seed=0)
    return core, PlainRMC(core)


def dnc(shape: dict[str, int]) -> tuple[nn.Module, nn.Module]:
    """Ours and the plain loop."""
    sizes = (shape["hidden"], shape["rows"], shape["width"], shape["reads"])
    core = DNC(FEATURES, *sizes, gate="LSTM", seed=0)
    return core, PlainDNC(core)


CASES: list[dict[str, Any]] = [
    {
        "core": "RMC",
        "shape": {"T": 40, "B": 64, "slots": 2, "width": 64, "heads": 2},
        "make": rmc,
    },
    {
        "core": "RMC",
        "shape": {"T": 64, "B": 64, "slots": 4, "width": 128, "heads": 4},
        "make": rmc,
    },
    {
        "core": "DNC",
        "shape": {"T": 40, "B": 64, "hidden": 64, "rows": 16, "width": 16, "reads": 2},
        "make": dnc,
    },
    {
        "core": "DNC",
        "shape": {"T": 40, "B": 16, "hidden": 64, "rows": 16, "width": 16, "reads": 4},
        "make": dnc,
    },
]
"""What is timed: a core, its sizes, and what makes ours and the plain loop."""


def train(model: nn.Module, x: Tensor, clock: Callable[[], float]) -> float:
    """Seconds of a forward and a backward pass."""
    model.zero_grad(set_to_none=True)
    started = clock()
    model(x)[0].sum().backward()
    return clock() - started


def forward(model: nn.Module, x: Tensor, clock: Callable[[], float]) -> float:
    """Seconds of a forward pass without a gradient."""
    with torch.no_grad():
        started = clock()
        model(x)
        return clock() - started


PASSES = {"train": train, "forward": forward}


def check_equal(ours: nn.Module, plain: nn.Module, x: Tensor) -> None:
    """Raise unless both compute the same, weights' gradients included."""
    sums = []
    for model in (ours, plain):
        model.zero_grad()
        out = model(x)[0]
        out.square().mean().backward()
        sums.append([out, *(p.grad for p in model.parameters())])
    for one, other in zip(*sums, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def timed(case: dict[str, Any], o: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each pass of a case: the ratio of our time to the plain loop's."""
    shape, clock = case["shape"], time.perf_counter
    if o.threads == 1:
        clock = time.process_time
    torch.manual_seed(0)
    ours, plain = case["make"](shape)
    x = torch.randn(shape["T"], shape["B"], FEATURES)
    check_equal(ours, plain, x)
    pairs: dict[str, list[list[float]]] = {name: [] for name in PASSES}
    ends = time.perf_counter() + o.seconds
    while len(pairs["train"]) < o.rounds and time.perf_counter() < ends:
        for name, run in PASSES.items():
            before, own, after = (run(m, x, clock) for m in (plain, ours, plain))
            pairs[name].append([own, statistics.fmean([before, after])])
    head = {"core": case["core"], "shape": shape}
    rows = [head | {"pass": name, **summary(found)} for name, found in pairs.items()]
    for row in rows:
        row["plain_ms"] = row.pop("torch_ms")
        say(row)
    return rows


def say(row: dict[str, Any]) -> None:
    """One line of the table."""
    sizes = " ".join(f"{k} {v}" for k, v in row["shape"].items())
    print(
        f"{row['core']} {sizes:40} {row['pass']:8} {row['ms']:8.1f} ms, plain "
        f"{row['plain_ms']:8.1f} ms: {1 / row['ratio']:.2f} times as fast "
        f"({1 / row['high']:.2f} to {1 / row['low']:.2f}, best {1 / row['best']:.2f})",
        flush=True,
    )


def options() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60, help="most for one case")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    cores = sorted({case["core"] for case in CASES})
    parser.add_argument("--only", action="append", choices=cores, help="cores to time")
    parser.add_argument("--note", default="", help="what else to say of the run")
    parser.add_argument("--store", action="store_true", help="keep the figures")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and store if asked to."""
    o = options()
    commit()  # remembered now: the checkout may be edited while the run goes on
    torch.set_num_threads(o.threads)
    print(f"{device_name('cpu')}, {o.threads} threads, torch {torch.__version__}")
    for core in o.only or dict.fromkeys(case["core"] for case in CASES):
        found = figures(core, o)
        if o.store:
            keep("inside/speed", o.threads, found, kind=core)


def figures(core: str, o: argparse.Namespace) -> dict[str, Any]:
    """All rows of a core, and how they were measured."""
    started, load = time.perf_counter(), os.getloadavg()[0]
    rows = [row for case in CASES if case["core"] == core for row in timed(case, o)]
    return {
        "status": "finished",
        "note": o.note,
        "clock": "processor" if o.threads == 1 else "wall",
        "rows": rows,
        "metrics": {"times_as_fast": min(1 / row["ratio"] for row in rows)},
        "load": {"before": load, "after": os.getloadavg()[0]},
        "seconds": time.perf_counter() - started,
    }


if __name__ == "__main__":
    main()
