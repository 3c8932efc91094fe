"""The book's figures of runs and its tables, in one house style."""

from gatebook_book.figures.plots.curves import (
    accuracy_curves,
    against_others,
    aligned,
    learning_curves,
    median_of_seeds,
)
from gatebook_book.figures.plots.gates import (
    gate_histograms,
    gate_timescales,
    histogram,
    scale_below,
    timescales,
)
from gatebook_book.figures.plots.house import (
    ACCENT,
    COLOURS,
    HEIGHT,
    INK,
    STYLES,
    WIDTH,
    nothing,
    style,
    use_house_style,
)
from gatebook_book.figures.plots.names import APART, name_lines, spread_out
from gatebook_book.figures.plots.tables import table

__all__ = [
    "ACCENT",
    "APART",
    "COLOURS",
    "HEIGHT",
    "INK",
    "STYLES",
    "WIDTH",
    "accuracy_curves",
    "against_others",
    "aligned",
    "gate_histograms",
    "gate_timescales",
    "histogram",
    "learning_curves",
    "median_of_seeds",
    "name_lines",
    "nothing",
    "scale_below",
    "spread_out",
    "style",
    "table",
    "timescales",
    "use_house_style",
]
