"""The first page's findings as small figures, each from stored runs."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
from gatebook import NINE
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatebook_book.figures import plots
from gatebook_book.runs.statistics import first_below, median_of
from gatebook_book.runs.store import Run, load
from gatebook_book.studies.tables import runs_with

SIZE = (2.5, 1.4)
"""Of a card's figure in inches."""

COPIED, ADDED = 0.1 * math.log(8), 0.1 / 6
"""The losses at which copying and adding count as solved: a tenth of the baseline."""


def canvas(says: str) -> tuple[Figure, Axes]:
    """Axes without numbers, and above them what is drawn."""
    fig, ax = plt.subplots(figsize=SIZE, layout="constrained")
    ax.set_title(says, loc="left", fontsize=9)
    ax.set(xticks=[], yticks=[])
    return fig, ax


def dots(
    values: Mapping[str, Sequence[float]],
    says: str,
    form: str = "{:.2f}",
    words: Mapping[str, str] | None = None,
) -> Figure:
    """A line per method with a dot for each run, and the median in figures.

    Arguments:
        values: of each method's runs, from top to bottom.
        says: what is drawn.
        form: of a median.
        words: what stands in a median's place, by method.
    """
    fig, ax = canvas(says)
    known = {method: found for method, found in values.items() if found}
    for place, (method, found) in enumerate(known.items()):
        colour = plots.COLOURS[method]
        ax.axhline(place, color=plots.INK, linewidth=0.5, alpha=0.5)
        ax.plot(found, [place] * len(found), "o", color=colour, alpha=0.8)
        beside = (words or {}).get(method, form.format(median(found)))
        for x, text, side in ((-0.03, method, "right"), (1.03, beside, "left")):
            look: dict[str, Any] = {
                "color": colour,
                "ha": side,
                "va": "center",
                "fontsize": 9,
            }
            ax.text(x, place, text, transform=ax.get_yaxis_transform(), **look)
    ax.set_ylim(len(known) - 0.4, -0.6)
    ax.margins(x=0.06)
    ax.spines[:].set_visible(False)
    return fig


def lines(
    runs: Sequence[Run], score: str, methods: Iterable[str], says: str, **axis: Any
) -> Figure:
    """Learning curves: each seed, and the median with its name."""
    fig, ax = canvas(says)
    wanted = set(methods)
    own = [run for run in runs if run["name"] in wanted]
    named = plots.against_others(ax, own, score, wanted)
    for line in named:
        line.set_marker("")
    ax.set(**axis)
    ax.set(xticks=[], yticks=[])
    ax.minorticks_off()
    plots.name_lines(ax, named)
    return fig


def ranks(
    columns: Sequence[Mapping[str, float]], inked: Iterable[str], says: str
) -> Figure:
    """Two orders of the same methods, the highest first, joined by lines."""
    fig, ax = canvas(says)
    orders = [sorted(found, key=lambda m: -found[m]) for found in columns]
    for method in orders[0]:
        places = [order.index(method) for order in orders]
        colour = plots.COLOURS[method] if method in inked else plots.INK
        ax.plot((0, 1), places, "o-", color=colour, lw=1.6 if method in inked else 0.5)
        if method in inked:
            look: dict[str, Any] = {"color": colour, "va": "center", "fontsize": 9}
            ax.text(-0.06, places[0], method, ha="right", **look)
            ax.text(1.06, places[1], method, ha="left", **look)
    ax.set(xlim=(-0.5, 1.5))
    ax.invert_yaxis()
    ax.spines[:].set_visible(False)
    return fig


def _of(runs: Sequence[Run], metric: str, methods: Iterable[str]) -> dict[str, Any]:
    """A metric's values, one a finished run, by method."""
    return {
        name: [
            run["metrics"][metric]
            for run in runs
            if run["name"] == name and run["status"] == "finished"
        ]
        for name in methods
    }


def robust() -> Figure:
    """How much worse low rank makes three language models."""
    runs = load("compression/language", "laptop")
    found = {
        method: [
            100 * row["rise"]
            for run in runs
            if run["name"] == method
            for row in run["rows"] or ()
            if row["variant"] == "svd-64"
        ]
        for method in ("G2", "sharpened", "LSTM0")
    }
    return dots(found, "perplexity at low rank", "+{:.0f} %")


def tie() -> Figure:
    """Steps to solve adding, with the refine gate, the tie alone, and neither."""
    runs = load("memory/adding", "laptop")
    names = ("R", "CIFG", "LSTM")
    losses = _of(runs, "loss", names)
    never = {m: "never" for m, found in losses.items() if min(found, default=0) > ADDED}
    steps = _of(runs, "solved_at", names)
    return dots(steps, "steps to solve adding", "{:,.0f}", never)


def delay() -> Figure:
    """Steps to solve copying against the delay."""
    runs = load("memory/scaling", "laptop") + load("memory/copy", "laptop")
    fig, ax = canvas("steps to solve, by delay 10 to 100")
    budget = max((run["parameters"]["steps"] for run in runs), default=1)
    for method in ("LSTM", "UR"):
        at: dict[int, list[float]] = {}
        for run in runs:
            if run["name"] == method:
                steps = min(budget, first_below(run["curves"], "loss", COPIED))
                at.setdefault(run["parameters"]["length"], []).append(steps)
        middle = [median(at[n]) for n in sorted(at)]
        ax.plot(sorted(at), middle, label=method, **plots.style(method))
    ax.set(xscale="log", ylim=(0, 1.1 * budget), xticks=[], yticks=[])
    ax.minorticks_off()
    plots.name_lines(ax, ax.lines)
    return fig


def order() -> Figure:
    """Nine gates on permuted digits, early and late."""
    runs = runs_with(load("pixels/permuted", "laptop"), order="bit-reversal")
    runs = runs_with(runs, learning_rate=2e-3)
    columns = []
    for steps in (1500, 15000):
        own = runs_with(runs, steps=steps)
        found = {m: median_of(runs_with(own, m), "accuracy")["median"] for m in NINE}
        columns.append({m: value or 0.0 for m, value in found.items()})
    return ranks(columns, ("LSTM", "U", "UR", "C"), "rank after 1.5 and 15 epochs")


def programs() -> Figure:
    """The mean loss of three gates on programs that decide."""
    runs = runs_with(load("memory/programs", "laptop"), kind="control", core="LSTM")
    return dots(_of(runs, "mean_loss", ("UR", "LSTM", "C")), "mean loss on programs")


def agents() -> Figure:
    """Scores on the game in which the cue must be found."""
    runs = runs_with(load("memory/agents", "laptop"), task="match", mode="active")
    runs = runs_with(runs, apple=0.0, core="LSTM", **{"after.mode": "passive"})
    return lines(runs, "score", ("UR", "LSTM"), "score of agents that search")


def clauses() -> Figure:
    """How well small forget gates tell the boundaries of clauses."""
    runs = runs_with(load("inside/gates", "laptop"), corpus="elberfelder-asv")
    found = _of(runs, "auc boundary read 1", ("G2", "LSTM0"))
    return dots(found, "a small gate tells a boundary")


def detaching() -> Figure:
    """The accuracy of copying with h-detach and without."""
    runs = load("theory/detach", "laptop")
    return lines(runs, "accuracy", ("LSTM0", "h-detach"), "accuracy of copying")


def forgetting() -> Figure:
    """Steps to solve adding from gates that start open, at ten times P2's rate."""
    runs = runs_with(load("memory/forgetting", "own"), batch_size=10, clip=1.0)
    runs = [run for run in runs_with(runs, learning_rate=1e-3) if run["seed"] < 3]
    budget = max((run["parameters"]["steps"] for run in runs), default=1)
    steps = {
        method: [
            min(budget, first_below(run["curves"], "loss", ADDED))
            for run in runs
            if run["name"] == method
        ]
        for method in ("R", "CIFG", "C", "LSTM")
    }
    never = {
        m: "never" for m, found in steps.items() if min(found, default=0) == budget
    }
    return dots(steps, "steps to add, from open gates", "{:,.0f}", never)


CARDS: dict[str, Callable[[], Figure]] = {
    f"card-{draw.__name__}": draw
    for draw in (
        robust,
        tie,
        delay,
        order,
        programs,
        agents,
        clauses,
        detaching,
        forgetting,
    )
}
"""A function for each card, by the name that the page has for its figure."""
