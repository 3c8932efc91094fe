"""One time step in evaluation beside torch's cells, at batch 1.

    python bench/steps.py

prints JSON: for each core, gate and way (the cell; `step` of the module) the medians of
both times in microseconds and of their ratio, taken in pairs.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import gatebook
import torch
from torch import nn

GATES = ("LSTM", "UR", "O", "OM", "sharpened")


def steps(
    features: int = 64, hidden: int = 128, rounds: int = 300, threads: int = 1
) -> list[dict[str, Any]]:
    """One row for each core, gate and way."""
    torch.set_num_threads(threads)
    rows = []
    with torch.no_grad():
        for core in ("LSTM", "GRU"):
            torchs = getattr(nn, f"{core}Cell")(features, hidden)
            for gate in GATES:
                for way, ours in _ways(core, gate, features, hidden).items():
                    times = paired(ours, _call(torchs, core, features, hidden), rounds)
                    rows.append({"core": core, "gate": gate, "way": way, **times})
    return rows


def _ways(
    core: str, gate: str, features: int, hidden: int
) -> dict[str, Callable[[], Any]]:
    cell = getattr(gatebook, f"{core}Cell")(features, hidden, gate=gate).eval()
    rnn = getattr(gatebook, core)(features, hidden, gate=gate).eval()
    return {
        "cell": _call(cell, core, features, hidden),
        "step": _call(rnn.step, core, features, hidden, layers=1),
    }


def _call(
    run: Callable[..., Any], core: str, features: int, hidden: int, layers: int = 0
) -> Callable[[], Any]:
    """A call of one step at batch 1 with a carried state."""
    shape = (layers, 1, hidden) if layers else (1, hidden)
    x, h, c = torch.randn(1, features), torch.randn(shape).tanh(), torch.randn(shape)
    state = (h, c) if core == "LSTM" else h
    return lambda: run(x, state)


def paired(
    ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, calls: int = 10
) -> dict[str, float]:
    """Medians over rounds in which one is timed right after the other."""
    found = []
    for _ in range(rounds):
        marks = [time.perf_counter()]
        for run in (ours, theirs):
            for _ in range(calls):
                run()
            marks.append(time.perf_counter())
        found.append((marks[1] - marks[0], marks[2] - marks[1]))
    micro = 1e6 / calls
    return {
        "ours_us": statistics.median(a for a, _ in found) * micro,
        "torch_us": statistics.median(b for _, b in found) * micro,
        "ratio": statistics.median(a / b for a, b in found),
    }


if __name__ == "__main__":
    print(json.dumps(steps(), indent=1))
