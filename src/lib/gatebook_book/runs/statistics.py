"""Figures over several stored runs, and over the curve of one."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from gatebook.errors import check_choice, suggest

from gatebook_book.runs.store import Run


def median_of(runs: list[Run], metric: str) -> dict[str, Any]:
    """Median, lowest, highest, all values, how many seeds, how many runs diverged.

    A diverged run has no figure and is counted, not dropped in silence.

    Raises:
        ValueError: for a metric that no run has, or that a finished run has no number
            of; of an infinite one JSON holds none.
    """
    if not runs:
        return spread([]) | {"seeds": 0, "diverged": 0, "values": []}
    known = {name for run in runs for name in run["metrics"]}
    if metric not in known:
        raise ValueError(f"unknown metric {metric!r}; {suggest(metric, known)}")
    done = [_number(run, metric) for run in runs if run["status"] == "finished"]
    counts = {"seeds": len({run["seed"] for run in runs})}
    lost = {"diverged": len(runs) - len(done)}
    return spread(done) | counts | lost | {"values": sorted(done)}


def best_rate(runs: list[Run], metric: str, best: str) -> list[Run]:
    """Of one method's runs those at its best learning rate.

    Arguments:
        runs: each with the parameter ``learning_rate``.
        metric: the figure whose median decides, among the rates at which the fewest
            runs diverged.
        best: ``"lowest"`` or ``"highest"``.

    Example:
        >>> made = {"status": "finished", "seed": 0}
        >>> runs = [
        ...     {"metrics": {"loss": x}, "parameters": {"learning_rate": r}, **made}
        ...     for r, x in ((0.1, 3.0), (0.2, 2.0))
        ... ]
        >>> best_rate(runs, "loss", "lowest") == runs[1:]
        True
    """
    at: dict[float, list[Run]] = {}
    for run in runs:
        at.setdefault(run["parameters"]["learning_rate"], []).append(run)

    def order(rate: float) -> tuple[int, float]:
        found = median_of(at[rate], metric)
        median = found["median"] or 0.0  # where all diverged, nothing is decided
        return found["diverged"], median if best == "lowest" else -median

    return at[min(sorted(at), key=order)] if at else []


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest and highest of some figures; ``None`` for each without any."""
    if not values:
        return {"median": None, "low": None, "high": None}
    ends = {"low": min(values), "high": max(values)}
    return {"median": statistics.median(values), **ends}


def in_words(figures: Mapping[str, Any], form: str | None = None) -> str:
    """A spread in words.

    Arguments:
        figures: as `spread` and `median_of` give them.
        form: of a number, such as ``".2f"``; by default three digits, and all digits
            of a number that has more before the point.

    Example:
        >>> in_words(spread([0.02, 0.05, 0.03]))
        '0.03 [0.02, 0.05]'
    """
    if figures["median"] is None:
        return "–"
    median, low, high = (_short(figures[k], form) for k in ("median", "low", "high"))
    return f"{median} [{low}, {high}]"


def _short(value: float, form: str | None) -> str:
    return format(value, form or (".3g" if abs(value) < 1000 else ".0f"))


def _number(run: Run, metric: str) -> float:
    value = run["metrics"].get(metric)
    if not isinstance(value, int | float):
        place = f"{run['page']} {run.get('profile', '–')} {run['name']}"
        raise ValueError(
            f"metric {metric!r} of the finished run {place} seed {run['seed']} is "
            f"{value!r}; allowed: a finite number"
        )
    return value


def first_below(curves: dict[str, list[Any]], score: str, level: float) -> float:
    """The first evaluated step at which a score is at or below a level.

    Arguments:
        curves: of a run or a history; ``None`` in them is not below anything.
        score: one of them, such as ``"loss"``.
        level: in the score's unit.

    Returns:
        the step; infinite if the score never got there.

    Example:
        >>> first_below({"step": [0, 50, 100], "loss": [2.0, 0.3, 0.1]}, "loss", 0.2)
        100
    """
    check_choice("score", score, [name for name in curves if name != "step"])
    pairs = zip(curves["step"], curves[score], strict=True)
    reached = (step for step, v in pairs if v is not None and v <= level)
    return next(reached, float("inf"))
