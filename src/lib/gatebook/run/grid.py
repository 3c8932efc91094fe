"""From the texts of ``--grid`` to the points of a sweep, all checked."""

import itertools
import re

from gatebook.errors import suggest
from gatebook.run.pages import Page, Parameter, find
from gatebook.run.point import SweepPoint

RANGE = re.compile(r"(-?\d+):(-?\d+)(?::([1-9]\d*))?")


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
    own = page.parameters().get("device")
    chosen = page.effective(profile, given).get("device", own and own.default)
    return str(chosen).startswith("cuda")


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
            f"{suggest(name, axes) if axes else 'it has none'} (a list parameter by "
            "its singular: one of its values a point)"
        )
    parameter, found = axes[name], values_of(name, values)
    if together and parameter.kind.startswith("list["):
        found = [",".join(found)]
    return name, parameter, found


def axes_of(page: Page) -> dict[str, Parameter]:
    """The names that a grid over a page may use.

    A list parameter goes by its singular: ``gate`` gives each point one of ``gates``.
    """
    return {
        p.name.removesuffix("s") if p.kind.startswith("list[") else p.name: p
        for p in page.parameters().values()
    }


def values_of(name: str, text: str) -> list[str]:
    """``"0:3"`` is 0, 1, 2, and ``"0:9:3"`` is 0, 3, 6; else what commas part."""
    if match := RANGE.fullmatch(text.strip()):
        first, end, by = (int(group or 1) for group in match.groups())
        values = [str(n) for n in range(first, end, by)]
    else:
        values = [value.strip() for value in text.split(",")]
    if not values or "" in values or len(set(values)) < len(values):
        raise ValueError(f"grid {name} is {text!r}; allowed: values, each once")
    return values
