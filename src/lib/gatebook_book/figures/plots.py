"""The book's figures and tables: one house style, one colour for each method.

Hue shows the activation (blue: constant bias, green: chrono, purple: ordered,
orange: uniform), line and marker the auxiliary gate (dashed and hollow: none,
dotted: master, solid: refine). All colours have a contrast of at least 3 on white
and on the dark theme, any two differ for protanopes and deuteranopes too, and no
two methods share both line and marker.
"""

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from gatebook.errors import check_choice
from IPython import get_ipython
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from gatebook_book.figures.narrow import both_forms

INK = "#767676"
"""Text and axes: a grey with a contrast above 3.8 on white and on the dark theme."""

ACCENT = "#8C7C2A"
"""An olive that no method has, for what is drawn beside `INK` and is no method's."""

WIDTH, HEIGHT = 6.4, 3.6
"""A figure's size in inches."""

COLOURS: dict[str, str] = {
    "LSTM": "#0161FE",
    "C": "#1E987B",
    "C8": "#437C5B",
    "C11": "#007330",
    "O": "#D26BC4",
    "U": "#975507",
    "R": "#4391FE",
    "OM": "#B628BB",
    "OR": "#AB378A",
    "UM": "#D18045",
    "UR": "#E06D01",
    "UR-s4": "#B64B3C",
    "CIFG": "#9129CD",
    "GRU": "#4088B0",
    "UR-GRU": "#C88058",
    "LSTM0": "#656565",
    "G2": "#FD4E94",
    "sharpened": "#5EA000",
    "h-detach": "#1CA49E",
    "c-detach": "#7F6AD3",
}
"""One colour a method, for the whole book."""

_HOLLOW = {"markerfacecolor": "none"}
STYLES: dict[str, dict[str, Any]] = {
    "LSTM": {"linestyle": "--", "marker": "o", **_HOLLOW},
    "C": {"linestyle": "--", "marker": "s", **_HOLLOW},
    "C8": {"linestyle": "--", "marker": "<", **_HOLLOW},  # T_max = 8
    "C11": {"linestyle": "--", "marker": ">", **_HOLLOW},
    "O": {"linestyle": "--", "marker": "D", **_HOLLOW},
    "U": {"linestyle": "--", "marker": "^", **_HOLLOW},
    "R": {"linestyle": "-", "marker": "o"},
    "OM": {"linestyle": ":", "marker": "P"},
    "OR": {"linestyle": "-", "marker": "D"},
    "UM": {"linestyle": ":", "marker": "v"},
    "UR": {"linestyle": "-", "marker": "^"},
    "UR-s4": {"linestyle": "-.", "marker": ">"},
    "CIFG": {"linestyle": "--", "marker": "X", **_HOLLOW},
    "GRU": {"linestyle": "--", "marker": "p", **_HOLLOW},
    "UR-GRU": {"linestyle": "-", "marker": "p"},
    "LSTM0": {"linestyle": "-.", "marker": "x"},
    "G2": {"linestyle": "-", "marker": "*"},
    "sharpened": {"linestyle": "-.", "marker": "<"},
    "h-detach": {"linestyle": "-", "marker": "s"},
    "c-detach": {"linestyle": ":", "marker": "h"},
}
"""Line and marker of each method, so that lines differ in grey, too."""

_RC: dict[str, Any] = {
    "figure.figsize": (WIDTH, HEIGHT),
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.h_pad": 0.08,  # a title stays with its own panel
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "font.family": "sans-serif",
    "font.size": 10,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "savefig.transparent": True,
    "svg.fonttype": "path",  # no machine lacks a letter; the alt text is read
    "svg.hashsalt": "gatebook",  # the same figure gives the same bytes
}


def use_house_style() -> None:
    """Set matplotlib's defaults for the book, and SVG output inside IPython.

    Figures come in two forms, see `gatebook_book.figures.narrow`. A user's own
    ``matplotlibrc`` no longer counts: a figure is the same everywhere.
    """
    shell = get_ipython()
    if shell is not None:
        plt.switch_backend(mpl.get_backend())  # sets a format of its own, once
    mpl.rcdefaults()
    mpl.rcParams.update(_RC)  # type: ignore[arg-type]
    if shell is None:
        return
    from matplotlib_inline.config import InlineBackend

    InlineBackend.instance(parent=shell).figure_formats = {"svg"}
    formats = shell.display_formatter.formatters
    formats["image/svg+xml"].for_type(Figure, both_forms)


def style(method: str) -> dict[str, Any]:
    """Keyword arguments of ``ax.plot`` for a method: colour, line and marker.

    Raises:
        ValueError: for a method without a colour, naming the nearest one.
    """
    check_choice("method", method, COLOURS)
    return {"color": COLOURS[method], **STYLES[method]}


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
    for run in runs:
        check_choice("score", score, [k for k in run["curves"] if k != "step"])
    fig, ax = plt.subplots(figsize=(WIDTH, HEIGHT + 0.5), layout="constrained")
    if not runs:
        return _nothing(fig)
    for method in _names(runs):
        own = [run for run in runs if run["name"] == method]
        x, curves = _aligned(own, score)
        median_of_seeds(ax, x, curves, method, label=_label(method, own))
    medians = [line for line in ax.lines if str(line.get_label())[0] != "_"]
    ax.set(xlabel=xlabel, ylabel=ylabel or score, yscale="log" if log else "linear")
    if ylim is not None:  # without, the limits take the baseline in
        ax.set_ylim(ylim)
    if baseline is not None:
        _baseline(ax, baseline, baseline_label)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    name_lines(ax, medians)
    return fig


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
    for run in runs:
        check_choice("score", score, [k for k in run["curves"] if k != "step"])
    inked = []
    for method in _names(runs):
        x, curves = _aligned([run for run in runs if run["name"] == method], score)
        if method in shown:
            before = len(ax.lines)
            median_of_seeds(ax, x, curves, method)
            inked += [k for k in ax.lines[before:] if k.get_label() == method]
        else:
            steps, values = _some(np.asarray(x, dtype=float), np.array(curves))
            ax.plot(steps, np.nanmedian(values, 0), color=INK, alpha=0.5, linewidth=0.8)
    return inked


APART = 0.055
"""Least distance of two names beside lines, as a share of the axes' height."""

LINE = 11
"""The same in points: the height of a name, which counts where axes are low."""


def name_lines(ax: Axes, lines: Sequence[Line2D]) -> None:
    """Write each line's label to the right of its end, in its colour.

    Names that would overlap are moved apart, and a thin line leads to each. Call it
    when the axes have their limits.
    """
    ends = [(line, _end(ax, line)) for line in lines]
    shown = [(line, *end[0]) for line, end in ends if len(end)]
    heights = [_height(ax, x, y) for _, x, y in shown]
    inches = ax.bbox.height / ax.figure.dpi
    places = spread_out(heights, max(APART, LINE / 72 / inches))
    for (line, x, y), place in zip(shown, places, strict=True):
        colour = line.get_color()
        ax.annotate(
            str(line.get_label()),
            (x, y),
            xytext=(1.04, place),
            textcoords=ax.transAxes,
            color=colour,
            fontsize=9,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "alpha": 0.6},
        )


def _end(ax: Axes, line: Line2D) -> np.ndarray:
    """A line's last point that the axes show, or its last; an empty line has none."""
    points = np.asarray(line.get_xydata())
    low, high = sorted(ax.get_ylim())
    inside = points[(points[:, 1] >= low) & (points[:, 1] <= high)]
    return (inside if len(inside) else points)[-1:]


def _height(ax: Axes, x: float, y: float) -> float:
    """A point's height as a share of the axes', kept within them."""
    at = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))
    return float(np.clip(at[1], 0, 1))


def spread_out(heights: Sequence[float], apart: float = APART) -> list[float]:
    """Heights that are at least ``apart`` apart, in the order and near those given.

    Neighbours that are too close become a group around their mean, and groups that
    then touch become one.

    Example:
        >>> spread_out([0.5, 0.9, 0.5])
        [0.4725, 0.9, 0.5275]
    """
    order = sorted(range(len(heights)), key=heights.__getitem__)
    groups: list[list[int]] = []
    for k in order:
        groups.append([k])
        while len(groups) > 1 and _touch(groups[-2], groups[-1], heights, apart):
            groups[-2:] = [groups[-2] + groups[-1]]
    places = {
        k: round(_lowest(group, heights, apart) + apart * i, 6)
        for group in groups
        for i, k in enumerate(group)
    }
    return [places[k] for k in range(len(heights))]


def _lowest(group: list[int], heights: Sequence[float], apart: float) -> float:
    """Where a group's lowest name stands."""
    middle = sum(heights[k] for k in group) / len(group)
    return max(0.0, middle - apart * (len(group) - 1) / 2)


def _touch(
    low: list[int], high: list[int], heights: Sequence[float], apart: float
) -> bool:
    top = _lowest(low, heights, apart) + apart * len(low)
    return top > _lowest(high, heights, apart)


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


def _nothing(fig: Figure) -> Figure:
    """The figure of a page whose runs have not been made yet."""
    for ax in fig.axes:
        ax.set_axis_off()
    fig.text(0.5, 0.5, "no run stored yet", ha="center", va="center")
    return fig


def _names(runs: Iterable[dict[str, Any]]) -> list[str]:
    """The methods that occur, in the book's order; an unknown one is an error."""
    found = {run["name"] for run in runs}
    for name in sorted(found):
        check_choice("method", name, COLOURS)
    return [name for name in COLOURS if name in found]


def _label(method: str, runs: Sequence[dict[str, Any]]) -> str:
    lost = sum(run.get("status") == "diverged" for run in runs)
    return f"{method} ({lost} of {len(runs)} diverged)" if lost else method


def _aligned(
    runs: Sequence[dict[str, Any]], score: str
) -> tuple[list[float], list[list[float]]]:
    """All runs on the union of their steps, NaN where a run has no value."""
    pairs = ((r["curves"]["step"], r["curves"][score]) for r in runs)
    known = [dict(zip(steps, values, strict=True)) for steps, values in pairs]
    steps = sorted(set().union(*known))
    return steps, [[_number(own.get(step)) for step in steps] for own in known]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


BESIDE_BASELINE = [
    {"x": x, "y": y, "ha": ha, "va": va}
    for x, ha in ((0.95, "right"), (0.02, "left"), (0.5, "center"))
    for y, va in ((4, "bottom"), (-4, "top"))
]
"""Where its name may stand: a share of the width, and points above the line."""


def _baseline(ax: Axes, value: float, label: str) -> None:
    """A dashed line, and its name where the fewest curves run.

    Call it when the axes have their limits.
    """
    curves = list(ax.lines)
    ax.axhline(value, color=INK, linewidth=1, linestyle=(0, (5, 3)))
    ax.get_ylim()  # the limits follow the new line
    name = ax.annotate(
        label,
        (0, value),
        xycoords=("axes fraction", "data"),
        xytext=(0, 0),
        textcoords="offset points",
        fontsize=9,
        annotation_clip=True,  # nor its line, where the limits leave it out
    )
    crossed = [_crossed(ax, name, place, curves) for place in BESIDE_BASELINE]
    _put(name, BESIDE_BASELINE[crossed.index(min(crossed))])


def _put(name: Annotation, place: dict[str, Any]) -> None:
    name.xy = (place["x"], name.xy[1])
    name.set(position=(0, place["y"]), ha=place["ha"], va=place["va"])


def _crossed(
    ax: Axes, name: Annotation, place: dict[str, Any], curves: Sequence[Line2D]
) -> int:
    """How many curves run through a name; all and one more where it leaves the axes."""
    _put(name, place)
    box = name.get_window_extent()
    if not ax.bbox.y0 <= box.y0 <= box.y1 <= ax.bbox.y1:
        return len(curves) + 1
    paths = (curve.get_transform().transform_path(curve.get_path()) for curve in curves)
    return sum(bool(path.intersects_bbox(box, filled=False)) for path in paths)


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
        return _nothing(fig)
    for method in methods:
        check_choice("method", method, _names(runs))
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
    fig.colorbar(
        image,
        ax=axes,
        label=label,
        ticks=[0, 0.5, 1],
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
        return _nothing(fig)
    axes = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax, method in zip(axes.flat, methods, strict=False):
        check_choice("method", method, _names(runs))
        before, after = (_pooled(runs, method, k) for k in ("before", "after"))
        timescales(ax, before, "before", color=INK, linewidth=1)
        timescales(ax, after, "after", color=COLOURS[method])
        ax.set_title(method, color=COLOURS[method])
    for ax in axes.flat[len(methods) :]:
        ax.set_axis_off()
    fig.supxlabel("timescale D of a unit in steps", fontsize=10)
    fig.supylabel("share of the units", fontsize=10)
    return fig


_PAD = "padding: 0.4rem 0.6rem"


PROSE = 60
"""Letters in a cell from which a table counts as text rather than figures."""


def table(rows: Sequence[dict[str, Any]], caption: str = "") -> HTML:
    """A table with one row per dict; the heads are all keys, as they first occur.

    Text is escaped, floats get four digits, and whole numbers a comma from 10,000 on;
    ``None``, NaN and a key that a row lacks become a dash. On a narrow screen the
    table scrolls inside its own box, but one with sentences in it shows its rows as a
    list.

    Raises:
        ValueError: for no rows.
    """
    if not rows:
        raise ValueError("rows is empty; allowed: at least one row")
    heads = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f'<th scope="col" style="{_PAD}">{_text(h)}</th>' for h in heads)
    cells = ("".join(_cell(h, row.get(h)) for h in heads) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    title = f"<caption>{_text(caption)}</caption>" if caption else ""
    longest = max(len(_text(value)) for row in rows for value in row.values())
    kind = "gatebook-table gatebook-prose" if longest > PROSE else "gatebook-table"
    # The class keeps the theme from putting a white box behind it in the dark.
    return HTML(
        '<div style="overflow-x: auto" tabindex="0">'
        f'<table class="dataframe {kind}">{title}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(head: str, value: object) -> str:
    align = "right" if isinstance(value, int | float) else "left"
    name = html.escape(str(head))
    style = f"{_PAD}; text-align: {align}"
    return f'<td data-head="{name}" style="{style}">{_text(value)}</td>'


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    return html.escape(str(value), quote=False)
