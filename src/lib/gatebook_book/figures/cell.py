"""A drawn LSTM cell that grows through the book: tied, refined, noisy, detached.

What a variant changes is drawn in its colour, and the rest in ink. On a phone the same
parts stand closer together.
"""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
from gatebook.errors import check_choice
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from gatebook_book.figures import narrow
from gatebook_book.figures.plots import COLOURS, INK

ACCENTS = {
    "LSTM": INK,
    "tied": COLOURS["CIFG"],
    "refined": COLOURS["UR"],
    "noisy": COLOURS["G2"],
    "detached": COLOURS["h-detach"],
}
"""The variants, and the colour of what each changes."""

LINE, BOXES, CELL = 0.8, 2.0, 4.3
"""Heights of the inputs' line, of the gates, and of the cell state's line."""


@dataclass(frozen=True)
class _Places:
    """Where things stand, from the left; ``beside`` has the states' names outside."""

    width: float  # of the figure, in inches
    edges: tuple[float, float]
    cut: float
    x: float
    forget: float
    apart: float  # f and r of a refined cell, from the middle
    input: float
    plus: float
    update: float
    output: float
    read: float
    end: float
    noise: float  # length of an arrow
    beside: bool = True


WIDE = _Places(
    width=6.4,
    edges=(-0.75, 10.75),
    cut=0.35,
    x=1.2,
    forget=2.6,
    apart=0.75,
    input=4.4,
    plus=5.3,
    update=6.2,
    output=7.8,
    read=9.0,
    end=10.1,
    noise=0.75,
)
PHONE = _Places(
    width=narrow.WIDTH,
    edges=(-0.15, 8.25),
    cut=0.72,
    x=1.2,
    forget=2.1,
    apart=0.58,
    input=3.5,
    plus=4.3,
    update=5.1,
    output=6.35,
    read=7.3,
    end=8.2,
    noise=0.45,
    beside=False,
)


@dataclass(frozen=True)
class _Pen:
    """Draws on axes, in ink unless a colour is given."""

    ax: Axes
    at: _Places

    def way(
        self, *points: tuple[float, float], colour: str = INK, arrow: bool = True
    ) -> None:
        """A line through points, with a head at its end."""
        x, y = zip(*points, strict=True)
        self.ax.plot(x, y, color=colour, linewidth=1.4, zorder=1)
        if arrow:
            style = {"arrowstyle": "-|>", "color": colour, "lw": 1.4}
            self.ax.annotate("", points[-1], points[-2], arrowprops=style, zorder=1)

    def box(self, x: float, y: float, text: str, name: str, colour: str = INK) -> None:
        """A gate: its function in a box, its letter beside it."""
        corner, size = (x - 0.42, y - 0.3), 0.6
        style = "round,pad=0.02,rounding_size=0.12"
        patch = FancyBboxPatch(corner, 0.84, size, style, fill=False, ec=colour, lw=1.4)
        self.ax.add_patch(patch)
        self.ax.text(x, y, text, ha="center", va="center", color=colour)
        self.ax.text(x + 0.14, y + 0.52, name, color=colour, fontsize=11)

    def node(self, x: float, y: float, text: str, colour: str = INK) -> None:
        """An operation between two lines."""
        self.ax.add_patch(Circle((x, y), 0.2, fill=False, ec=colour, lw=1.4, zorder=3))
        self.ax.text(x, y - 0.01, text, ha="center", va="center", color=colour)

    def word(
        self, x: float, y: float, text: str, colour: str = INK, **how: Any
    ) -> None:
        """Words beside a line."""
        self.ax.text(x, y, text, color=colour, **({"va": "center"} | how))

    def state(self, y: float, name: str, *, new: bool) -> None:
        """A state's name at the end of its line."""
        if self.at.beside:
            x, side = (self.at.end + 0.05, "left") if new else (-0.2, "right")
        else:
            x, side = (self.at.end, "right") if new else (-0.1, "left")
            y += 0.36
        self.word(x, y, name, ha=side)


def draw(variant: str = "LSTM") -> Figure:
    """One step of the cell.

    Arguments:
        variant: ``"LSTM"`` has a forget, an input and an output gate; ``"tied"`` has
            i = 1 - f; ``"refined"`` a second gate r that moves f to g, and i = 1 - g;
            ``"noisy"`` adds noise to the forget and the input gate in training;
            ``"detached"`` cuts the gradient through h at random steps.

    Raises:
        ValueError: for another variant.
    """
    check_choice("variant", variant, ACCENTS)
    fig, ax = plt.subplots(figsize=(WIDE.width, 3.1), layout="constrained")
    _cell(_Pen(ax, WIDE), variant)
    second = Figure(figsize=(PHONE.width, 2.75), layout="constrained")
    _cell(_Pen(second.subplots(), PHONE), variant)
    narrow.by_hand(fig, second)
    return fig


def _cell(pen: _Pen, variant: str) -> None:
    pen.ax.set(xlim=pen.at.edges, ylim=(-0.15, 5.0), aspect="equal")
    pen.ax.set_axis_off()
    accent = ACCENTS[variant]
    _frame(pen)
    if variant == "refined":
        _refined(pen, accent)
    else:
        _forget(pen)
    if variant in ("tied", "refined"):
        _tie(pen, accent, "g" if variant == "refined" else "f")
    else:
        _input(pen)
    if variant == "noisy":
        _noise(pen, accent)
    if variant == "detached":
        _cut(pen, accent)


def _frame(pen: _Pen) -> None:
    """The lines of c and of the inputs, the candidate, the output gate, h."""
    at = pen.at
    pen.way((-0.1, CELL), (at.forget - 0.2, CELL))
    pen.way((at.forget + 0.2, CELL), (at.plus - 0.2, CELL))
    pen.way((at.plus + 0.2, CELL), (at.end, CELL))
    pen.state(CELL, "$c_{t-1}$", new=False)
    pen.state(CELL, "$c_t$", new=True)
    pen.node(at.forget, CELL, "×")
    pen.node(at.plus, CELL, "+")
    pen.way((-0.1, LINE), (at.output, LINE), (at.output, BOXES - 0.3))
    pen.way((at.x, 0.05), (at.x, LINE), arrow=False)
    pen.state(LINE, "$h_{t-1}$", new=False)
    pen.word(at.x, -0.1, "$x_t$", ha="center")
    _update(pen)
    _output(pen)


def _update(pen: _Pen) -> None:
    x, plus = pen.at.update, pen.at.plus
    pen.box(x, BOXES, "tanh", "$u$")
    pen.way((x, LINE), (x, BOXES - 0.3))
    pen.way((x, BOXES + 0.3), (x, 3.3), (plus + 0.2, 3.3))
    pen.node(plus, 3.3, "×")
    pen.way((plus, 3.5), (plus, CELL - 0.2))


def _output(pen: _Pen) -> None:
    x, read = pen.at.output, pen.at.read
    pen.box(x, BOXES, "σ", "$o$")
    pen.way((x, BOXES + 0.3), (x, 2.9), (read - 0.2, 2.9))
    pen.way((read, CELL), (read, 3.1))
    pen.word(read + 0.12, 3.65, "tanh", fontsize=8)
    pen.node(read, 2.9, "×")
    pen.way((read, 2.7), (read, LINE), (pen.at.end, LINE))
    pen.state(LINE, "$h_t$", new=True)


def _gate(pen: _Pen, x: float, name: str, colour: str = INK) -> None:
    pen.box(x, BOXES, "σ", name, colour)
    pen.way((x, LINE), (x, BOXES - 0.3), colour=colour)


def _forget(pen: _Pen) -> None:
    x = pen.at.forget
    _gate(pen, x, "$f$")
    pen.way((x, BOXES + 0.3), (x, CELL - 0.2))


def _input(pen: _Pen) -> None:
    x = pen.at.input
    _gate(pen, x, "$i$")
    pen.way((x, BOXES + 0.3), (x, 3.3), (pen.at.plus - 0.2, 3.3))


def _tie(pen: _Pen, accent: str, source: str) -> None:
    """The input gate is what the forget gate leaves."""
    start, end = pen.at.forget, pen.at.plus - 0.2
    if source == "f":
        pen.ax.plot(start, 3.3, "o", color=accent, markersize=4)
    pen.way((start + 0.2 * (source == "g"), 3.3), (end, 3.3), colour=accent)
    pen.word((start + end) / 2 + 0.1, 3.57, f"$1-{source}$", accent, ha="center")


def _refined(pen: _Pen, accent: str) -> None:
    """Two gates, f and r, make one, g."""
    middle = pen.at.forget
    left, right = middle - pen.at.apart, middle + pen.at.apart
    _gate(pen, left, "$f$")
    _gate(pen, right, "$r$", accent)
    pen.way((left, BOXES + 0.3), (left, 3.3), (middle - 0.2, 3.3))
    bend = ((right, BOXES + 0.3), (right, 2.85), (middle, 2.85), (middle, 3.1))
    pen.way(*bend, colour=accent)
    pen.node(middle, 3.3, "$g$", accent)
    pen.way((middle, 3.5), (middle, CELL - 0.2), colour=accent)


def _noise(pen: _Pen, accent: str) -> None:
    """Noise before the sigmoids of the gates that P1 rounds."""
    for x in (pen.at.forget, pen.at.input):
        end = x + pen.at.noise
        pen.way((end, 1.25), (x + 0.05, 1.25), colour=accent)
        pen.word(end + 0.05, 1.25, "noise", accent, fontsize=9)


def _cut(pen: _Pen, accent: str) -> None:
    """Values pass, and at random steps gradients do not."""
    at = pen.at
    for x in (at.cut, at.cut + 0.14):
        pen.ax.plot((x, x + 0.15), (LINE - 0.3, LINE + 0.3), color=accent, lw=2)
    words = "no gradient with\nprobability $p$"
    place = (0.15, LINE + 0.75) if at.beside else (at.x + 0.25, LINE - 0.5)
    pen.word(*place, words, accent, fontsize=9)
