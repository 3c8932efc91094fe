"""A first half hour on a GPU: tests, ratios to cuDNN, then P2's copying at N = 500.

    python bench/gpu.py [--budget 30] [--device cuda] [--steps 100000]

Needs PyTorch with Triton and nothing else (`stand_in`); the library is imported from
``src/lib``. Ratios go to ``data/results/inside/gpu``, runs to
``data/results/memory/copy/paper``, as `gatebook run memory/copy --profile paper` would
leave them. What is stored is not made again, and a training that the budget ends goes
on from its checkpoint. Where the book's packages are installed, `gatebook reproduce`
spends what is left of the budget.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src" / "lib"), str(Path(__file__).parent)]
os.environ.setdefault("GATEBOOK_ROOT", str(ROOT))

import stand_in  # noqa: E402

MISSING = stand_in.fill_in()

import torch  # noqa: E402
from gatebook import GATES, GRU, LSTM, NINE, reference  # noqa: E402
from gatebook.rnn import together  # noqa: E402
from gatebook.tasks import Copy  # noqa: E402
from gatebook.training import Plan  # noqa: E402
from gatebook_book.runs.provenance import commit, device_name  # noqa: E402
from gatebook_book.runs.store import Store, write_atomic  # noqa: E402
from gatebook_book.studies.starts import start_of_p2  # noqa: E402
from gatebook_book.studies.tasks import Point, forget_gates, train_all  # noqa: E402
from torch import Tensor, nn  # noqa: E402

SHAPES = (
    (500, 32, 10, 128),
    (500, 32, 10, 256),
    (784, 50, 1, 512),
    (70, 20, 400, 1150),
)
"""(T, B, I, H): as in speed.py."""

ROUNDS = 15
"""Pairs of one of our passes and one of cuDNN's; a figure is their median ratio."""

CLOSE = 1e-4
"""Largest difference of an output or gradient between scan and loop, in float32,
relative to the loop's largest."""


def main() -> None:
    """All of it, in the order of its worth."""
    options = _options()
    end = time.monotonic() + 60 * options.budget
    print(
        f"{device_name(options.device)}, torch {torch.__version__}, commit {commit()}"
    )
    if MISSING:
        print(f"not installed, stood in for: {', '.join(MISSING)}")
    test(options.device)
    keep_ratios(options)
    if time.monotonic() >= end:
        print("the budget is spent; a larger one goes on with the trainings")
        return
    with interrupted_at(end):
        copy_runs(options)
    left = (end - time.monotonic()) / 60
    if left > 1:
        reproduce(left, options.device)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=30.0, help="minutes in all")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=100_000, help="of a training")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--shape", action="append", help="T,B,I,H instead of the four")
    found = parser.parse_args()
    if not 0 < found.budget < 10_000:
        parser.error(f"--budget is {found.budget}; allowed: minutes above 0")
    if found.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("--device is cuda, but PyTorch sees no GPU here; allowed: cpu")
    return found


# -- tests -------------------------------------------------------------------------


def test(device: str) -> None:
    """The fused scan against the loop: the GPU's tests if pytest is here, else ours.

    Raises:
        SystemExit: if they differ.
    """
    if importlib.util.find_spec("pytest") and importlib.util.find_spec("hypothesis"):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "tests/gatebook/fused/test_gpu.py",
            "tests/gatebook/modern/test_recurrence.py",
        ]
        path = {"PYTHONPATH": str(ROOT / "src" / "lib")}
        if subprocess.run(command, cwd=ROOT, env=os.environ | path).returncode:
            raise SystemExit("the fused scan's tests failed; nothing else was started")
        return
    for name, gap in gaps(device):
        print(f"scan and loop, {name}: {gap:.1e}")
        if not gap <= CLOSE:
            raise SystemExit(f"scan and loop differ by {gap:.1e} for {name}")


def gaps(device: str) -> Iterator[tuple[str, float]]:
    """The largest relative difference of scan and loop, for each core and gate."""
    for kind in (LSTM, GRU):
        for gate in GATES:
            torch.manual_seed(0)
            rnn = kind(5, 32, gate=gate, h_detach=0.25, seed=0, device=device)
            x = torch.randn(40, 6, 5, device=device, requires_grad=True)
            rnn.eval()  # both sides without draws
            fast = _outputs(rnn, x)
            with reference():
                slow = _outputs(rnn, x)
            pairs = zip(fast, slow, strict=True)
            gap = max(_relative(a, b) for a, b in pairs)
            yield f"{kind.__name__} {gate}", gap


def _outputs(rnn: nn.Module, x: Tensor) -> list[Tensor]:
    out = rnn(x)[0]
    return [out, *torch.autograd.grad(out.sin().sum(), [x, *rnn.parameters()])]


def _relative(a: Tensor, b: Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max().clamp(min=1e-6)).item()


def folder_of(options: argparse.Namespace) -> Path:
    """Where results are kept; those of another size or of a CPU are not."""
    whole = options.steps == 100_000 and not options.shape
    kept = whole and options.device.startswith("cuda")
    return ROOT / ("data/results" if kept else "_build/gpu")


# -- ratios ------------------------------------------------------------------------


def keep_ratios(options: argparse.Namespace) -> None:
    """Ratios to cuDNN, printed and stored, once a device and commit."""
    name = "-".join(device_name(options.device).split()).replace("/", "")
    file = folder_of(options) / "inside" / "gpu" / f"{name}-{commit()}.json"
    if file.exists():
        print(f"ratios: stored before in {file}")
        return
    shapes = [tuple(map(int, s.split(","))) for s in options.shape or ()] or SHAPES
    rows = []
    for shape in shapes:
        for row in ratios(shape, options.device, options.rounds):
            rows.append(row)
            print("{shape} {what}: {ms:.2f} ms, {ratio:.2f} of nn.LSTM's".format(**row))
    content = {"device": device_name(options.device), "torch": torch.__version__}
    content |= {"commit": commit(), "rounds": options.rounds, "rows": rows}
    write_atomic(file, (json.dumps(content) + "\n").encode())


def ratios(
    shape: tuple[int, ...], device: str, rounds: int
) -> Iterator[dict[str, Any]]:
    """Forward and backward of UR, alone and four side by side, against `nn.LSTM`."""
    steps, batch, features, hidden = shape
    x = torch.randn(steps, batch, features, device=device)
    theirs = nn.LSTM(features, hidden, device=device)
    ours = [LSTM(features, hidden, gate="UR", seed=k, device=device) for k in range(4)]
    base = lambda: theirs(x)[0].sum().backward()  # noqa: E731
    one = lambda: ours[0](x)[0].sum().backward()  # noqa: E731
    four = lambda: sum(  # noqa: E731
        out.sum() for out in together(ours, [x] * 4)
    ).backward()
    for what, work in (("UR", one), ("four UR side by side", four)):
        pairs = [
            (_seconds(work, device), _seconds(base, device)) for _ in range(rounds + 2)
        ]
        pairs = pairs[2:]  # the first compile
        yield {
            "shape": list(shape),
            "what": what,
            "ms": 1e3 * statistics.median(a for a, _ in pairs),
            "ratio": statistics.median(a / b for a, b in pairs),
        }


def _seconds(work: Callable[[], None], device: str) -> float:
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    started = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - started


# -- copying at N = 500 --------------------------------------------------------------


def with_start(gate: str) -> dict[str, Any]:
    """The gate with P2's own start of its biases."""
    return {"gate": gate} | start_of_p2(gate)


def copy_points(steps: int) -> list[Point]:
    """The runs of memory/copy at the profile paper, seed by seed: nine gates each."""
    plan = Plan(steps, 1e-3, evaluate_every=max(1, steps // 100))
    return [
        Point(gate, seed, Copy(500, 32, seed=seed), plan, 256, options=with_start(gate))
        for seed in range(3)
        for gate in NINE
    ]


def copy_runs(options: argparse.Namespace) -> None:
    """Train what is not stored, nine gates side by side."""
    store = Store("memory/copy", "paper", folder_of(options), options.device)
    points = copy_points(options.steps)
    for k in range(0, len(points), len(NINE)):
        group = points[k : k + len(NINE)]
        for run in train_all(store, group, looks={"histograms": forget_gates}):
            print(f"{run['name']} seed {run['seed']}: {run['metrics']}")


class interrupted_at:
    """Ends what goes on within at a time, as Ctrl-C would: trainings are stored."""

    def __init__(self, end: float):
        self.timer = threading.Timer(max(end - time.monotonic(), 0), self._ring)
        self.over = False

    def _ring(self) -> None:
        import _thread

        self.over = True
        _thread.interrupt_main()

    def __enter__(self) -> None:
        self.timer.daemon = True
        self.timer.start()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        self.timer.cancel()
        if kind is KeyboardInterrupt and self.over:
            print("the budget is spent; the same command goes on from there")
            return True
        return False


# -- the rest ------------------------------------------------------------------------


def reproduce(minutes: float, device: str) -> None:
    """The other runs of the ledger, if the book's packages are here."""
    if not importlib.util.find_spec("papermill"):
        print("the book's packages are not installed; other runs are left out")
        return
    command = [sys.executable, "-m", "gatebook_book.cli", "reproduce", "--profile"]
    command += ["paper", "--device", device, "--budget", f"{max(1, int(minutes))}m"]
    path = {"PYTHONPATH": str(ROOT / "src" / "lib")}
    subprocess.run(command, cwd=ROOT, env=os.environ | path, check=False)


if __name__ == "__main__":
    main()
