"""Figures of the page on the gates of translators."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatebook_book.figures import plots
from gatebook_book.runs.store import Run

SHOWN = (
    "mark",
    "coordinator",
    "subordinator",
    "preposition",
    "determiner",
    "pronoun",
    "auxiliary",
    "boundary",
    "function",
)
"""Classes from top to bottom; the last two are unions of others."""

NAMES = {"boundary": "boundary (first three)", "function": "all of these classes"}


def methods(runs: Sequence[Run]) -> list[str]:
    """The gates that occur in finished runs, in the book's order."""
    found = {run["name"] for run in runs if run["status"] == "finished"}
    return [name for name in plots.COLOURS if name in found]


def finished(runs: Sequence[Run], method: str) -> list[Run]:
    """A method's finished runs."""
    own = (run for run in runs if run["name"] == method)
    return [run for run in own if run["status"] == "finished"]


def histograms(runs: Sequence[Run], layer: str = "1") -> Figure:
    """Forget and input gates in use (filled) and in training mode (line), by gate.

    The bins are P1's Figures 1 and 3; the seeds' mean shares are drawn.
    """
    names = methods(runs)
    width = max(plots.WIDTH, 2.2 * len(names))
    fig, axes = plt.subplots(
        2,
        max(1, len(names)),
        figsize=(width, plots.HEIGHT + 0.4),
        squeeze=False,
        sharey="row",
        sharex=True,
        layout="constrained",
    )
    if not names:
        return plots.nothing(fig)
    for column, name in zip(axes.T, names, strict=True):
        for ax, gate in zip(column, ("forget", "input"), strict=True):
            _histogram(ax, finished(runs, name), f"{gate} {layer}", name)
        column[0].set_title(name)
    for ax in axes[:, 0]:  # when all are drawn: it fixes the scale of a row
        ax.set_ylim(bottom=0)
    axes[0, 0].set_ylabel("forget: share")
    axes[1, 0].set_ylabel("input: share")
    fig.supxlabel(f"value of a gate of the decoder's layer {layer}", fontsize=10)
    return fig


def _histogram(ax: Axes, runs: Sequence[Run], key: str, method: str) -> None:
    colour = plots.style(method)["color"]
    for mode in ("use", "training"):
        shares = np.mean([run["histograms"][mode][key] for run in runs], 0)
        edges = np.linspace(0, 1, len(shares) + 1)
        filled = mode == "use"
        alpha = 0.45 if filled else 1.0
        ax.stairs(shares, edges, fill=filled, alpha=alpha, color=colour, label=mode)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    ax.set_xticks([0.1, 0.9], minor=True)


def moves(runs: Sequence[Run], layers: Sequence[int] = (1, 2)) -> Figure:
    """The share of gates outside 0.1 to 0.9 as training goes on, in evaluation mode."""
    shape = (len(layers), 2)
    size = (plots.WIDTH + 0.6, 2.0 * len(layers) + 0.6)
    fig, axes = plt.subplots(
        *shape, figsize=size, layout="constrained", squeeze=False, sharex=True
    )
    names = methods(runs)
    if not names:
        return plots.nothing(fig)
    for row, layer in zip(axes, layers, strict=True):
        for ax, gate in zip(row, ("forget", "input"), strict=True):
            key = f"decoder.{layer - 1} effective_{gate} ends"
            for name in names:
                own = finished(runs, name)
                x, curves = plots.aligned(own, key)
                plots.median_of_seeds(ax, x, curves, name)
            ax.set_title(f"{gate} gate, layer {layer}")
            ax.set_ylim(bottom=0)
        row[0].set_ylabel("outside 0.1 … 0.9")
    for ax in axes[-1]:
        ax.set_xlabel("update")
    _legend(fig, axes[0, 0])
    return fig


def heat(
    sentence: dict[str, Any], gates: dict[str, list[float]], alignment: str = "read"
) -> Figure:
    """P1's Figure 4: mean gates over the words of one sentence, one row per gate.

    Arguments:
        sentence: as `gatebook_book.studies.inside.figure_four` gives it.
        gates: rows by name, each with a value for every step.
        alignment: which word stands at a step.
    """
    word_of, words = sentence["word_of"], sentence["words"]
    rows = [_of_words(values, word_of, alignment) for values in gates.values()]
    size = (max(plots.WIDTH, 0.55 * len(words) + 1.6), 0.42 * len(rows) + 1.6)
    fig, ax = plt.subplots(figsize=size, layout="constrained")
    # From the tenth below the lowest value to that above the highest one.
    low, high = np.floor(10 * np.min(rows)) / 10, np.ceil(10 * np.max(rows)) / 10
    shown = ax.imshow(rows, cmap="viridis", vmin=low, vmax=high, aspect="auto")
    ax.set_xticks(range(len(words)), words, rotation=40, ha="right", fontsize=9)
    ax.set_yticks(range(len(rows)), list(gates), fontsize=9)
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            colour = "white" if value < 0.45 * low + 0.55 * high else "black"
            text = f"{value:.2f}".lstrip("0")
            ax.text(x, y, text, ha="center", va="center", color=colour, fontsize=7)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    plots.scale_below(fig, shown, [ax], "gate")
    return fig


def _of_words(
    steps: Sequence[float], word_of: Sequence[int], alignment: str
) -> list[float]:
    first = 1 if alignment == "read" else 0
    values = np.asarray(steps)[first : first + len(word_of)]
    return (np.bincount(word_of, values) / np.bincount(word_of)).tolist()


def answers(runs: Sequence[Run], layer: str = "1", gate: str = "forget") -> Figure:
    """P(gate smaller at the class than elsewhere in the sentence), by class.

    A mark is a run, with its interval over sentences. First the step that has read the
    word, then the step that predicts it.
    """
    names = methods(runs)
    fig, axes = plt.subplots(
        1, 2, sharey=True, figsize=(plots.WIDTH + 0.8, 4.4), layout="constrained"
    )
    if not names:
        return plots.nothing(fig)
    for ax, alignment in zip(axes, ("read", "predicted"), strict=True):
        for k, name in enumerate(names):
            offset = 0.5 * ((k + 0.5) / len(names) - 0.5)
            for run in finished(runs, name):
                _points(ax, run, (layer, gate, alignment), name, offset)
        ax.axvline(0.5, color=plots.INK, linewidth=1, linestyle=(0, (5, 3)))
        ax.set(xlim=(0, 1), xlabel="AUC", title=f"word {alignment}")
        ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    axes[0].set_yticks(range(len(SHOWN)), [NAMES.get(name, name) for name in SHOWN])
    axes[0].set_ylim(len(SHOWN) - 0.5, -0.5)
    _legend(fig, axes[0])
    return fig


def _points(
    ax: Axes, run: Run, wanted: tuple[str, str, str], method: str, offset: float
) -> None:
    keys = ("layer", "gate", "alignment")
    rows = {
        row["class"]: row
        for row in run["words"]
        if tuple(row[k] for k in keys) == wanted and row["auc"] is not None
    }
    present = [name for name in SHOWN if name in rows]
    look = plots.style(method) | {"linestyle": "none", "markersize": 4.5}
    y = [SHOWN.index(name) + offset for name in present]
    x = [rows[name]["auc"] for name in present]
    low, high = ([rows[name][end] for name in present] for end in ("low", "high"))
    ax.hlines(y, low, high, color=look["color"], linewidth=0.8, alpha=0.7)
    seen = ax.get_legend_handles_labels()[1]
    ax.plot(x, y, label="_" if method in seen else method, **look)


def periods(runs: Sequence[Run], layers: Sequence[str]) -> Figure:
    """How many units keep for longer than D steps, one panel a layer.

    D = 1/(1 - f) with f the unit's mean forget gate; all seeds of a method together.
    """
    columns = min(3, len(layers))
    rows = -(-len(layers) // columns)
    size = (plots.WIDTH + 0.6, 2.3 * rows + 0.6)
    fig, axes = plt.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, layout="constrained"
    )
    axes = np.atleast_1d(axes)
    names = methods(runs)
    if not names:
        return plots.nothing(fig)
    for ax, layer in zip(axes.flat, layers, strict=False):
        for name in names:
            own = [run["units"][layer] for run in finished(runs, name)]
            forgets = np.minimum(np.concatenate(own), 1 - 1e-6)
            x = np.sort(1 / (1 - forgets))
            y = 1 - np.arange(len(x)) / len(x)
            look = plots.style(name)
            every = max(1, len(x) // 6)
            ax.plot(x, y, label=name, markevery=every, **look)
        ax.set(xscale="log", yscale="log", title=layer)
    for ax in axes.flat[len(layers) :]:
        ax.set_axis_off()
    for ax in axes.flat[len(layers) - columns : len(layers)]:
        ax.set_xlabel("D, steps")
        ax.xaxis.set_tick_params(labelbottom=True)
    fig.supylabel("share of units above D", fontsize=10)
    _legend(fig, axes.flat[0])
    return fig


def _legend(fig: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(
        handles, labels, loc="outside lower center", ncols=4, handlelength=3, fontsize=9
    )
