"""The ledger: each claim of the papers, what was found here, and the verdict.

A page's claims are in ``book/claims/<page>.yaml``. The rule of each verdict stands
there beside the claim, and was committed before the runs that it judges.
"""

import ast
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import simpleeval

from gatebook_book.reproduce.blocks import commands
from gatebook_book.runs.claims import RULES, Claim, claims, of_profile, pages
from gatebook_book.runs.history import last_change, with_rule
from gatebook_book.runs.statistics import best_rate, in_words, median_of
from gatebook_book.runs.store import Run, load

PROFILES = ("paper", "own", "laptop")
"""From the largest runs to the smallest. The largest that can judge a claim does."""

OTHERWISE = {"paper": "contradicted", "own": "undecided", "laptop": "contradicted"}
"""The verdict where no rule holds; runs stopped early contradict by a rule alone."""

SMALL = {
    "reproduced": "agrees (small)",
    "partly": "partly (small)",
    "contradicted": "differs (small)",
}
"""The words for runs smaller than the paper's, weak evidence in either direction."""

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

SIZES = {
    "length": "N = {}",
    "delay": "D = {}",
    "pool": "pool {}",
    "hidden_size": "H = {}",
    "steps": "{:,} steps",
    "updates": "{:,} updates",
    "learning_rate": "rate {:g}",
}
"""Parameters that a row's scale shows."""

NOTHING_TO_SHOW = "–"

ON_THE_PAGE = ("theory/gumbel", "theory/detach", "memory/copy")
"""Early pages, on which the rules stood before the runs and before their file."""


def verdict(claim: Claim, runs: list[Run], profile: str = "laptop") -> str:
    """One of `claims.RULES`, of `OTHERWISE` or of `SMALL`, or ``"no run"``.

    A rule is an expression over ``median(method)``, ``low``, ``high``, ``seeds`` and
    ``diverged``, each with a metric as an optional second argument, with arithmetic,
    comparisons, ``and``, ``or``, and ``log``, ``min``, ``max``, ``abs``. A method whose
    runs all diverged has no median, and no comparison with it holds, nor with a
    minimum or a maximum that it is part of. Each method needs `LEAST_SEEDS` seeds.

    Raises:
        ValueError: for a rule that cannot be worked out.
    """
    if claim.metric is None:
        return "no run"
    try:
        word = _word(claim, runs, profile)
    except _NoRun:
        return "no run"
    small = profile == "laptop" and not claim.papers_size
    return SMALL[word] if small else word


def _word(claim: Claim, runs: list[Run], profile: str) -> str:
    """The first rule that holds, whatever the runs' size."""
    rules = {word: getattr(claim, word) for word in RULES}
    if not any(rules.values()):  # which would ask for the runs
        for method in claim.methods:
            if summary(claim, method, runs)["seeds"] < LEAST_SEEDS:
                raise _NoRun(method)
    for word, rule in rules.items():
        if rule is not None and _holds(rule, claim, runs):
            return word
    return OTHERWISE[profile]


class _NoRun(Exception):
    """A rule asks for a method with too few stored runs."""


def _holds(rule: str, claim: Claim, runs: list[Run]) -> bool:
    found = _worked_out(rule, claim, runs)
    if not isinstance(found, bool):
        raise _wrong(rule, claim, f"it gives {found!r}; allowed: a comparison")
    return found


def _worked_out(rule: str, claim: Claim, runs: list[Run]) -> Any:
    try:
        _check_words(rule)
        return simpleeval.simple_eval(rule, functions=_functions(claim, runs))
    except WRONG as error:
        raise _wrong(rule, claim, error) from error


def _wrong(rule: str, claim: Claim, why: object) -> ValueError:
    return ValueError(
        f"page {claim.page}, claim {claim.claim!r}: rule {rule!r} cannot be worked "
        f"out: {why}"
    )


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


def effect(claim: Claim, runs: list[Run]) -> float | None:
    """How far the runs go the paper's way, by the claim's own expression.

    Returns:
        above 0 where they go it; ``None`` for a claim without such an expression, or
        without the runs for it, or where a run diverged.
    """
    if claim.effect is None:
        return None
    try:
        value = float(_worked_out(claim.effect, claim, runs))
    except _NoRun:
        return None
    return None if math.isnan(value) else value


def summary(
    claim: Claim, method: str, runs: list[Run], metric: str | None = None
) -> dict[str, Any]:
    """Median, band, seeds and diverged runs of a method, as `statistics.median_of`."""
    own = [run for run in runs if run["name"] == method and _counts(claim, run)]
    if claim.best:
        own = best_rate(own, claim.metric or "", claim.best)
    return median_of(own, metric or claim.metric or "")


def _counts(claim: Claim, run: Run) -> bool:
    own = run["parameters"]
    return all(own.get(name) == value for name, value in claim.where.items())


@dataclass(frozen=True)
class Size:
    """What the runs of one profile say of a claim.

    Arguments:
        profile: its name.
        claim: as it is judged there.
        scale: the profile and its sizes.
        ours: the figures, method by method, in words.
        values: the figures of the runs that did not diverge, by method.
        runs: how many stored runs count.
        diverged: those of them that diverged.
        first_day: when the first of them ended.
        commits: of each run's checkout.
        verdict: by the rules that hold there.
        effect: as `effect` has it.
    """

    profile: str
    claim: Claim
    scale: str
    ours: str
    values: dict[str, list[float]]
    runs: int
    diverged: int
    first_day: str
    commits: list[str]
    verdict: str
    effect: float | None

    def __str__(self) -> str:
        size = "" if self.effect is None else f", effect {self.effect:+.2g}"
        return f"{self.scale}: {self.verdict}{size}"


Kept = dict[str, list[Run]]
"""A page's stored runs by their profile."""


def stored(page: str) -> Kept:
    """The runs kept for a page, profile by profile; an empty list is not an error."""
    return {profile: load(page, profile) for profile in PROFILES}


def sizes(claim: Claim, kept: Kept) -> list[Size]:
    """What the profiles that have runs for a claim say, the largest first."""
    found = (_size(claim, profile, kept[profile]) for profile in PROFILES)
    return [size for size in found if size.runs]


def _size(claim: Claim, profile: str, runs: list[Run]) -> Size:
    own = of_profile(claim, profile)
    found = {m: summary(own, m, runs) for m in own.methods if own.metric}
    counted = [r for r in runs if r["name"] in found and _counts(own, r)]
    return Size(
        profile=profile,
        claim=own,
        scale=_scale(profile, counted),
        ours="; ".join(spelled(m, s) for m, s in found.items() if s["seeds"])
        or NOTHING_TO_SHOW,
        values={m: s["values"] for m, s in found.items() if s["seeds"]},
        runs=sum(s["seeds"] for s in found.values()),
        diverged=sum(s["diverged"] for s in found.values()),
        first_day=min((run.get("date", "") for run in counted), default=""),
        commits=[run.get("commit", "") for run in counted],
        verdict=verdict(own, runs, profile),
        effect=effect(own, runs),
    )


@dataclass(frozen=True)
class Row:
    """One line of the ledger, all its fields as text or numbers.

    The figures and the verdict are those of the largest size that can judge the
    claim; ``evidence`` has all sizes that there are, and what would settle it.
    ``fixed`` is the commit and the day of the rules that decide, and how many of the
    runs were made by a checkout that had them.
    """

    claim: str
    quote: str
    source: str
    paper: str
    ours: str
    metric: str
    values: dict[str, list[float]]
    runs: int
    diverged: int
    first_day: str
    scale: str
    rules: dict[str, str]
    fixed: str
    verdict: str
    evidence: str
    page: str
    command: str


def entries(page: str) -> list[Row]:
    """The ledger's lines of one page."""
    kept = stored(page)
    return [_row(claim, kept) for claim in claims(page)]


def all_entries() -> Iterator[Row]:
    """The lines of all pages."""
    for page in pages():
        yield from entries(page)


def _row(claim: Claim, kept: Kept) -> Row:
    found = sizes(claim, kept)
    judge = next((size for size in found if size.verdict != "no run"), None)
    judge = judge or (found[0] if found else _size(claim, PROFILES[-1], []))
    command = f"gatebook run {claim.page} --profile {judge.profile} --fresh"
    if judge.profile == "own":  # whose grid is not run as a whole
        command = commands(claim, "own") or command
    return Row(
        claim=claim.claim,
        quote=claim.quote,
        source=claim.source,
        paper=claim.paper,
        ours=judge.ours,
        metric=claim.metric or "",
        values=judge.values,
        runs=judge.runs,
        diverged=judge.diverged,
        first_day=judge.first_day,
        scale=judge.scale,
        rules=_rules(judge.claim),
        fixed=_fixed(claim, judge),
        verdict=judge.verdict,
        evidence=_evidence(claim, judge, found),
        page=claim.page,
        command=command if claim.metric else NOTHING_TO_SHOW,
    )


def _rules(claim: Claim) -> dict[str, str]:
    """The rules of a claim at a profile, in the order in which they are tried."""
    found = {word: getattr(claim, word) for word in RULES}
    return {word: " ".join(rule.split()) for word, rule in found.items() if rule}


def _fixed(claim: Claim, judge: Size) -> str:
    """Commit and day of the rules, and how many of the runs started from them.

    Returns:
        nothing where git does not know.
    """
    change = last_change(claim, judge.profile)
    if change is None:
        return ""
    had = with_rule(change, judge.commits)
    runs = len(judge.commits)
    where = f", in the checkout of {had} of {runs} runs" if runs else ""
    early = claim.page in ON_THE_PAGE and had < runs
    page = "; before, it stood on the page" if early else ""
    return f"{change.commit}, {change.day}{where}{page}"


def _evidence(claim: Claim, judge: Size, found: list[Size]) -> str:
    """All sizes, the judging one first, and what would settle the claim."""
    others = [size for size in found if size is not judge]
    words = [str(size) for size in [judge, *others] if size.runs]
    if judge.claim.not_waited_for:
        words.append(f"not waited for: {judge.claim.not_waited_for}")
    if settles := _settles(claim, judge):
        words.append(f"would settle it: {settles}")
    return "; ".join(words) or NOTHING_TO_SHOW


def _settles(claim: Claim, judge: Size) -> str:
    """What is still to be done; nothing where the paper's own size has judged."""
    if claim.settles:
        return claim.settles
    open_ones = ("undecided", "no run", *SMALL.values())
    if judge.verdict not in open_ones or not claim.metric or is_ours(claim):
        return ""
    if judge.verdict == "undecided":
        return "the paper's number of steps"
    return "runs of the paper's size"


def is_ours(claim: Claim) -> bool:
    """Whether no paper makes the claim, so that there is no paper's size."""
    return claim.source.startswith("ours")


def spelled(method: str, s: dict[str, Any]) -> str:
    """``UR 0.03 [0.02, 0.05]``: median, lowest and highest of the seeds."""
    if s["median"] is None:
        return f"{method} diverged"
    return f"{method} {in_words(s)}"


def _scale(profile: str, runs: list[Run]) -> str:
    """Profile and sizes, as far as the runs agree on them."""
    words = []
    for name, form in SIZES.items():
        values = {run["parameters"].get(name) for run in runs} - {None}
        if len(values) == 1:
            words.append(form.format(values.pop()))
    return ", ".join([profile, *words]) if runs else NOTHING_TO_SHOW
