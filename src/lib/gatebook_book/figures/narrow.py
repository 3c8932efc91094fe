"""A figure's form for phones: panels one below the other, letters as large as before.

A figure is drawn in both forms where it is shown, and the second travels in the
metadata of the first. The extension `gatebook_book.site.narrow` gives it a file.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import ceil
from operator import or_
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecBase, SubplotSpec
from matplotlib.legend import Legend

Panels = list[tuple[Axes, SubplotSpec]]
Numbers = dict[Literal["major", "minor"], dict[str, bool]]

WIDTH = 4.4
"""Inches: shrunk to a phone's column of 350 pixels, letters of 10 points have 11."""

FITS = 5.0
"""Inches that such a column shows legibly: a figure no wider has one form."""

FLATTER = 0.9
"""Height of a panel that has become wider, as a share of what it was.

Where there were rows before, panels need the rest: they get numbers and names below.
"""

OPEN, CLOSE = '<metadata id="gatebook-narrow">', "</metadata>\n</svg>"
"""What surrounds the second form in the first."""

SVG: dict[str, Any] = {
    "format": "svg",
    "bbox_inches": "tight",
    "metadata": {"Date": None},  # a date would make every build differ
}


def both_forms(fig: Figure) -> str:
    """A figure as SVG, with its narrow form inside if it has one."""
    wide = _svg(fig)
    if not has_narrow(fig):
        return wide
    with narrow(fig):
        second = _svg(fig)
    second = second[second.index("<svg") :]
    end = wide.rindex("</svg>")
    return f"{wide[:end]}{OPEN}\n{second}{CLOSE}\n"


def _svg(fig: Figure) -> str:
    file = io.BytesIO()
    fig.savefig(file, **SVG)
    return file.getvalue().decode()


def has_narrow(fig: Figure) -> bool:
    """Whether it is too wide for a phone, and can be made narrower.

    A drawing without axes is laid out by hand, and panels of several grids by design.
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
    share = FLATTER if _grid(fig).nrows == 1 else 1
    with ExitStack() as undo:
        for legend in list(fig.legends):
            _fold_legend(legend, width, undo)
        taller = _fold(fig, kept, undo)
        undo.callback(fig.set_size_inches, width, height)
        fig.set_size_inches(WIDTH, height * max(1, taller * share))
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


def _panels(fig: Figure) -> Panels:
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
    free = _are_free([ax for ax, _ in panels])
    placed = _placed(panels, kept, free)
    rows = 1 + max(row for row, _ in placed)
    heights = np.resize(old.get_height_ratios(), rows)
    new = GridSpec(rows, kept, figure=fig, height_ratios=heights)
    _move(panels, {ax: new[cell] for cell, ax in placed.items()}, new[0, 0], undo)
    _show_scales(placed, dict(panels), free, undo)
    return rows / old.nrows


def _are_free(axes: list[Axes]) -> bool:
    """Whether panels have a title each, so that none needs those above it."""
    titled = [bool(_title(ax)) for ax in axes]
    empty = [not ax.axison for ax in axes]
    return any(titled) and all(map(or_, titled, empty))


def _placed(panels: Panels, kept: int, free: bool) -> dict[tuple[int, int], Axes]:
    """Which panel moves to which row and column."""
    if not free:
        return {_cell(spec, kept): ax for ax, spec in panels}
    order = sorted(panels, key=lambda panel: panel[1].num1)
    seen = [ax for ax, _ in order if not _is_blank(ax)]
    return {divmod(k, kept): ax for k, ax in enumerate(seen)}


def _is_blank(ax: Axes) -> bool:
    """Whether a panel has nothing to see, as the last ones of a grid may."""
    return not ax.axison and not ax.has_data() and not ax.texts and not _title(ax)


def _move(
    panels: Panels,
    places: Mapping[Axes, SubplotSpec],
    aside: SubplotSpec,
    undo: ExitStack,
) -> None:
    """Set each panel in its new place, and one without any where it takes no room."""
    for ax, spec in panels:
        undo.callback(ax.set_subplotspec, spec)
        ax.set_subplotspec(places.get(ax, aside))
        undo.callback(ax.set_in_layout, ax.get_in_layout())
        ax.set_in_layout(ax in places)


def _title(ax: Axes) -> str:
    return (ax.get_title() or ax.get_title("left")).strip()


def _cell(spec: SubplotSpec, kept: int) -> tuple[int, int]:
    """The row and column of a panel that keeps what is above and below it."""
    block, place = divmod(spec.colspan.start, kept)
    return block * spec.get_gridspec().nrows + spec.rowspan.start, place


def _show_scales(
    placed: Mapping[tuple[int, int], Axes],
    old: Mapping[Axes, SubplotSpec],
    free: bool,
    undo: ExitStack,
) -> None:
    """Give panels the numbers and names that they had from a neighbour.

    At the left those that stand there now, and no others; below those at the end of a
    column, or all if they are ``free``: each is then looked at alone.
    """
    rows: dict[int, list[Axes]] = {}  # each from the left, columns from below
    columns: dict[int, list[Axes]] = {}
    for ax, spec in old.items():
        rows.setdefault(spec.rowspan.start, []).append(ax)
        columns.setdefault(spec.colspan.start, []).insert(0, ax)
    for (row, column), ax in placed.items():
        here = old[ax]
        if column == 0:
            _show_scale(ax, rows[here.rowspan.start], "y", undo)
        if free or (row + 1, column) not in placed:
            _show_scale(ax, columns[here.colspan.start], "x", undo)
    for (row, column), ax in placed.items():  # when none is asked for its numbers
        if column > 0:
            _hide_scale(ax, placed[row, 0], undo)


def _show_scale(ax: Axes, beside: list[Axes], name: str, undo: ExitStack) -> None:
    """Label an axis as the first beside it that shares it, or is as bare.

    A vertical axis with a scale of its own and no name has that of its row.
    """
    sharing = getattr(ax, f"get_shared_{name}_axes")()
    own = getattr(ax, f"{name}axis")
    for outer in beside:
        other = getattr(outer, f"{name}axis")
        bare = len(own.get_ticklocs()) == 0 == len(other.get_ticklocs())
        if sharing.joined(ax, outer) or bare:
            shown = _shows_numbers(other, {"x": "labelbottom", "y": "labelleft"}[name])
            _label_as(own, shown, other.get_label_text(), undo)
            return
    if name == "y":
        _label_as(own, {}, beside[0].get_ylabel(), undo)


def _hide_scale(ax: Axes, outer: Axes, undo: ExitStack) -> None:
    """Leave a vertical axis bare if the row's first panel shares it."""
    if ax.get_shared_y_axes().joined(ax, outer):
        bare: Numbers = {"major": {"labelleft": False}, "minor": {"labelleft": False}}
        undo.callback(ax.set_ylabel, ax.get_ylabel())
        ax.set_ylabel("")
        _label_as(ax.yaxis, bare, "", undo)


def _shows_numbers(axis: Axis, side: str) -> Numbers:
    """Whether an axis has numbers at a side, for both kinds of ticks."""
    major, minor = ({side: axis.get_tick_params(k)[side]} for k in ("major", "minor"))
    return {"major": major, "minor": minor}


def _label_as(own: Axis, numbers: Numbers, name: str, undo: ExitStack) -> None:
    """Show or hide an axis' numbers, and name it if it has no name."""
    for which, sides in numbers.items():
        before = {side: own.get_tick_params(which)[side] for side in sides}
        undo.callback(own.set_tick_params, which, **before)
        own.set_tick_params(which, **sides)
    undo.callback(own.set_label_text, own.get_label_text())
    own.set_label_text(own.get_label_text() or name)


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
