"""Time and memory of a training step against `torch.nn.LSTM`, paired in one run.

    python bench/cells.py [--repeats 5] [--threads 2] [--shape T,B,in,H ...]

For each shape, each round times `torch.nn.LSTM` and every gate one after the other,
so that what disturbs the machine disturbs both. A figure is the median over the
rounds of gate / nn.LSTM within the round. Peak memory is that of a process of its own
that does one training step, less that of one that only builds the model.
"""

import argparse
import statistics
import subprocess
import sys
import time

import torch
from gatebook import LSTM
from gatebook.results import peak_memory as process_peak

SHAPES = [
    (500, 32, 10, 128),
    (500, 32, 10, 256),
    (784, 50, 1, 512),
    (70, 20, 400, 1150),
]
METHODS = {
    "nn.LSTM": None,
    "LSTM": {"gate": "LSTM"},
    "UR": {"gate": "UR"},
    "G2": {"gate": "G2"},
    "h-detach": {"gate": "LSTM", "h_detach": 0.25},
}


def build(method: str, shape: tuple[int, ...]) -> tuple[torch.nn.Module, torch.Tensor]:
    """A model and an input of a shape (T, B, in, H)."""
    torch.manual_seed(0)
    steps, batch, features, hidden = shape
    options = METHODS[method]
    kind = torch.nn.LSTM if options is None else LSTM
    return kind(features, hidden, **(options or {})), torch.randn(
        steps, batch, features
    )


def training_step(model: torch.nn.Module, x: torch.Tensor) -> float:
    """Seconds of a forward and a backward pass."""
    model.zero_grad(set_to_none=True)
    started = time.perf_counter()
    model(x)[0].sum().backward()
    return time.perf_counter() - started


def ratios(shape: tuple[int, ...], repeats: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds, and median ratio to nn.LSTM within a round."""
    made = {method: build(method, shape) for method in METHODS}
    for model, x in made.values():
        training_step(model, x)
    rounds = [
        {method: training_step(*pair) for method, pair in made.items()}
        for _ in range(repeats)
    ]
    return {
        method: (
            1000 * statistics.median(r[method] for r in rounds),
            statistics.median(r[method] / r["nn.LSTM"] for r in rounds),
        )
        for method in METHODS
    }


def peak_memory(method: str, shape: tuple[int, ...]) -> float:
    """MiB that a training step adds to a process's peak."""

    def peak(step: bool) -> float:
        words = [method, ",".join(map(str, shape)), str(int(step))]
        command = [sys.executable, __file__, "--peak", *words]
        return float(subprocess.run(command, capture_output=True, check=True).stdout)

    return peak(True) - peak(False)


def print_peak(method: str, shape: str, step: str) -> None:
    """What the process of `peak_memory` does."""
    model, x = build(method, tuple(map(int, shape.split(","))))
    if step == "1":
        training_step(model, x)
    print(process_peak("cpu") / 2**20)


def main() -> None:
    """Print a table for each shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--shape", action="append", help="T,B,in,H")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        print_peak(*options.peak)
        return
    shapes = [tuple(map(int, s.split(","))) for s in options.shape or []] or SHAPES
    print(f"torch {torch.__version__}, {options.threads} threads, float32, "
          f"median of {options.repeats}")  # fmt: skip
    for shape in shapes:
        print(f"\n(T, B, in, H) = {shape}")
        print(f"{'':10} {'ms a step':>10} {'/ nn.LSTM':>10} {'peak MiB':>10}")
        for method, (ms, ratio) in ratios(shape, options.repeats).items():
            memory = peak_memory(method, shape)
            print(f"{method:10} {ms:10.0f} {ratio:10.2f} {memory:10.0f}", flush=True)


if __name__ == "__main__":
    main()
