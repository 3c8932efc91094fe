"""What several pages do with stored runs on the way to a table."""

import html
import re
from collections.abc import Sequence
from typing import Any

from IPython.display import HTML

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


FORMS = {
    "length": "N = {}",
    "hidden_size": "H = {}",
    "width": "W = {}",
    "num_layers": "{} layers",
    "nesting": "nesting {}",
    "steps": "{:,} steps",
    "epochs": "{} epochs",
    "finetune": "{} of finetuning",
    "learning_rate": "rate {}",
    "batch_size": "{} sequences per step",
    "tokens": "{:,} tokens per step",
    "train_size": "{:,} training images",
    "p": "p = {}",
    "delay": "D = {}",
    "updates": "{:,} updates",
    "discount": "γ = {}",
}
"""How `setup` names a parameter; another one stands as its value alone."""


def setup(runs: list[Run], sizes: Sequence[str]) -> HTML:
    """One line that says what some runs are; devices and commits unfold.

    Arguments:
        runs: stored runs.
        sizes: names of the parameters that are shown, with all values that occur.
    """
    if not runs:
        return HTML('<p class="setup">no run stored yet</p>')
    seeds = len({run["seed"] for run in runs})
    minutes = sum(run["seconds"] for run in runs) / 60
    words = [
        runs[0]["profile"],
        *filter(None, (_in_common(runs, name) for name in sizes)),
        f"{len(runs)} runs, {seeds} seeds",
        f"{minutes:,.0f} minutes in all",
    ]
    made = sorted({f"{run['device']}, commit {run['commit']}" for run in runs})
    lines = "<br>".join(map(html.escape, made))
    return HTML(
        f'<details class="setup"><summary>{html.escape(" · ".join(words))}</summary>'
        f"{lines}</details>"
    )


def _in_common(runs: list[Run], name: str) -> str:
    """A parameter's values in words; nothing where no run has it."""
    given = [run["parameters"].get(name) for run in runs]
    values = sorted({str(v): v for v in given if v is not None}.values())
    form = FORMS.get(name, "{}")
    (place,) = re.findall(r"\{.*?\}", form)
    words = ", ".join(place.format(value) for value in values)
    return form.replace(place, words) if words else ""
