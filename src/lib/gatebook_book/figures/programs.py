"""Figures of the page on programs: curves by core and kind, digits, gates, answers."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatebook_book.figures import plots
from gatebook_book.runs.store import Run

KINDS = ("addition", "control", "program")
CORES = ("LSTM", "RMC", "DNC")

MEMORY = "UR-DNC+memory"
"""The one method that has a gate of the grid at two places."""


def gate_of(name: str) -> str:
    """The gate in a run's name, by which it has its colour.

    Example:
        >>> [gate_of(name) for name in ("RMC", "C-RMC", "UR-DNC", "OM")]
        ['LSTM', 'C', 'UR', 'OM']
    """
    if name in CORES:
        return "LSTM"
    return name.split("-")[0]


def of(runs: Iterable[Run], core: str, kind: str) -> list[Run]:
    """The runs of one core on one kind of programs."""
    wanted = {"core": core, "kind": kind}
    return [run for run in runs if wanted.items() <= run["parameters"].items()]


def names_in(runs: Iterable[Run]) -> list[str]:
    """The methods that occur, in the order of the book's gates."""
    found = {run["name"] for run in runs}
    order = list(plots.COLOURS)
    return sorted(found, key=lambda name: (order.index(gate_of(name)), name))


# -- curves ----------------------------------------------------------------


def curves(
    runs: Sequence[Run],
    score: str,
    ylabel: str,
    guesses: Mapping[str, float],
    cores: Sequence[str] = ("LSTM", "RMC"),
    kinds: Sequence[str] = KINDS,
) -> Figure:
    """Each gate's seeds and their median, one panel for each core and kind.

    Arguments:
        runs: stored runs; without any, the figure says so.
        score: of their curves.
        ylabel: its name and unit.
        guesses: of each kind, the best constant guess: a dashed line.
        cores: the rows, from top to bottom.
        kinds: the columns. What was not run leaves its place blank.
    """
    shape = (len(cores), len(kinds))
    size = (plots.WIDTH + 0.6, max(2.3 * len(cores) + 0.6, plots.HEIGHT))
    fig, axes = plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False)
    if not runs:
        return plots.nothing(fig)
    for row, core in zip(axes, cores, strict=True):
        for ax, kind in zip(row, kinds, strict=True):
            if own := of(runs, core, kind):
                _panel(ax, own, score, guesses[kind])
                ax.set(title=f"{core}, {kind.capitalize()}", xlabel="step")
            else:
                ax.set_axis_off()
        row[0].set_ylabel(ylabel)
    _legend(fig, axes.flat, by_gate=len(cores) > 1)
    return fig


def _panel(ax: Axes, runs: Sequence[Run], score: str, guess: float) -> None:
    for name in names_in(runs):
        own = [run["curves"] for run in runs if run["name"] == name]
        gate = gate_of(name)
        lines = [c[score] for c in own]
        plots.median_of_seeds(ax, own[0]["step"], lines, gate, label=name)
        if name == MEMORY:  # the colour of its gate, and another line
            ax.lines[-1].set(linestyle=":", markerfacecolor="none")
    ax.axhline(guess, color=plots.INK, linewidth=1, linestyle=(0, (5, 3)))


def _legend(fig: Figure, axes: Iterable[Axes], by_gate: bool = True) -> None:
    """One entry per gate, or method, below all panels."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for line, name in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(gate_of(name) if by_gate else name, line)
    fig.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=6,
        handlelength=3.2,
        fontsize=9,
    )


# -- digits ----------------------------------------------------------------


def right_by(
    runs: Iterable[Run], key: Sequence[str], digits: int | None = None
) -> dict[tuple[int, ...], float]:
    """The share of right digits by what the look ``places`` knows, seeds together.

    Arguments:
        runs: stored runs.
        key: ``"digits"`` of the answer, ``"place"`` from its end, ``"carry"``.
        digits: only answers with so many.
    """
    counts: dict[tuple[int, ...], list[int]] = defaultdict(lambda: [0, 0])
    for run in runs:
        for entry in run["places"]["after"] or ():
            if digits in (None, entry["digits"]):
                total = counts[tuple(entry[name] for name in key)]
                total[0] += entry["count"]
                total[1] += entry["right"]
    return {k: right / count for k, (count, right) in sorted(counts.items())}


PLACES = ("ones", "tens", "hundreds", "thousands", "ten thousands")


def digits(runs: Sequence[Run], names: Sequence[str]) -> Figure:
    """Sums: the share of right digits by place, and by the carry."""
    fig, axes = plt.subplots(
        1, 2, figsize=(plots.WIDTH + 0.6, 3.4), layout="constrained", sharey=True
    )
    if not runs:
        return plots.nothing(fig)
    for name in names:
        own = [run for run in runs if run["name"] == name]
        found = right_by(own, ("place",))
        x = [-place for (place,) in found]
        axes[0].plot(x, list(found.values()), label=name, **plots.style(gate_of(name)))
    seen = sorted({place for (place,) in right_by(runs, ("place",))}, reverse=True)
    axes[0].set_xticks([-p for p in seen], [PLACES[p] for p in seen])
    axes[0].set(title="by the digit's place", ylabel="right digits")
    _carries(axes[1], runs, names)
    for ax in axes:  # what a guess of a digit is worth
        ax.axhline(0.1, color=plots.INK, linewidth=1, linestyle=(0, (5, 3)))
    _legend(fig, [axes[0]])
    return fig


def _carries(ax: Axes, runs: Sequence[Run], names: Sequence[str]) -> None:
    """The tens and the hundreds, by what is carried into them."""
    places, carries = (1, 2), (0, 1, 2)
    width = 0.8 / len(names)
    for k, name in enumerate(names):
        own = [run for run in runs if run["name"] == name]
        found = right_by(own, ("place", "carry"))
        bars = [
            (4 * i + carry + (k - (len(names) - 1) / 2) * width, found[place, carry])
            for i, place in enumerate(places)
            for carry in carries
            if (place, carry) in found
        ]
        if bars:
            x, height = zip(*bars, strict=True)
            ax.bar(x, height, width * 0.9, color=plots.COLOURS[gate_of(name)])
    ticks = [4 * i + carry for i in range(len(places)) for carry in carries]
    ax.set_xticks(ticks, [str(c) for _ in places for c in carries])
    ax.set(title="by the carry into it", xlabel="tens" + " " * 28 + "hundreds")


# -- gates over characters -------------------------------------------------


def gates_over_characters(runs: Sequence[Run], names: Sequence[str]) -> Figure:
    """The gates of some units over the characters of one program, a panel a method.

    The upper rows are the units that keep most to the end of the program, the lower
    ones those whose gate varies most.
    """
    height = 1.15 * len(names) + 1.4
    fig = plt.figure(figsize=(plots.WIDTH + 0.6, height), layout="constrained")
    whole = [run for run in runs if run["name"] in names and run["traces"]["after"]]
    if not whole:
        return plots.nothing(fig)
    axes = fig.subplots(len(names), 1, squeeze=False)[:, 0]
    for ax, name in zip(axes, names, strict=True):
        own = next((run for run in whole if run["name"] == name), None)
        if own is None:
            ax.set_axis_off()
            continue
        image = _heat(ax, own["traces"]["after"])
        ax.set_ylabel(name)
    plots.scale_below(fig, image, list(axes), "effective forget gate")
    return fig


def _heat(ax: Axes, trace: Mapping[str, Any]) -> Any:
    rows = [*trace["keeping"].values(), *trace["varying"].values()]
    text = trace["program"]
    image = ax.imshow(
        np.array(rows), aspect="auto", vmin=0, vmax=1, cmap="viridis", origin="upper"
    )
    ax.axhline(len(trace["keeping"]) - 0.5, color="white", linewidth=1)
    ax.axvline(len(text) - 0.5, color="white", linewidth=1)
    silent = len(rows[0]) - len(text)
    ax.set_xticks(range(len(rows[0])), [*text, *"·" * silent], fontsize=8)
    ax.set_yticks([])
    ax.tick_params(length=0)
    return image


# -- tables ----------------------------------------------------------------


def levels(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """How many answers are right at each level, median over the seeds, in percent."""
    by_level: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for run in runs:
        for entry in run["levels"]["after"] or ():
            level = (entry["length"], entry["nesting"])
            by_level[level].append((entry["accuracy"], entry["exact"]))
    return [
        {
            "digits ℓ": level[0],
            "operations n": level[1],
            "right characters": _percent(a for a, _ in found),
            "right answers": _percent(b for _, b in found),
        }
        for level, found in sorted(by_level.items())
    ]


def _percent(values: Iterable[float]) -> str:
    return f"{100 * statistics.median(values):.0f} %"


def holding(runs: Iterable[Run], part: str, share: float = 0.5) -> float | None:
    """How many units keep at least a share of their state over a part; the median.

    Arguments:
        runs: of one method.
        part: ``"inside"`` the brackets, or ``"after"`` the last one.
        share: in (0, 1).
    """
    kept = [run["kept"]["after"][part] for run in runs if run["kept"]["after"]]
    counts = [sum(value >= share for value in values) for values in kept]
    return statistics.median(counts) if counts else None


def beside(runs: Sequence[Run], names: Sequence[str], hardest: bool = True) -> Any:
    """Some programs with what each model writes, and which digits are right.

    Arguments:
        runs: of one seed and one kind, so that all have read the same programs.
        names: the methods, a column each.
        hardest: programs of the hardest level; of all levels otherwise.
    """
    own = {run["name"]: run["answers"]["after"] for run in runs}
    shown = [name for name in names if own.get(name)]
    rows = []
    for entries in zip(*(own[name] for name in shown), strict=True):
        row = {"program": entries[0]["program"], "answer": entries[0]["answer"]}
        pairs = zip(shown, entries, strict=True)
        rows.append(row | {name: _marked(entry) for name, entry in pairs})
    half = len(rows) // 2  # the first half is of all levels
    return rows[half:] if hardest else rows[:half]


def _marked(entry: Mapping[str, str]) -> str:
    """``1211 ✓✗✗✗``: what is written, and which of its digits are right."""
    pairs = zip(entry["answer"], entry["written"], strict=True)
    marks = "".join("✓" if a == b else "✗" for a, b in pairs)
    return f"{entry['written']} {marks}"
