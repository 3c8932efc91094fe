"""What `speed.py` runs in processes of its own: one measurement each, JSON out.

    python bench/measure.py ratios '{"shape": [500, 32, 10, 128], ...}'

A process of its own lets each measurement have its allocator setting, its cache and
its peak of memory.
"""

import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

METHODS: dict[str, dict] = {
    "LSTM": {"gate": "LSTM"},  # C and U compute the same
    "UR": {"gate": "UR"},  # so does R
    "O": {"gate": "O"},
    "OR": {"gate": "OR"},
    "OM": {"gate": "OM"},
    "UM": {"gate": "UM"},
    "G2": {"gate": "G2"},
    "sharpened": {"gate": "sharpened"},
    "h-detach": {"gate": "LSTM", "h_detach": 0.25},
    "GRU": {"gate": "LSTM"},
}
"""Each gate that computes something of its own; all in the LSTM but the last."""


def build(method: str, features: int, hidden: int, torchs: bool = False) -> nn.Module:
    """Our module, or torch's of the same core."""
    core = "GRU" if method == "GRU" else "LSTM"
    if torchs:
        return getattr(nn, core)(features, hidden)
    import gatebook

    options = dict(METHODS[method])
    if options["gate"] in ("OM", "UM"):
        options["gate"] = _masters(options["gate"], hidden)
    return getattr(gatebook, core)(features, hidden, seed=0, **options)


def _masters(name: str, hidden: int):
    """The gate with masters of 16 units, or of 10 where 16 does not divide H."""
    from gatebook import gates

    activation = gates.GATES[name].activation
    return gates.Gate(activation, gates.Master(16 if hidden % 16 == 0 else 10))


def train(model: nn.Module, x: Tensor) -> float:
    """Seconds of a forward and a backward pass."""
    model.zero_grad(set_to_none=True)
    started = time.perf_counter()
    model(x)[0].sum().backward()
    return time.perf_counter() - started


def forward(model: nn.Module, x: Tensor) -> float:
    """Seconds of a forward pass alone, in evaluation."""
    model.eval()
    with torch.no_grad():
        started = time.perf_counter()
        model(x)
        seconds = time.perf_counter() - started
    model.train()
    return seconds


def looped(model: nn.Module, x: Tensor) -> float:
    """Seconds of a training step of the reference loop."""
    from gatebook import reference

    with reference():
        return train(model, x)


PASSES: dict[str, Callable[[nn.Module, Tensor], float]] = {
    "train": train,
    "forward": forward,
}


def ratios(
    shape: list[int], methods: list[str], rounds: int, seconds: float, calls: int = 1
) -> dict:
    """Ours against torch's, each of our runs between two of torch's.

    As many as ``rounds`` rounds over all methods, fewer where ``seconds`` end first.
    A method whose turn has not come by then is left out. A run is ``calls`` calls in
    a row: what one side leaves in the caches would weigh on a short call of the other.
    """
    x, pairs = _pairs(shape, methods)
    found: dict[str, dict[str, list[list[float]]]] = {
        method: {name: [] for name in PASSES} for method in methods
    }
    ends = time.perf_counter() + seconds
    for _ in range(rounds):
        for method, (ours, theirs) in pairs.items():
            if found[methods[0]]["train"] and time.perf_counter() > ends:
                break
            for name, run in PASSES.items():
                before, own, after = (
                    statistics.fmean(run(model, x) for _ in range(calls))
                    for model in (theirs, ours, theirs)
                )
                found[method][name].append([own, (before + after) / 2])
    return {
        method: {name: summary(pairs) for name, pairs in passes.items()}
        for method, passes in found.items()
        if passes["train"]
    }


def _pairs(shape: list[int], methods: list[str]) -> tuple[Tensor, dict]:
    """An input, and a warm pair of modules for each method."""
    steps, batch, features, hidden = shape
    torch.manual_seed(0)
    x = torch.randn(steps, batch, features)
    cores = {"GRU" if method == "GRU" else "LSTM" for method in methods}
    torchs = {core: build(core, features, hidden, torchs=True) for core in cores}
    made = {method: build(method, features, hidden) for method in methods}
    for model in (*torchs.values(), *made.values()):
        for run in PASSES.values():
            run(model, x if model in torchs.values() else x[:2])
    train(next(iter(made.values())), x)  # its buffers serve the others too
    return x, {m: (made[m], torchs["GRU" if m == "GRU" else "LSTM"]) for m in made}


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Other programs at work meanwhile: loops that do nothing, one per core."""
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command) for _ in range(count)]
    try:
        time.sleep(0.5 if busy else 0)  # until they have started
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def beside(shape: list[int], methods: list[str], rounds: int, seconds: float) -> dict:
    """The ratios on quiet cores and, in the same process, beside busy neighbours."""
    limits = {"rounds": rounds, "seconds": seconds, "calls": 5}
    found = {"quiet": ratios(shape, methods, **limits)}
    with neighbours(os.cpu_count() or 1):
        found["busy"] = ratios(shape, methods, **limits)
    return found


def steps(sizes: list[int], methods: list[str], rounds: int) -> dict:
    """One step in evaluation: our cells, and modules, against torch's cells."""
    import gatebook

    batch, features, hidden = sizes
    x, found = torch.randn(batch, features), {}
    for method in methods:
        core = "GRU" if method == "GRU" else "LSTM"
        theirs = getattr(nn, f"{core}Cell")(features, hidden)
        options = METHODS[method]
        cell = getattr(gatebook, f"{core}Cell")(features, hidden, **options)
        module = getattr(gatebook, core)(features, hidden, **options)
        cell.eval(), module.eval()
        found[method] = {
            "cell": _step_ratio(cell, theirs, x, rounds),
            "module": _step_ratio(module.step, theirs, x, rounds),
        }
    return found


def _step_ratio(ours: Callable, theirs: Callable, x: Tensor, rounds: int) -> dict:
    """Ratio of a step's times; each round takes ten steps of either side."""

    def ten(call: Callable) -> float:
        started = time.perf_counter()
        for _ in range(10):
            call(x)
        return (time.perf_counter() - started) / 10

    with torch.no_grad():
        ten(ours), ten(theirs)
        pairs = []
        for _ in range(rounds):
            before, own, after = ten(theirs), ten(ours), ten(theirs)
            pairs.append([own, (before + after) / 2])
    return summary(pairs)


def compiled(shape: list[int], rounds: int) -> dict:
    """A training step of the loop through `torch.compile`, against torch's LSTM.

    ``seconds`` is the time of the first step, in which the loop is compiled; ``fused``
    is the ratio of our module at the same shape.
    """
    steps, batch, features, hidden = shape
    x, theirs = torch.randn(steps, batch, features), nn.LSTM(features, hidden)
    ours = Loop(theirs)
    ours.run = torch.compile(ours.run, dynamic=False)
    started = time.perf_counter()
    train(ours, x)
    found: dict = {"shape": shape, "seconds": round(time.perf_counter() - started, 1)}
    for name, model in {"compiled": ours, "fused": build("UR", *shape[2:])}.items():
        train(model, x), train(theirs, x)
        pairs = []
        for _ in range(rounds):
            before, own, after = train(theirs, x), train(model, x), train(theirs, x)
            pairs.append([own, (before + after) / 2])
        found[name] = summary(pairs)
    return found


def higher_order(shape: list[int], rounds: int) -> dict:
    """A training step through torch's ``scan`` operator, as it is and compiled.

    ``ms`` and ``compiled_ms`` are the fastest of the rounds. ``error`` is what the
    compiler says if it cannot compile the operator's gradient.
    """
    steps, batch, features, hidden = shape
    x, theirs = torch.randn(steps, batch, features), nn.LSTM(features, hidden)
    ours, found = Loop(theirs), {"shape": shape, "ms": 0.0}
    found["loop_ms"] = round(1000 * _fastest(ours, x, rounds), 2)
    ours.run = scanned
    found["ms"] = round(1000 * _fastest(ours, x, rounds), 2)
    ours.run = torch.compile(scanned)
    try:
        found["compiled_ms"] = round(1000 * _fastest(ours, x, rounds), 2)
    except Exception as error:  # of many kinds, by torch's version
        found["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
    return found


def _fastest(model: nn.Module, x: Tensor, rounds: int) -> float:
    train(model, x)
    return min(train(model, x) for _ in range(rounds))


def scanned(x: Tensor, w: Tensor, v: Tensor, bias: Tensor, h: Tensor) -> Tensor:
    """`Loop.run` through torch's ``scan`` operator."""
    from torch._higher_order_ops.scan import scan

    def step(state: tuple, a: Tensor) -> tuple:
        h, c = state
        i, f, u, o = (a + h @ v.T).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * u.tanh()
        h = o.sigmoid() * c.tanh()
        return (h, c.clone()), h.clone()

    return scan(step, (h, h.clone()), x @ w.T + bias)[1]


class Loop(nn.Module):
    """The plain loop over time, with the weights of a `torch.nn.LSTM`."""

    def __init__(self, lstm: nn.LSTM):
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Outputs (T, B, H)."""
        w, v, b, c = self.lstm.all_weights[0]
        return (self.run(x, w, v, b + c, x.new_zeros(x.shape[1], v.shape[1])),)

    @staticmethod
    def run(x: Tensor, w: Tensor, v: Tensor, bias: Tensor, h: Tensor) -> Tensor:
        """The loop alone, as `torch.compile` gets it."""
        c, outputs = h, []
        for a in (x @ w.T + bias).unbind():
            i, f, u, o = (a + h @ v.T).chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * u.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs)


def growth(sizes: list[list[int]], rounds: int, seconds: float) -> list[dict]:
    """Training steps of UR at several shapes."""
    limits = {"methods": ["UR"], "rounds": rounds, "seconds": seconds / len(sizes)}
    return [
        {"shape": shape, **ratios(shape, **limits)["UR"]["train"]} for shape in sizes
    ]


def summary(pairs: list[list[float]]) -> dict[str, float]:
    """Median, lowest and highest ratio, and both sides' median milliseconds.

    ``best`` is the ratio of the two shortest times, which a busy machine moves least.
    """
    parts = [own / other for own, other in pairs]
    sides = list(zip(*pairs, strict=True))
    ours, theirs = map(statistics.median, sides)
    return {
        "ratio": round(statistics.median(parts), 3),
        "low": round(min(parts), 3),
        "high": round(max(parts), 3),
        "best": round(min(sides[0]) / min(sides[1]), 3),
        "ms": round(1000 * ours, 2),
        "torch_ms": round(1000 * theirs, 2),
        "rounds": len(parts),
    }


def loop(shape: list[int], method: str, most: float = 20.0) -> dict | None:
    """The reference loop against torch's module; nothing if it takes too long."""
    x, pairs = _pairs(shape, [method])
    ours, theirs = pairs[method]
    if looped(ours, x[: len(x) // 10]) > most / 10:
        return None
    return summary([[looped(ours, x), train(theirs, x)] for _ in range(3)])


def memories(shape: list[int], methods: list[str]) -> dict:
    """MiB that a training step adds at its highest, each side in its own process."""
    import gatebook  # noqa: F401  # once, before the processes are split off

    cores = {"GRU" if method == "GRU" else "LSTM" for method in methods}
    tasks = [(shape, core, True) for core in sorted(cores)]
    tasks += [(shape, method, False) for method in methods]
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        found = pool.starmap(_memory, tasks, chunksize=1)
    theirs = dict(zip(sorted(cores), found, strict=False))
    ours = dict(zip(methods, found[len(cores) :], strict=True))
    return {m: [ours[m], theirs["GRU" if m == "GRU" else "LSTM"]] for m in methods}


def _memory(shape: list[int], method: str, torchs: bool) -> float:
    steps, batch, features, hidden = shape
    model = build(method, features, hidden, torchs)
    train(model, torch.zeros(2, 1, features))  # loads the code
    x = torch.randn(steps, batch, features)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now the present size
    before = _mark("VmHWM")
    train(model, x)
    return (_mark("VmHWM") - before) / 1024


def _mark(name: str) -> int:
    """A line of the process's status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith(name))


def start(method: str, torchs: bool) -> float:
    """Seconds of building a module and its first training step."""
    started = time.perf_counter()
    train(build(method, 10, 128, torchs), torch.randn(20, 4, 10))
    return time.perf_counter() - started


def rate(size: int = 2048, repeats: int = 5) -> float:
    """GFLOP/s of the fastest float32 matrix product that PyTorch has here."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    ways = [lambda: torch.mm(a, b)]
    if torch.backends.mkldnn.is_available():
        packed = torch.ops.mkldnn._reorder_linear_weight(b, size)
        call = torch.ops.mkldnn._linear_pointwise
        ways.append(lambda: call(a, packed, None, "none", [], ""))
    with torch.no_grad():
        return max(2 * size**3 / _best(way, repeats) / 1e9 for way in ways)


def _best(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def main() -> None:
    """Run the measurement that the arguments name."""
    kind, options, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    kinds: tuple[Callable, ...] = (ratios, beside, steps, compiled, higher_order)
    kinds += (growth, loop, memories, start, rate)
    found = {f.__name__: f for f in kinds}[kind](**json.loads(options))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
