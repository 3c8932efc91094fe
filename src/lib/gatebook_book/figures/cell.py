"""A drawn LSTM cell that grows through the book: tied, refined, noisy, detached.

What a variant changes is drawn in its colour, and the rest in ink.
"""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
from gatebook.errors import check_choice
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

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

FORGET, INPUT, UPDATE, OUTPUT, READ = 2.0, 3.8, 5.6, 7.0, 8.1
"""Places, from the left, of the gates and of where the cell is read."""

ENTRY, SUM, END = 0.7, 4.7, 9.0
"""Where x comes in, where its part is added, and where the lines end."""


@dataclass(frozen=True)
class _Pen:
    """Draws on axes, in ink unless a colour is given."""

    ax: Axes

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
    fig, ax = plt.subplots(figsize=(4.7, 2.4), layout="constrained")  # as phones show
    ax.set(xlim=(-0.75, 9.5), ylim=(-0.15, 5.0), aspect="equal")
    ax.set_axis_off()
    pen, accent = _Pen(ax), ACCENTS[variant]
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
    return fig


def _frame(pen: _Pen) -> None:
    """The lines of c and of the inputs, the candidate, the output gate, h."""
    pen.way((-0.1, CELL), (FORGET - 0.2, CELL))
    pen.way((FORGET + 0.2, CELL), (SUM - 0.2, CELL))
    pen.way((SUM + 0.2, CELL), (END, CELL))
    pen.word(-0.2, CELL, "$c_{t-1}$", ha="right")
    pen.word(END + 0.05, CELL, "$c_t$")
    pen.node(FORGET, CELL, "×")
    pen.node(SUM, CELL, "+")
    pen.way((-0.1, LINE), (OUTPUT, LINE), (OUTPUT, BOXES - 0.3))
    pen.way((ENTRY, 0.05), (ENTRY, LINE), arrow=False)
    pen.word(-0.2, LINE, "$h_{t-1}$", ha="right")
    pen.word(ENTRY, -0.1, "$x_t$", ha="center")
    pen.box(UPDATE, BOXES, "tanh", "$u$")
    pen.way((UPDATE, LINE), (UPDATE, BOXES - 0.3))
    pen.way((UPDATE, BOXES + 0.3), (UPDATE, 3.3), (SUM + 0.2, 3.3))
    pen.node(SUM, 3.3, "×")
    pen.way((SUM, 3.5), (SUM, CELL - 0.2))
    pen.box(OUTPUT, BOXES, "σ", "$o$")
    pen.way((OUTPUT, BOXES + 0.3), (OUTPUT, 2.9), (READ - 0.2, 2.9))
    pen.way((READ, CELL), (READ, 3.1))
    pen.word(READ + 0.12, 3.65, "tanh", fontsize=8)
    pen.node(READ, 2.9, "×")
    pen.way((READ, 2.7), (READ, LINE), (END, LINE))
    pen.word(END + 0.05, LINE, "$h_t$")


def _gate(pen: _Pen, x: float, name: str, colour: str = INK) -> None:
    pen.box(x, BOXES, "σ", name, colour)
    pen.way((x, LINE), (x, BOXES - 0.3), colour=colour)


def _forget(pen: _Pen) -> None:
    _gate(pen, FORGET, "$f$")
    pen.way((FORGET, BOXES + 0.3), (FORGET, CELL - 0.2))


def _input(pen: _Pen) -> None:
    _gate(pen, INPUT, "$i$")
    pen.way((INPUT, BOXES + 0.3), (INPUT, 3.3), (SUM - 0.2, 3.3))


def _tie(pen: _Pen, accent: str, source: str) -> None:
    """The input gate is what the forget gate leaves."""
    if source == "f":
        pen.ax.plot(FORGET, 3.3, "o", color=accent, markersize=4)
    pen.way((FORGET + 0.2 * (source == "g"), 3.3), (SUM - 0.2, 3.3), colour=accent)
    pen.word((FORGET + SUM) / 2, 3.6, f"$1-{source}$", accent, ha="center")


def _refined(pen: _Pen, accent: str) -> None:
    """Two gates, f and r, make one, g."""
    left, right = FORGET - 0.75, FORGET + 0.75
    _gate(pen, left, "$f$")
    _gate(pen, right, "$r$", accent)
    pen.way((left, BOXES + 0.3), (left, 3.3), (FORGET - 0.2, 3.3))
    bend = ((right, BOXES + 0.3), (right, 2.85), (FORGET, 2.85), (FORGET, 3.1))
    pen.way(*bend, colour=accent)
    pen.node(FORGET, 3.3, "$g$", accent)
    pen.way((FORGET, 3.5), (FORGET, CELL - 0.2), colour=accent)


def _noise(pen: _Pen, accent: str) -> None:
    """Noise before the sigmoids of the gates that P1 rounds."""
    for x in (FORGET, INPUT):
        pen.way((x + 0.6, 1.25), (x + 0.05, 1.25), colour=accent)
        pen.word(x + 0.65, 1.25, "noise", accent, fontsize=9)


def _cut(pen: _Pen, accent: str) -> None:
    """Values pass, and at random steps gradients do not."""
    for shift in (0.0, 0.14):
        pen.ax.plot(
            (0.1 + shift, 0.25 + shift), (LINE - 0.3, LINE + 0.3), color=accent, lw=2
        )
    words = "no gradient with probability $p$"
    pen.word(ENTRY + 0.4, LINE - 0.5, words, accent, fontsize=9)
