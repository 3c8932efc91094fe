"""Values of gates: histograms, timescales, and what their colours mean."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from gatebook.errors import check_choice
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from gatebook_book.figures.plots.curves import methods_of
from gatebook_book.figures.plots.house import (
    COLOURS,
    HEIGHT,
    INK,
    WIDTH,
    nothing,
    style,
)


def histogram(ax: Axes, values: ArrayLike, method: str, *, bins: int = 25) -> None:
    """Density histogram of gate values on [0, 1].

    Raises:
        ValueError: for an unknown method, or a value outside [0, 1].
    """
    colour = style(method)["color"]
    gates = np.asarray(values, dtype=float)
    if gates.size and not (gates.min() >= 0 and gates.max() <= 1):
        raise ValueError(
            f"gate values of {method!r} lie in [{gates.min()}, {gates.max()}]; "
            "allowed: [0, 1]"
        )
    look = {"color": to_rgba(colour, 0.25), "edgecolor": colour, "linewidth": 0.8}
    ax.hist(gates, bins, range=(0, 1), density=gates.size > 0, **look)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])


def gate_histograms(
    runs: Sequence[dict[str, Any]], methods: Sequence[str], *, bins: int = 25
) -> Figure:
    """Gate values before (above) and after training (below), as P2 Figure 4.

    The seeds of a method are pooled. Each panel has its own vertical scale.

    Arguments:
        runs: stored runs with ``histograms``: ``{"before": …, "after": …}``, each a
            list with one value in [0, 1] a unit. For an empty list the figure says
            that no run is stored.
        methods: the columns, from left to right.
        bins: bars between 0 and 1.

    Raises:
        ValueError: for a method that is unknown or was not run.
    """
    width = max(WIDTH, 1.3 * len(methods))
    fig = plt.figure(figsize=(width, HEIGHT), layout="constrained")
    if not (runs and methods):
        return nothing(fig)
    for method in methods:
        check_choice("method", method, methods_of(runs))
    axes = fig.subplots(2, len(methods), squeeze=False)
    for column, method in zip(axes.T, methods, strict=True):
        for ax, moment in zip(column, ("before", "after"), strict=True):
            histogram(ax, _pooled(runs, method, moment), method, bins=bins)
            ax.set_yticks([])
        column[0].set_title(method)
        column[0].tick_params(labelbottom=False)
    axes[0, 0].set_ylabel("before")
    axes[1, 0].set_ylabel("after")
    fig.supxlabel("effective forget gate, mean over time and batch", fontsize=10)
    return fig


def _pooled(runs: Sequence[dict[str, Any]], method: str, moment: str) -> np.ndarray:
    """The gates of all seeds; a run that diverged has none after training."""
    own = [run["histograms"][moment] for run in runs if run["name"] == method]
    return np.concatenate([[], *(gates for gates in own if gates is not None)])


def scale_below(
    fig: Figure, image: AxesImage, axes: Sequence[Axes], label: str
) -> None:
    """What the colours of gates mean, below their panels: these keep their width."""
    low, high = image.get_clim()
    fig.colorbar(
        image,
        ax=axes,
        label=label,
        ticks=[low, (low + high) / 2, high],
        location="bottom",
        fraction=0.04,
        aspect=40,
    )


def timescales(ax: Axes, gates: ArrayLike, label: str, **look: Any) -> Line2D:
    """Draw which share of the units has a timescale of at most D steps, against D.

    The timescale of a gate g is 1 / (1 - g). Units with g = 1 forget nothing: no D
    has them, and the line ends below 1.

    Arguments:
        ax: where to draw; its horizontal axis becomes logarithmic.
        gates: one value in [0, 1] a unit.
        label: the line's name, for `name_lines`.
        look: keyword arguments of ``ax.plot``.
    """
    left = np.sort(1 - np.asarray(gates, dtype=float))[::-1]
    shares = np.arange(len(left) + 1) / max(len(left), 1)
    finite = left[left > 0]
    steps = np.concatenate([finite[:1], finite])  # a riser up to the first unit
    (line,) = ax.plot(
        1 / steps, shares[: len(steps)], label=label, drawstyle="steps-post", **look
    )
    ax.set(xscale="log", ylim=(0, 1))
    return line


def gate_timescales(runs: Sequence[dict[str, Any]], methods: Sequence[str]) -> Figure:
    """The units' timescales before (grey) and after training, a panel a method.

    The seeds of a method are pooled.

    Arguments:
        runs: as for `gate_histograms`.
        methods: the panels, row by row.

    Raises:
        ValueError: for a method that is unknown or was not run.
    """
    columns = min(3, max(1, len(methods)))
    rows = max(1, math.ceil(len(methods) / columns))
    fig = plt.figure(figsize=(WIDTH, 0.8 + 1.7 * rows), layout="constrained")
    if not (runs and methods):
        return nothing(fig)
    axes = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax, method in zip(axes.flat, methods, strict=False):
        check_choice("method", method, methods_of(runs))
        before, after = (_pooled(runs, method, k) for k in ("before", "after"))
        timescales(ax, before, "before", color=INK, linewidth=1)
        timescales(ax, after, "after", color=COLOURS[method])
        ax.set_title(method, color=COLOURS[method])
    for ax in axes.flat[len(methods) :]:
        ax.set_axis_off()
    fig.supxlabel("timescale D of a unit in steps", fontsize=10)
    fig.supylabel("share of the units", fontsize=10)
    return fig
