"""Linear-recurrent cells against torch.nn.GRU, and their recurrence against memory.

    python bench/modern.py [--rounds 20] [--seconds 30] [--threads 2] [--note TEXT]
                           [--store]

Each of our runs stands between two of the other's in the same process, see cores.py.
The recurrence's floor is a loop in C that reads and writes the same arrays, made anew
as ours are, and does one addition or product for each number that it writes.
"""

import argparse
import ctypes
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cores import forward, train
from gatebook.fused.cpu import build, threads
from gatebook.modern import CELLS, compiled, linear_recurrence
from gatebook.modern.recurrence import COST, loop
from gatebook.modern.scans import associative, chunked, log_space
from gatebook_book.runs.provenance import commit, device_name
from keep import keep
from measure import summary
from torch import Tensor, nn

SHAPE = {"T": 512, "B": 16, "D": 128}
"""Steps, examples, and units that go in and out."""

SHAPES = [{"T": 512, "B": 16, "D": 128}, {"T": 4096, "B": 16, "D": 128}]
"""For the recurrence alone."""

LENGTHS, CHANNELS = (256, 1024, 4096), 2048
"""For the other ways to the recurrence."""

FLOOR = """
typedef struct { Z T, M; const real *a, *b, *g; real *h, *da, *db; } Arrays;
int there(const void *what, int part, int parts) {
  const Arrays *p = what;
  Span own = share(p->T * p->M, part, parts);
  for (Z i = own.first; i < own.last; i++) p->h[i] = p->a[i] + p->b[i];
  return 0;
}
int back(const void *what, int part, int parts) {
  const Arrays *p = what;
  Span own = share(p->T * p->M, part, parts);
  for (Z i = own.first; i < own.last; i++) {
    real g = p->g[i] + p->a[i];
    p->da[i] = g * p->h[i];
    p->db[i] = g;
  }
  return 0;
}
"""


class Arrays(ctypes.Structure):
    """`Arrays` of the floor's C."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in "TM"),
        *((name, ctypes.c_void_p) for name in ("a", "b", "g", "h", "da", "db")),
    ]


def floor_code() -> ctypes.CDLL:
    """The floor, compiled as the recurrence is."""
    head = compiled.HEAD.format(real="float", double=0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "floor.so"
        text = head + build.section("Threads") + FLOOR
        build.compile_to(text, file, *compiled.FLAGS)
        return ctypes.CDLL(str(file))


def floor(code: ctypes.CDLL, a: Tensor, b: Tensor, g: Tensor) -> None:
    """The same reads and writes, there and back, with new arrays for the results."""
    what = Arrays(len(a), a[0].numel(), a.data_ptr(), b.data_ptr(), g.data_ptr())
    parts = max(threads.number(COST * a.numel()), 1)
    h = torch.empty_like(a)
    what.h = h.data_ptr()
    threads.split(code, "there", what, parts)
    da, db = torch.empty_like(a), torch.empty_like(a)
    what.da, what.db = da.data_ptr(), db.data_ptr()
    threads.split(code, "back", what, parts)


def recurrence(a: Tensor, b: Tensor, g: Tensor) -> None:
    """There and back."""
    torch.autograd.grad(linear_recurrence(a, b), [a, b], g)


def paired(
    ours: Callable[[], float], other: Callable[[], float], o: argparse.Namespace
) -> dict[str, Any]:
    """The ratio of our time to the other's, each of our runs between two of theirs."""
    ours(), other()
    pairs, ends = [], time.perf_counter() + o.seconds
    while len(pairs) < o.rounds and time.perf_counter() < ends:
        before, own, after = other(), ours(), other()
        pairs.append([own, statistics.fmean([before, after])])
    return summary(pairs)


def clocked(run: Callable[..., None], *given: Any, threads: int) -> Callable[[], float]:
    """A run that says how long it took."""
    clock = time.process_time if threads == 1 else time.perf_counter

    def timed() -> float:
        started = clock()
        run(*given)
        return clock() - started

    return timed


def of_recurrence(o: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each shape: the recurrence against its floor."""
    code, rows = floor_code(), []
    for shape in SHAPES:
        a, b, g = (torch.rand(tuple(shape.values())) for _ in range(3))
        a.requires_grad_(), b.requires_grad_()
        plain = [x.detach() for x in (a, b, g)]
        ours = clocked(recurrence, a, b, g, threads=o.threads)
        least = clocked(floor, code, *plain, threads=o.threads)
        row = {"name": "recurrence", "shape": shape, "pass": "train"}
        rows.append(row | paired(ours, least, o))
        say(rows[-1], "floor")
    return rows


def in_logs(a: Tensor, b: Tensor) -> Tensor:
    """The log space, which needs positive numbers."""
    return log_space(a.log(), b.log())


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "loop in Python, in place": linear_recurrence,  # without its C, see `through`
    "loop in Python, autograd": lambda a, b: loop(a, b, None),
    "chunks": chunked,
    "doubling": associative,
    "log space": in_logs,
}
"""Other ways to the recurrence."""


def through(
    way: Callable[[Tensor, Tensor], Tensor], in_c: bool, a: Tensor, b: Tensor
) -> None:
    """There and back."""
    usable = compiled.usable
    compiled.usable = usable if in_c else lambda *_: False
    way(a, b).sum().backward()
    compiled.usable = usable


def of_ways(o: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each way and length: the way against our recurrence."""
    rows = []
    for steps in LENGTHS:
        given = [torch.rand(steps, CHANNELS, requires_grad=True) for _ in range(2)]
        ours = clocked(through, linear_recurrence, True, *given, threads=o.threads)
        for name, way in WAYS.items():
            theirs = clocked(through, way, False, *given, threads=o.threads)
            row = {"name": name, "shape": {"T": steps, "M": CHANNELS}, "pass": "train"}
            rows.append(row | paired(theirs, ours, o))
            say(rows[-1], "C")
    return rows


def of_cells(o: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each cell and pass: the cell against torch's GRU of the same width."""
    x, rows = torch.randn(*SHAPE.values()), []
    clock = time.process_time if o.threads == 1 else time.perf_counter
    gru = nn.GRU(SHAPE["D"], SHAPE["D"])
    for name, kind in CELLS.items():
        cell = kind(SHAPE["D"], SHAPE["D"], seed=0)
        for way, run in {"train": train, "forward": forward}.items():
            ours, theirs = (lambda m=m, run=run: run(m, x, clock) for m in (cell, gru))
            row = {"name": name, "shape": SHAPE, "pass": way}
            rows.append(row | paired(ours, theirs, o))
            say(rows[-1], "GRU")
    return rows


def say(row: dict[str, Any], other: str) -> None:
    """One line of the table."""
    sizes = " ".join(f"{k} {v}" for k, v in row["shape"].items())
    print(
        f"{row['name']:10} {sizes:18} {row['pass']:8} {row['ms']:7.1f} ms, {other} "
        f"{row['torch_ms']:7.1f} ms: {row['ratio']:.2f} of its time "
        f"({row['low']:.2f} to {row['high']:.2f}, best {row['best']:.2f})",
        flush=True,
    )


def main() -> None:
    """Measure, print, and store if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30, help="most for one row")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--note", default="", help="what else to say of the run")
    parser.add_argument("--store", action="store_true", help="keep the figures")
    o = parser.parse_args()
    commit()  # remembered now: the checkout may be edited while the run goes on
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    print(f"{device_name('cpu')}, {o.threads} threads, torch {torch.__version__}")
    started, load = time.perf_counter(), os.getloadavg()[0]
    rows = {"floor": of_recurrence(o), "cells": of_cells(o), "ways": of_ways(o)}
    cells = [r["ratio"] for r in rows["cells"] if r["pass"] == "train"]
    found = {
        "status": "finished",
        "note": o.note,
        "clock": "processor" if o.threads == 1 else "wall",
        **rows,
        "metrics": {"of_floor": rows["floor"][0]["ratio"], "of_gru": max(cells)},
        "load": {"before": load, "after": os.getloadavg()[0]},
        "seconds": time.perf_counter() - started,
    }
    if o.store:
        keep("modern/scans", o.threads, found)


if __name__ == "__main__":
    main()
