"""Curves of stored runs: each seed, the median, and the method's name."""

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from gatebook.errors import check_choice
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gatebook_book.figures.plots.house import (
    COLOURS,
    HEIGHT,
    INK,
    WIDTH,
    nothing,
    style,
)
from gatebook_book.figures.plots.names import baseline_at, name_lines


def median_of_seeds(
    ax: Axes,
    x: Sequence[float],
    curves: Sequence[Sequence[float | None]],
    method: str,
    *,
    label: str | None = None,
) -> None:
    """Draw several runs as thin lines, and their median.

    P2 D.1 has a 60 % band in their place. With three seeds its ends lie between the
    runs, and it is narrower than what it stands for. ``None`` and NaN mean that a run
    has ended: the median is then taken over the others, and a cross marks the run's
    last value.

    Arguments:
        ax: where to draw.
        x: the S common steps.
        curves: one curve of S values per run.
        method: decides colour, line and marker.
        label: name in a legend; the method by default.

    Raises:
        ValueError: for an unknown method, or curves whose length is not S.
    """
    look = style(method)
    values = np.array(
        [[np.nan if v is None else v for v in c] for c in curves], dtype=float
    )
    if values.ndim != 2 or values.shape[1] != len(x):
        raise ValueError(
            f"curves of {method!r} have shape {values.shape}; "
            f"allowed: (runs, {len(x)}), one value per step"
        )
    steps, values = _some(np.asarray(x, dtype=float), values)
    if len(values) > 1:
        ax.plot(steps, values.T, color=look["color"], alpha=0.55, linewidth=0.8)
    middle = np.nanmedian(values, 0)
    every = max(1, len(steps) // 8)
    ax.plot(steps, middle, label=label or method, markevery=every, **look)
    _mark_ends(ax, steps, values, look["color"])


def _some(x: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Only the steps at which a run is left; nanmedian warns at the others."""
    kept = np.isfinite(values).any(axis=0)
    return x[kept], np.where(np.isfinite(values), values, np.nan)[:, kept]


def _mark_ends(ax: Axes, x: np.ndarray, values: np.ndarray, colour: str) -> None:
    for curve in values:
        alive = np.flatnonzero(np.isfinite(curve))
        if len(alive) and alive[-1] < len(x) - 1:
            end = alive[-1]
            ax.plot(x[end], curve[end], "X", color=colour, markersize=8)


def learning_curves(
    runs: Sequence[dict[str, Any]],
    score: str,
    baseline: float | None = None,
    baseline_label: str = "baseline",
    ylabel: str | None = None,
    *,
    xlabel: str = "step",
    log: bool = False,
    ylim: tuple[float, float] | None = None,
) -> Figure:
    """Each method's seeds and their median, and its name at the line's end.

    Arguments:
        runs: stored runs with ``name``, ``status`` and ``curves``; ``curves`` holds
            ``step`` and ``score``, and the steps may differ between runs. For an
            empty list the figure says that no run is stored.
        score: the curve to draw, such as ``"loss"``.
        baseline: a dashed line, such as ln 8 on the copy task.
        baseline_label: the words beside that line.
        ylabel: the score's name and unit; ``score`` by default.
        xlabel: what a step is.
        log: logarithmic vertical axis.
        ylim: ends of the vertical axis; those of the curves by default.

    Raises:
        ValueError: for an unknown method, or a score that a run lacks.
    """
    _check_score(runs, score)
    fig, ax = plt.subplots(figsize=(WIDTH, HEIGHT + 0.5), layout="constrained")
    if not runs:
        return nothing(fig)
    for method in methods_of(runs):
        own = [run for run in runs if run["name"] == method]
        x, curves = aligned(own, score)
        median_of_seeds(ax, x, curves, method, label=_label(method, own))
    medians = [line for line in ax.lines if str(line.get_label())[0] != "_"]
    ax.set(xlabel=xlabel, ylabel=ylabel or score, yscale="log" if log else "linear")
    if ylim is not None:  # without, the limits take the baseline in
        ax.set_ylim(ylim)
    if baseline is not None:
        baseline_at(ax, baseline, baseline_label)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    name_lines(ax, medians)
    return fig


def accuracy_curves(runs: Sequence[dict[str, Any]], guess: float = 0.1) -> Figure:
    """`learning_curves` of the validation accuracy of runs on images.

    Arguments:
        runs: as there.
        guess: the accuracy of guessing.
    """
    return learning_curves(
        runs,
        "accuracy",
        baseline=guess,
        baseline_label="guessing",
        ylabel="accuracy",
    )


def against_others(
    ax: Axes, runs: Sequence[dict[str, Any]], score: str, shown: Iterable[str]
) -> list[Line2D]:
    """Some methods in colour, with their seeds, and the others' medians in grey.

    For small panels in which nine names would not be legible.

    Arguments:
        ax: where to draw.
        runs: as for `learning_curves`.
        score: the curve to draw.
        shown: names of the methods in colour; those without a run are left out.

    Returns:
        the medians of the methods in colour, for `name_lines`.

    Raises:
        ValueError: for an unknown method, or a score that a run lacks.
    """
    _check_score(runs, score)
    inked = []
    for method in methods_of(runs):
        x, curves = aligned([run for run in runs if run["name"] == method], score)
        if method in shown:
            before = len(ax.lines)
            median_of_seeds(ax, x, curves, method)
            inked += [k for k in ax.lines[before:] if k.get_label() == method]
        else:
            steps, values = _some(np.asarray(x, dtype=float), np.array(curves))
            ax.plot(steps, np.nanmedian(values, 0), color=INK, alpha=0.5, linewidth=0.8)
    return inked


def methods_of(runs: Iterable[dict[str, Any]]) -> list[str]:
    """The methods that occur, in the book's order; an unknown one is an error."""
    found = {run["name"] for run in runs}
    for name in sorted(found):
        check_choice("method", name, COLOURS)
    return [name for name in COLOURS if name in found]


def _check_score(runs: Sequence[dict[str, Any]], score: str) -> None:
    for run in runs:
        check_choice("score", score, [k for k in run["curves"] if k != "step"])


def _label(method: str, runs: Sequence[dict[str, Any]]) -> str:
    lost = sum(run.get("status") == "diverged" for run in runs)
    return f"{method} ({lost} of {len(runs)} diverged)" if lost else method


def aligned(
    runs: Sequence[dict[str, Any]], score: str
) -> tuple[list[float], list[list[float]]]:
    """All runs on the union of their steps, NaN where a run has no value."""
    pairs = ((r["curves"]["step"], r["curves"][score]) for r in runs)
    known = [dict(zip(steps, values, strict=True)) for steps, values in pairs]
    steps = sorted(set().union(*known))
    return steps, [[_number(own.get(step)) for step in steps] for own in known]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
