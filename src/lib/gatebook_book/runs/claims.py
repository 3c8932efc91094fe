"""The claims of the papers, as ``book/claims/<page>.yaml`` holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from gatebook.errors import suggest
from gatebook.files import read_text

from gatebook_book.pages.pages import page_names
from gatebook_book.paths import root

RULES = ("reproduced", "partly", "contradicted")
"""Verdicts that have a rule, in the order in which the rules are tried."""

BEST = ("lowest", "highest")
"""Which median decides the learning rate at which a method counts."""

OWN = (*RULES, "not_waited_for", "where", "methods")
"""What a claim may have of its own at the profile ``own``, see `Claim`."""


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
        best: ``"lowest"`` or ``"highest"``, where each method was run at several
            learning rates: of each only the runs at the rate with that median of the
            metric count.
        reproduced: the rule, see `ledger.verdict`.
        partly: a weaker rule, or none.
        contradicted: the first rule with its sides changed, for runs at the paper's
            own size that are shorter than the paper's.
        papers_size: whether the runs of `laptop` have the paper's size already.
        effect: an expression over the runs as in a rule, above 0 if the effect goes
            the paper's way: a difference of accuracies or a share of a loss.
        settles: what would settle the claim, in words.
        own: what is different at the profile ``own``: rules, `OWN`, and in words what
            the runs were stopped before, ``not_waited_for``.
        not_waited_for: of `own`, once it is looked at there.
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
    best: str | None = None
    reproduced: str | None = None
    partly: str | None = None
    contradicted: str | None = None
    papers_size: bool = False
    effect: str | None = None
    settles: str = ""
    own: Mapping[str, Any] = field(default_factory=dict)
    not_waited_for: str = ""


def folder() -> Path:
    """Where the files of claims are."""
    return root() / "book" / "claims"


def pages() -> list[str]:
    """Pages that have claims, by name, in the book's order."""
    files = sorted(folder().rglob("*.yaml"))
    found = [file.relative_to(folder()).with_suffix("").as_posix() for file in files]
    order = page_names()
    return sorted(
        found, key=lambda page: order.index(page) if page in order else len(order)
    )


def claims(page: str) -> list[Claim]:
    """The claims that a page tests.

    Raises:
        ValueError: for a page without a file of claims, or a field that none has.
    """
    file = folder() / f"{page}.yaml"
    if not file.is_file():
        raise ValueError(f"unknown page {page!r}; {suggest(page, pages())}")
    return [_claim(page, file, entry) for entry in yaml.safe_load(read_text(file))]


def _claim(page: str, file: Path, entry: dict[str, Any]) -> Claim:
    known = set(Claim.__dataclass_fields__) - {"page", "contradicted", "not_waited_for"}
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
    if entry.get("best", BEST[0]) not in BEST:
        raise ValueError(
            f"{file}: unknown best {entry['best']!r}; {suggest(entry['best'], BEST)}"
        )
    for name in entry.get("own", {}):
        if name not in OWN:
            raise ValueError(f"{file}: unknown field {name!r}; {suggest(name, OWN)}")
    return Claim(page=page, **entry)


def of_profile(claim: Claim, profile: str) -> Claim:
    """The claim as it is judged at a profile.

    At ``own`` its rules take the place of the others, which were written for runs of
    another length.
    """
    if profile != "own" or not claim.own:
        return claim
    return replace(claim, **{**dict.fromkeys(RULES), **claim.own})
