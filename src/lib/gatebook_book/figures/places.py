"""The way of a forget gate through the cell, and where each paper changes it.

A row of boxes on a wide screen, a column on a phone.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gatebook_book.figures import narrow
from gatebook_book.figures.plots import COLOURS, INK, WIDTH

P1, P2, P3 = (COLOURS[name] for name in ("G2", "UR", "h-detach"))
"""The colour of each paper: that of its gate."""

CUT = "P3: no gradient, with probability $p$"


@dataclass(frozen=True)
class _Place:
    """A box: its name, what it computes, and who changes it."""

    name: str
    formula: str
    idea: str = ""
    colour: str = INK


PLACES = (
    _Place("pre-activation", r"$\alpha=Wx+Uh+b$", "P2: law of $b$", P2),
    _Place("noise", r"$(\alpha+Bn)/\tau$", "P1: G²", P1),
    _Place("activation", r"$f=\sigma(\cdot)$", "ON-LSTM: cumax", P2),
    _Place("auxiliary", r"$g=f\pm f(1-f)$", "P2: refine", P2),
    _Place("cell", r"$c\leftarrow gc+iu$"),
)


def draw() -> Figure:
    """The five places and the way back through the hidden state, which P3 cuts."""
    fig, ax = plt.subplots(figsize=(WIDTH + 0.8, 2.3), layout="constrained")
    _row(ax)
    second = Figure(figsize=(narrow.WIDTH, 4.6), layout="constrained")
    _column(second.subplots())
    narrow.by_hand(fig, second)
    return fig


def _row(ax: Axes) -> None:
    for k, place in enumerate(PLACES):
        _box(ax, place, (k, 0), (0.86, 0.62))
        ax.text(k + 0.43, -0.2, place.idea, ha="center", color=place.colour)
        if k:
            _arrow(ax, (k - 0.14, 0.31), (k, 0.31))
    ax.plot([4.43, 4.43, 0.43], [0.62, 1.0, 1.0], color=INK, lw=1.2)
    _arrow(ax, (0.43, 1.01), (0.43, 0.62))
    ax.text(4.5, 0.8, "$h_t$")
    ax.plot([2.3, 2.55], [0.86, 1.14], color=P3, lw=3)
    ax.text(2.43, 1.2, CUT, ha="center", color=P3)
    ax.set(xlim=(-0.05, 4.95), ylim=(-0.3, 1.35))
    ax.set_axis_off()


def _column(ax: Axes) -> None:
    last = len(PLACES) - 1
    for k, place in enumerate(PLACES):
        _box(ax, place, (0, -k), (1.7, 0.68))
        ax.text(1.85, 0.34 - k, place.idea, va="center", color=place.colour)
        if k:
            _arrow(ax, (0.85, 1 - k), (0.85, 0.68 - k))
    ax.plot([0, -0.45, -0.45], [0.34 - last, 0.34 - last, 0.34], color=INK, lw=1.2)
    _arrow(ax, (-0.46, 0.34), (0, 0.34))
    ax.text(-0.38, 0.5 - last, "$h_t$")
    ax.plot([-0.56, -0.34], [-1.75, -1.57], color=P3, lw=3)
    ax.text(-0.8, -1.66, CUT, ha="center", va="center", rotation=90, color=P3)
    ax.set(xlim=(-1, 3.2), ylim=(-last - 0.05, 0.75))
    ax.set_axis_off()


def _box(
    ax: Axes, place: _Place, corner: tuple[float, float], size: tuple[float, float]
) -> None:
    ax.add_patch(Rectangle(corner, *size, fill=False, ec=place.colour, lw=1.6))
    middle = corner[0] + size[0] / 2
    for share, words in ((0.7, place.name), (0.25, place.formula)):
        ax.text(middle, corner[1] + share * size[1], words, ha="center", fontsize=9)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": INK})
