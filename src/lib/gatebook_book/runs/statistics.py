"""Figures over several stored runs, and over the curve of one."""

from typing import Any

import torch
from gatebook.errors import check_choice, suggest

from gatebook_book.runs.store import Run


def median_of(runs: list[Run], metric: str) -> dict[str, Any]:
    """Median, lowest, highest of a metric, how many seeds, how many runs diverged.

    A diverged run has no figure and is counted, not dropped in silence.

    Raises:
        ValueError: for a metric that no run has, or that a finished run has no number
            of; of an infinite one JSON holds none.
    """
    if not runs:
        return {"median": None, "low": None, "high": None, "seeds": 0, "diverged": 0}
    known = {name for run in runs for name in run["metrics"]}
    if metric not in known:
        raise ValueError(f"unknown metric {metric!r}; {suggest(metric, known)}")
    done = [_number(run, metric) for run in runs if run["status"] == "finished"]
    values = torch.tensor(sorted(done), dtype=torch.float64)
    return {
        "median": values.quantile(0.5).item() if len(values) else None,
        "low": values.min().item() if len(values) else None,
        "high": values.max().item() if len(values) else None,
        "seeds": len({run["seed"] for run in runs}),
        "diverged": len(runs) - len(done),
    }


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
