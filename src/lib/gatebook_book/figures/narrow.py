"""A figure's form for phones: panels one below the other, letters as large as before.

A figure is drawn in both forms where it is shown, and the second travels in the
metadata of the first. The extension `gatebook_book.site.narrow` gives it a file.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import ceil
from operator import or_
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecBase, SubplotSpec
from matplotlib.legend import Legend

WIDTH = 4.4
"""Inches: shrunk to a phone's column of 350 pixels, letters of 10 points have 11."""

FITS = 5.0
"""Inches that such a column shows legibly: a figure no wider has one form."""

FLATTER = 0.9
"""Height of a panel that has become wider, as a share of what it was."""

OPEN, CLOSE = '<metadata id="gatebook-narrow">', "</metadata>\n</svg>"
"""What surrounds the second form in the first."""

SVG: dict[str, Any] = {
    "format": "svg",
    "bbox_inches": "tight",
    "metadata": {"Date": None},  # a date would make every build differ
}


_BY_HAND: WeakKeyDictionary[Figure, Figure] = WeakKeyDictionary()


def by_hand(fig: Figure, second: Figure) -> None:
    """Give a drawing its narrow form, which nothing but a hand can lay out.

    Arguments:
        fig: as wide screens show it.
        second: the same for a phone, `WIDTH` inches wide. A cell's end must not show
            it: make it with ``Figure``, not with ``pyplot``.
    """
    _BY_HAND[fig] = second


def both_forms(fig: Figure) -> str:
    """A figure as SVG, with its narrow form inside if it has one."""
    wide, second = _svg(fig), ""
    if fig in _BY_HAND:
        second = _svg(_BY_HAND[fig])
    elif has_narrow(fig):
        with narrow(fig):
            second = _svg(fig)
    if not second:
        return wide
    second = second[second.index("<svg") :]
    end = wide.rindex("</svg>")
    return f"{wide[:end]}{OPEN}\n{second}{CLOSE}\n"


def _svg(fig: Figure) -> str:
    file = io.BytesIO()
    fig.savefig(file, **SVG)
    return file.getvalue().decode()


def has_narrow(fig: Figure) -> bool:
    """Whether it is too wide for a phone, and can be made narrower.

    A drawing without axes is laid out by hand, see `by_hand`, and panels of several
    grids by design.
    """
    panels = _panels(fig)
    if fig.get_figwidth() <= FITS or not panels:
        return False
    grid = _grid(fig)
    one_grid = all(spec.get_gridspec() is grid for _, spec in panels)
    one_cell = all(spec.num1 == spec.num2 for _, spec in panels)
    by_hand = grid.ncols == 1 and not all(ax.axison for ax, _ in panels)
    return one_grid and one_cell and not by_hand


@contextmanager
def narrow(fig: Figure) -> Iterator[None]:
    """The figure in its narrow form, and afterwards as it was."""
    width, height = fig.get_size_inches()
    kept = kept_columns(_grid(fig).ncols, width)
    with ExitStack() as undo:
        for legend in list(fig.legends):
            _fold_legend(legend, width, undo)
        taller = _fold(fig, kept, undo)
        undo.callback(fig.set_size_inches, width, height)
        fig.set_size_inches(WIDTH, height * max(1, taller * FLATTER))
        yield


def kept_columns(columns: int, width: float) -> int:
    """Columns that stay side by side when a figure of ``width`` inches is folded.

    Panels never become narrower, and the rows that they fill are equally long.

    Example:
        >>> [kept_columns(n, width) for n, width in ((2, 6.4), (4, 7.6), (9, 11.7))]
        [1, 2, 3]
    """
    fit = max(1, int(WIDTH * columns / width))
    return ceil(columns / ceil(columns / fit))


def _panels(fig: Figure) -> list[tuple[Axes, SubplotSpec]]:
    """The axes that stand in a grid, and where: no colour bars, no insets."""
    specs = [(ax, ax.get_subplotspec()) for ax in fig.axes]
    return [(ax, spec) for ax, spec in specs if spec is not None]


def _grid(fig: Figure) -> GridSpecBase:
    return _panels(fig)[0][1].get_gridspec()


def _fold(fig: Figure, kept: int, undo: ExitStack) -> float:
    """Set the panels in ``kept`` columns; how many times as many rows this makes.

    Those with a title each follow one another. Others keep what is above and below
    them: every ``kept`` columns come below those before them.
    """
    panels, old = _panels(fig), _grid(fig)
    titled = [bool(_title(ax)) for ax, _ in panels]
    empty = [not ax.axison for ax, _ in panels]
    free = any(titled) and all(map(or_, titled, empty))
    placed = {_cell(spec, kept, free): ax for ax, spec in panels}
    rows = 1 + max(row for row, _ in placed)
    heights = np.resize(old.get_height_ratios(), rows)
    new = GridSpec(rows, kept, figure=fig, height_ratios=heights)
    for ax, spec in panels:
        undo.callback(ax.set_subplotspec, spec)
        ax.set_subplotspec(new[_cell(spec, kept, free)])
    _show_scales(placed, dict(panels), undo)
    return rows / old.nrows


def _title(ax: Axes) -> str:
    return (ax.get_title() or ax.get_title("left")).strip()


def _cell(spec: SubplotSpec, kept: int, free: bool) -> tuple[int, int]:
    """The row and column that a panel moves to."""
    row, column = spec.rowspan.start, spec.colspan.start
    grid = spec.get_gridspec()
    if free:
        return divmod(row * grid.ncols + column, kept)
    block, place = divmod(column, kept)
    return block * grid.nrows + row, place


def _show_scales(
    placed: Mapping[tuple[int, int], Axes],
    old: Mapping[Axes, SubplotSpec],
    undo: ExitStack,
) -> None:
    """Give outer panels the numbers and names that they had from a neighbour."""
    rows: dict[int, list[Axes]] = {}  # each from the left, columns from below
    columns: dict[int, list[Axes]] = {}
    for ax, spec in old.items():
        rows.setdefault(spec.rowspan.start, []).append(ax)
        columns.setdefault(spec.colspan.start, []).insert(0, ax)
    for (row, column), ax in placed.items():
        here = old[ax]
        if column == 0:
            _show_scale(ax, rows[here.rowspan.start], "y", undo)
        if (row + 1, column) not in placed:
            _show_scale(ax, columns[here.colspan.start], "x", undo)


def _show_scale(ax: Axes, beside: list[Axes], name: str, undo: ExitStack) -> None:
    """Label an axis as the first beside it that shares it, or is as bare."""
    sharing = getattr(ax, f"get_shared_{name}_axes")()
    own = getattr(ax, f"{name}axis")
    for outer in beside:
        other = getattr(outer, f"{name}axis")
        bare = len(own.get_ticklocs()) == 0 == len(other.get_ticklocs())
        if sharing.joined(ax, outer) or bare:
            _label_as(own, other, {"x": "labelbottom", "y": "labelleft"}[name], undo)
            return


def _label_as(own: Axis, other: Axis, side: str, undo: ExitStack) -> None:
    for which in ("major", "minor"):
        before, after = (a.get_tick_params(which)[side] for a in (own, other))
        undo.callback(own.set_tick_params, which, **{side: before})
        own.set_tick_params(which, **{side: after})
    undo.callback(own.set_label_text, own.get_label_text())
    own.set_label_text(own.get_label_text() or other.get_label_text())


def _fold_legend(legend: Legend, width: float, undo: ExitStack) -> None:
    """Set a legend of the whole figure in fewer columns, below the panels."""
    texts = legend.get_texts()
    columns = legend._ncols  # type: ignore[attr-defined]  # it has a setter only
    folded = legend.figure.legend(
        [handle for handle in legend.legend_handles if handle],
        [text.get_text() for text in texts],
        loc="outside lower center",
        ncols=max(1, int(columns * WIDTH / width)),
        fontsize=texts[0].get_fontsize(),
    )
    undo.callback(folded.remove)
    for change in (legend.set_visible, legend.set_in_layout):
        change(False)
        undo.callback(change, True)
