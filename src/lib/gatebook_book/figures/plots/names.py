"""Names of lines, at their ends, and of a baseline, where few curves run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from gatebook_book.figures.plots.house import INK

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


BESIDE_BASELINE = [
    {"x": x, "y": y, "ha": ha, "va": va}
    for x, ha in ((0.95, "right"), (0.02, "left"), (0.5, "center"))
    for y, va in ((4, "bottom"), (-4, "top"))
]
"""Where its name may stand: a share of the width, and points above the line."""


def baseline_at(ax: Axes, value: float, label: str) -> None:
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
