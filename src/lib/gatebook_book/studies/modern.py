"""The experiments of the page `modern/experiments`: methods, their points, figures."""

from collections.abc import Callable, Sequence
from typing import Any

from gatebook.errors import check_choice
from gatebook.gates import Chrono, Constant, Gate, Gumbel, HDetach, Refine, Uniform
from gatebook.modern import CELLS, HGRN, Bounds, LogUniform
from gatebook.modes import evaluating
from gatebook.random import derive_seed
from gatebook.rnn.module import LSTM
from gatebook.rnn.record import record
from gatebook.tasks import Task
from gatebook.training import History, Plan
from torch import nn

from gatebook_book.runs.statistics import best_rate
from gatebook_book.runs.store import Run
from gatebook_book.studies.blocks import Blocks
from gatebook_book.studies.tasks import CORES, Point

HORIZON = 200
"""Steps that the laws with an end are made for: chrono's T, half of log-uniform's."""

STARTS = {
    "zero": Constant(0.0),
    "U": Uniform(),
    "C": Chrono(t_max=HORIZON),
    "log": LogUniform(2, 2 * HORIZON),
}
"""Laws of the forget gate, by the names in the methods' names."""

LAST = 5
"""Evaluations at a run's end of which a figure is the mean."""


def _mingru(start: str, **others: Any) -> tuple[str, dict[str, Any]]:
    return "minGRU", {"gate": Gate(STARTS[start], **others)}


METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"minGRU-{start}": _mingru(start) for start in STARTS},
    **{
        f"minGRU-{start}+refine": _mingru(start, auxiliary=Refine("zero"))
        for start in ("zero", "U", "C")
    },
    "minGRU-U-wide": _mingru("U"),
    "minGRU-log+noise": _mingru("log", noise=Gumbel(p=1.0)),
    "minGRU-log-1-block": _mingru("log"),
    "HGRN-bound": ("HGRN", {"bounded": True}),
    "HGRN-log": ("HGRN", {"gate": Gate(STARTS["log"])}),
    "RG-LRU": ("RG-LRU", {}),
    "Mamba": ("Mamba", {"states": 4}),
    "Mamba-lost": ("Mamba", {"states": 4, "gate": Gate(Constant(-1.0))}),
    "GLA": ("GLA", {"heads": 1, "keys": 16}),
    "sLSTM-log": ("sLSTM", {"gate": Gate(STARTS["log"])}),
    "sLSTM-log-cut": (
        "sLSTM",
        {"gate": Gate(STARTS["log"], gradient=HDetach(1.0))},
    ),
    "LSTM": ("LSTM", {}),
}
"""Of each method the cell and its options."""

WIDER = {"minGRU-U-wide": 1.5}
"""Methods whose width is a multiple of the others'."""

BLOCKS = {"minGRU-log-1-block": 1}
"""Methods with another number of blocks than two."""


def in_blocks(
    input_size: int,
    hidden_size: int,
    *,
    seed: int,
    cell: str,
    blocks: int = 2,
    convolution: bool = False,
    bounded: bool = False,
    **options: Any,
) -> Blocks:
    """`Blocks` around a cell by its name, each cell with a random stream of its own.

    Arguments:
        input_size: I.
        hidden_size: D.
        seed: of the streams.
        cell: of `CELLS`, or ``"LSTM"``.
        blocks: how many.
        convolution: as in `Blocks`.
        bounded: whether the blocks' HGRNs share lower bounds.
        options: of the cell.
    """
    kinds: dict[str, Callable[..., nn.Module]] = {"LSTM": LSTM, **CELLS}
    check_choice("cell", cell, kinds)
    bounds = Bounds(blocks, hidden_size) if bounded else None

    def make(inputs: int, units: int, k: int) -> nn.Module:
        own = {"seed": derive_seed(seed, "block", k)} | options
        if bounds is not None:
            return HGRN(inputs, units, bounds=bounds, layer=k, **own)
        return kinds[cell](inputs, units, **own)

    return Blocks(input_size, hidden_size, make, blocks, convolution)


CORES.update(CELLS, blocks=in_blocks)


def bare(method: str, seed: int, task: Task, plan: Plan, hidden_size: int) -> Point:
    """A run of a cell alone, with a linear head.

    Raises:
        ValueError: for an unknown method.
    """
    check_choice("method", method, METHODS)
    core, options = METHODS[method]
    units = round(hidden_size * WIDER.get(method, 1))
    return Point(method, seed, task, plan, units, core, options)


def framed(
    method: str,
    seed: int,
    task: Task,
    plan: Plan,
    hidden_size: int,
    convolution: bool = False,
) -> Point:
    """A run of a cell within residual blocks, all methods of one size.

    Raises:
        ValueError: for an unknown method.
    """
    check_choice("method", method, METHODS)
    cell, options = METHODS[method]
    frame = {"cell": cell, "blocks": BLOCKS.get(method, 2), "convolution": convolution}
    return Point(method, seed, task, plan, hidden_size, "blocks", frame | options)


def late_scores(model: nn.Module, task: Task, history: History) -> dict[str, float]:
    """Each score as the mean of its last `LAST` evaluations: curves may swing."""
    scores = {k: v[-LAST:] for k, v in history.curves.items() if k != "step"}
    return {name: sum(values) / len(values) for name, values in scores.items()}


def late_scores_and_gates(
    model: nn.Module, task: Task, history: History
) -> dict[str, float]:
    """`late_scores`, and of a bare cell ``binary``: gates below 0.1 or above 0.9."""
    (x, _), *_ = task.validation()
    with record(model) as gates, evaluating(model):
        model(x.to(next(model.parameters()).device))
    f = gates["l0"]["effective_forget"].data
    binary = ((f < 0.1) | (f > 0.9)).float().mean().item()
    return late_scores(model, task, history) | {"binary": binary}


def with_rates(
    make: Callable[[str, int, float], Point],
    methods: Sequence[str],
    rates: Sequence[float],
    seeds: Sequence[int],
) -> list[Point]:
    """The points of all methods, seed by seed, each at all learning rates."""
    return [
        make(method, seed, rate)
        for seed in seeds
        for method in methods
        for rate in rates
    ]


def at_best_rates(runs: Sequence[Run], metric: str, best: str) -> dict[str, list[Run]]:
    """Of each method the runs at its best learning rate; see `best_rate`."""
    names = dict.fromkeys(run["name"] for run in runs)
    own = {name: [run for run in runs if run["name"] == name] for name in names}
    return {name: best_rate(found, metric, best) for name, found in own.items()}
