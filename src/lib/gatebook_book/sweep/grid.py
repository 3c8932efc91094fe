"""From the texts of ``--grid`` to the points of a sweep, all checked."""

import itertools
import math

from gatebook.errors import suggest

from gatebook_book.pages.pages import Page, Parameter, find
from gatebook_book.sweep.point import SweepPoint
from gatebook_book.sweep.values import MOST, values_of


def points(
    page: str, profile: str, grid: list[str], given: dict[str, str]
) -> list[SweepPoint]:
    """All combinations of the grid's values.

    Arguments:
        page: its name.
        profile: the set of parameters to start from.
        grid: texts such as ``"gate=LSTM,UR"`` and ``"seed=0:3"``.
        given: parameters that are the same at every point, as typed.

    Returns:
        points in the grid's order, the last name running fastest.

    Raises:
        ValueError: for any mistake in any of them.
    """
    source = find(page)
    together = on_gpu(source, profile, given)
    axes = [_axis(source, text, together) for text in grid]
    taken = [parameter.name for _, parameter, _ in axes]
    for name, parameter, _ in axes:
        if taken.count(parameter.name) > 1 or parameter.name in given:
            raise ValueError(f"grid {name!r} is given twice; allowed: once")
    count = math.prod(len(values) for _, _, values in axes)
    if count > MOST:
        raise ValueError(f"grid has {count} points; allowed: at most {MOST}")
    made = []
    for values in itertools.product(*(values for _, _, values in axes)):
        pairs = list(zip(axes, values, strict=True))
        label = " ".join(f"{axis[0]}={value}" for axis, value in pairs)
        over = {axis[1].name: value for axis, value in pairs}
        point = SweepPoint(source.name, profile, given | over, label)
        made.append(point)
    by_key = {point.key: point for point in made}  # raises if a value is wrong
    for point in made:
        if by_key[point.key] is not point:
            same = by_key[point.key].label
            raise ValueError(f"grid point {point.label} is the same as {same}")
    return made


def on_gpu(page: Page, profile: str, given: dict[str, str]) -> bool:
    """Whether the points will run on a GPU, by the page's parameter ``device``."""
    return page.device(profile, given).startswith("cuda")


def _axis(page: Page, text: str, together: bool) -> tuple[str, Parameter, list[str]]:
    """Name, parameter and values; ``together``, a list's values make one point.

    A page on a GPU trains the models of its lists side by side, faster than a sweep
    could one by one.
    """
    name, sign, values = text.partition("=")
    name = name.strip()
    if not sign or not values.strip():
        raise ValueError(f"grid is {text!r}; allowed: name=value,value or name=0:3")
    axes = axes_of(page)
    if name not in axes:
        raise ValueError(
            f"unknown grid parameter {name!r} of page {page.name}; "
            f"{suggest(name, axes) if axes else 'it has none'} (of a list parameter, "
            "one value per point)"
        )
    parameter, found = axes[name], values_of(f"grid {name}", values)
    if together and parameter.kind.startswith("list["):
        found = [",".join(found)]
    return name, parameter, found


def axes_of(page: Page) -> dict[str, Parameter]:
    """The names that a grid over a page may use.

    A list parameter goes by its singular, too: ``gate`` is ``gates``, and gives each
    point one of them.
    """
    own = page.parameters()
    lists = [p for p in own.values() if p.kind.startswith("list[")]
    return {p.name.removesuffix("s"): p for p in lists} | own
