"""A training step whose gradient vanishes, against torch's; a table, a JSON to keep.

    python bench/vanishing.py [--rounds 5] [--note TEXT] [--store]

The loss is on the last step alone and the gates start at one half, so that most of the
way back has numbers below the least normal one. Torch takes them as they are, or as 0
with `torch.set_flush_denormal`. Each of our runs stands between two of torch's; the
clock counts the process's own time on one thread.
"""

import argparse
import os
import statistics
import time

import torch
from gatebook import LSTM
from gatebook_book.runs.provenance import commit, device_name
from keep import keep
from measure import summary
from torch import Tensor, nn

SHAPE = (784, 100, 1, 100)
"""T, B, I and H: digits read pixel by pixel, as P3 trains them."""


def last_step(model: nn.Module, x: Tensor) -> float:
    """Seconds of a forward and a backward pass for a loss on the last step."""
    model.zero_grad(set_to_none=True)
    started = time.process_time()
    model(x)[0][-1].sum().backward()
    return time.process_time() - started


def ratios(flush: bool, rounds: int) -> dict[str, float]:
    """Our time to torch's, which flushes small numbers or does not."""
    steps, batch, features, hidden = SHAPE
    torch.manual_seed(0)
    x = torch.rand(steps, batch, features)
    theirs = nn.LSTM(features, hidden)
    ours = LSTM.from_torch(theirs)
    torch.set_flush_denormal(flush)
    try:
        last_step(theirs, x), last_step(ours, x)
        pairs = []
        for _ in range(rounds):
            before, own, after = (last_step(m, x) for m in (theirs, ours, theirs))
            pairs.append([own, statistics.fmean([before, after])])
    finally:
        torch.set_flush_denormal(False)
    return summary(pairs)


def main() -> None:
    """Measure, print, and store if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--note", default="", help="what else to say of the run")
    parser.add_argument("--store", action="store_true", help="keep the figures")
    o = parser.parse_args()
    commit()  # remembered now: the checkout may be edited while the run goes on
    torch.set_num_threads(1)
    print(f"{device_name('cpu')}, one thread, torch {torch.__version__}")
    started, load = time.perf_counter(), os.getloadavg()[0]
    rows = [{"flush": f, **ratios(f, o.rounds)} for f in (False, True)]
    for row in rows:
        print(row, flush=True)
    found = {
        "status": "finished",
        "note": o.note,
        "shape": SHAPE,
        "rows": rows,
        "metrics": {"ratio": rows[0]["ratio"]},
        "load": {"before": load, "after": os.getloadavg()[0]},
        "seconds": time.perf_counter() - started,
    }
    if o.store:
        keep("inside/speed", 1, found, kind="vanishing")


if __name__ == "__main__":
    main()
