"""What several pages do with stored runs on the way to a table."""

from collections.abc import Sequence
from typing import Any

from gatebook_book.runs.statistics import in_words, median_of
from gatebook_book.runs.store import Run


def runs_with(runs: list[Run], name: str | None = None, **wanted: Any) -> list[Run]:
    """Those of some runs whose parameters have these values.

    Arguments:
        runs: stored runs.
        name: the method, if only one is wanted.
        wanted: parameters by name; a run that lacks one is left out.
    """
    missing = object()

    def fits(run: Run) -> bool:
        own = run["parameters"]
        return all(own.get(key, missing) == value for key, value in wanted.items())

    return [run for run in runs if name in (None, run["name"]) and fits(run)]


def median_band(
    runs: list[Run], metric: str, form: str | None = ".2f", scale: float = 1.0
) -> str:
    """``0.03 [0.02, 0.05]``: median, lowest and highest of the seeds.

    Arguments:
        runs: of one method and one setting.
        metric: the figure.
        form: of a number.
        scale: by which the figure is multiplied first: 100 for percent.

    Returns:
        the words; ``"no run"`` without runs, ``"diverged"`` if all of them did.
    """
    found = median_of(runs, metric)
    if found["median"] is None:
        return "diverged" if runs else "no run"
    ends = ("median", "low", "high")
    return in_words({key: scale * found[key] for key in ends}, form)


def percent(runs: list[Run], metric: str = "accuracy") -> str:
    """The same in percent, and how many runs diverged, if any did."""
    words = median_band(runs, metric, ".1f", 100)
    lost = sum(run["status"] == "diverged" for run in runs)
    if lost in (0, len(runs)):
        return words
    return f"{words}, {lost} of {len(runs)} diverged"


def made_by(runs: list[Run]) -> list[str]:
    """The devices and commits that some runs are from, for a page to print."""
    return sorted({f"{run['device']}, commit {run['commit']}" for run in runs})


def print_setup(runs: list[Run], sizes: Sequence[str]) -> None:
    """Print what some runs on images have in common, a line each.

    Arguments:
        runs: their data, devices, commits and minutes are printed.
        sizes: names of the parameters that are printed.
    """
    own = runs[0]["parameters"] if runs else {}
    print(sorted({run["parameters"]["data_source"] for run in runs}))
    print({name: own.get(name) for name in sizes})
    print(made_by(runs))
    print(f"{sum(run['seconds'] for run in runs) / 60:.0f} minutes in all")
