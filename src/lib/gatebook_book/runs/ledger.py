"""The ledger: each claim of the papers, what was found here, and the verdict.

A page's claims are in ``book/claims/<page>.yaml``. The rule of each verdict stands
there beside the claim, and was committed before the runs that it judges.
"""

import ast
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import simpleeval
import yaml
from gatebook.errors import suggest

from gatebook_book.paths import root
from gatebook_book.runs.statistics import median_of
from gatebook_book.runs.store import Run, load

PROFILES = ("paper", "laptop")
"""Stored runs of the first of these that has any decide a page's rows."""

LEAST_SEEDS = 3
"""With fewer of a method there is no verdict."""

REFUSED = (ast.Not, ast.NotEq, ast.NotIn, ast.IsNot, ast.IfExp)
"""What no rule may use: these would hold of a method that has no figure."""

WRONG = (
    simpleeval.InvalidExpression,
    SyntaxError,
    TypeError,
    ValueError,
    ArithmeticError,
)
"""What working out a rule may raise."""

OWN = (
    "reproduced",
    "partly",
    "contradicted",
    "not_waited_for",
    "where",
    "methods",
)
"""Of a claim at the profile ``own``: rules for each verdict, and in words what the
runs were stopped before. ``contradicted`` mirrors ``reproduced``: the same test with
the sides changed. Where neither holds, the claim is undecided."""

SIZES = {
    "length": "N = {}",
    "pool": "pool {}",
    "hidden_size": "H = {}",
    "steps": "{} steps",
}
"""Parameters that a row's scale shows."""


@dataclass(frozen=True)
class Claim:
    """One claim of a paper, and the rule that decides it.

    Arguments:
        claim: in our words, one line.
        source: paper, section, figure or table.
        paper: its figure and its size.
        quote: its own words.
        metric: of the stored runs; ``None`` where no run tests the claim.
        methods: whose figures are shown.
        where: parameters that a run must have to count.
        reproduced: the rule, see `verdict`.
        partly: a weaker rule, or none.
        own: the rules at the paper's own size but not its budget, see `OWN`.
        page: where the runs are.
    """

    claim: str
    source: str
    paper: str
    page: str
    quote: str = ""
    metric: str | None = None
    methods: list[str] = field(default_factory=list)
    where: Mapping[str, Any] = field(default_factory=dict)
    reproduced: str | None = None
    partly: str | None = None
    own: Mapping[str, Any] = field(default_factory=dict)


def folder() -> Path:
    """Where the files of claims are."""
    return root() / "book" / "claims"


def pages() -> list[str]:
    """Pages that have claims, by name."""
    files = sorted(folder().rglob("*.yaml"))
    return [file.relative_to(folder()).with_suffix("").as_posix() for file in files]


def claims(page: str) -> list[Claim]:
    """The claims that a page tests.

    Raises:
        ValueError: for a page without a file of claims, or a field that none has.
    """
    file = folder() / f"{page}.yaml"
    if not file.is_file():
        raise ValueError(f"unknown page {page!r}; {suggest(page, pages())}")
    return [_claim(page, file, entry) for entry in yaml.safe_load(file.read_text())]


def _claim(page: str, file: Path, entry: dict[str, Any]) -> Claim:
    known = set(Claim.__dataclass_fields__) - {"page"}
    for name in entry:
        if name not in known:
            raise ValueError(f"{file}: unknown field {name!r}; {suggest(name, known)}")
    missing = [name for name in ("claim", "source", "paper") if name not in entry]
    if missing:
        raise ValueError(f"{file}: a claim lacks {', '.join(missing)}")
    if bool(entry.get("metric")) != bool(entry.get("reproduced")):
        raise ValueError(
            f"{file}: claim {entry['claim']!r} needs both a metric and a rule, or "
            "neither"
        )
    for name in entry.get("own", {}):
        if name not in OWN:
            raise ValueError(f"{file}: unknown field {name!r}; {suggest(name, OWN)}")
    return Claim(page=page, **entry)


def stored(page: str) -> tuple[str, list[Run]]:
    """The runs kept for a page and the profile they are of; none is no error."""
    for profile in PROFILES:
        runs = load(page, profile)
        if runs:
            return profile, runs
    return PROFILES[-1], []


def verdict(claim: Claim, runs: list[Run]) -> str:
    """``"reproduced"``, ``"partly"``, ``"not at this size"`` or ``"no run"``.

    A rule is an expression over ``median(method)``, ``low``, ``high``, ``seeds`` and
    ``diverged``, each with a metric as an optional second argument, with arithmetic,
    comparisons, ``and``, ``or``, and ``log``, ``min``, ``max``, ``abs``. A method whose
    runs all diverged has no median, and no comparison with it holds, nor with a
    minimum or a maximum that it is part of. Each method needs `LEAST_SEEDS` seeds.

    Raises:
        ValueError: for a rule that cannot be worked out.
    """
    if claim.reproduced is None:
        return "no run"
    rules = {"reproduced": claim.reproduced, "partly": claim.partly}
    try:
        for word, rule in rules.items():
            if rule is not None and _holds(rule, claim, runs):
                return word
    except _NoRun:
        return "no run"
    return "not at this size"


class _NoRun(Exception):
    """A rule asks for a method with too few stored runs."""


def _holds(rule: str, claim: Claim, runs: list[Run]) -> bool:
    try:
        _check_words(rule)
        found = simpleeval.simple_eval(rule, functions=_functions(claim, runs))
        if not isinstance(found, bool):
            raise TypeError(f"it gives {found!r}; allowed: a comparison")
    except WRONG as error:
        raise ValueError(
            f"page {claim.page}, claim {claim.claim!r}: rule {rule!r} cannot be worked "
            f"out: {error}"
        ) from error
    return found


def _functions(claim: Claim, runs: list[Run]) -> dict[str, Callable[..., float]]:
    figures = ("median", "low", "high", "seeds", "diverged")
    of_runs = {name: _figure(name, claim, runs) for name in figures}
    extremes = {"min": _or_nan(min), "max": _or_nan(max)}
    return {**of_runs, **extremes, "log": math.log, "abs": abs}


def _check_words(rule: str) -> None:
    for node in ast.walk(ast.parse(rule.strip(), mode="eval")):
        if isinstance(node, REFUSED):
            name = type(node).__name__
            raise ValueError(f"it uses {name}; allowed: and, or, <, <=, >, >=, ==")


def _or_nan(choose: Callable[[Sequence[float]], float]) -> Callable[..., float]:
    """Python's own drops or keeps a NaN by the order of its arguments."""
    return lambda *values: math.nan if any(map(math.isnan, values)) else choose(values)


def _figure(name: str, claim: Claim, runs: list[Run]) -> Callable[..., float]:
    def take(method: str, metric: str | None = None) -> float:
        found = summary(claim, method, runs, metric)
        if found["seeds"] < LEAST_SEEDS:
            raise _NoRun(method)
        value = found[name]
        return math.nan if value is None else value

    return take


def summary(
    claim: Claim, method: str, runs: list[Run], metric: str | None = None
) -> dict[str, Any]:
    """Median, band, seeds and diverged runs of a method, as `results.median_of`."""
    own = [run for run in runs if run["name"] == method and _counts(claim, run)]
    return median_of(own, metric or claim.metric or "")


def _counts(claim: Claim, run: Run) -> bool:
    own = run.get("parameters", {})
    return all(own.get(name) == value for name, value in claim.where.items())


@dataclass(frozen=True)
class Row:
    """One line of the ledger, all its fields as text or numbers."""

    claim: str
    quote: str
    source: str
    paper: str
    ours: str
    seeds: int
    diverged: int
    scale: str
    verdict: str
    page: str
    command: str


def entries(page: str) -> list[Row]:
    """The ledger's lines of one page."""
    profile, runs = stored(page)
    return [_row(claim, profile, runs) for claim in claims(page)]


def all_entries() -> Iterator[Row]:
    """The lines of all pages."""
    for page in pages():
        yield from entries(page)


def rows(page: str) -> list[dict[str, Any]]:
    """One page's lines as its table "paper and here", for `plots.table`."""
    shown = ("claim", "source", "paper", "ours", "seeds", "diverged", "verdict")
    heads = {"ours": "here", "diverged": "of them diverged"}
    return [
        {heads.get(name, name): getattr(entry, name) for name in shown}
        for entry in entries(page)
    ]


def _row(claim: Claim, profile: str, runs: list[Run]) -> Row:
    found = {m: summary(claim, m, runs) for m in claim.methods if claim.metric}
    command = f"gatebook run {claim.page} --profile {profile} --fresh"
    counted = [r for r in runs if r["name"] in found and _counts(claim, r)]
    return Row(
        claim=claim.claim,
        quote=claim.quote,
        source=claim.source,
        paper=claim.paper,
        ours="; ".join(_words(m, s) for m, s in found.items() if s["seeds"]) or "–",
        seeds=sum(s["seeds"] for s in found.values()),
        diverged=sum(s["diverged"] for s in found.values()),
        scale=_scale(profile, counted),
        verdict=verdict(claim, runs),
        page=claim.page,
        command=command if claim.metric else "–",
    )


def _words(method: str, s: dict[str, Any]) -> str:
    """``UR 0.03 [0.02, 0.05]``: median, lowest and highest of the seeds."""
    if s["median"] is None:
        return f"{method} diverged"
    median, low, high = (_short(s[name]) for name in ("median", "low", "high"))
    return f"{method} {median} [{low}, {high}]"


def _short(value: float) -> str:
    """Three digits, and all digits of a whole number such as a count of steps."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _scale(profile: str, runs: list[Run]) -> str:
    """Profile and sizes, as far as the runs agree on them."""
    words = []
    for name, form in SIZES.items():
        values = {run["parameters"].get(name) for run in runs} - {None}
        if len(values) == 1:
            words.append(form.format(values.pop()))
    return ", ".join([profile, *words]) if runs else "–"
