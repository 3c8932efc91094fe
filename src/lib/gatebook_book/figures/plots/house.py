"""The house style of the book's figures: one colour, line and marker for each method.

Hue shows the activation (blue: constant bias, green: chrono, purple: ordered,
orange: uniform), line and marker the auxiliary gate (dashed and hollow: none,
dotted: master, solid: refine). All colours have a contrast of at least 3 on white
and on the dark theme, any two differ for protanopes and deuteranopes too, and no
two methods share both line and marker.
"""

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from gatebook.errors import check_choice
from IPython import get_ipython
from matplotlib.figure import Figure

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


def nothing(fig: Figure) -> Figure:
    """The figure of a page whose runs have not been made yet."""
    for ax in fig.axes:
        ax.set_axis_off()
    fig.text(0.5, 0.5, "no run stored yet", ha="center", va="center")
    return fig
