"""What there is to run, in which order: the blocks of ``book/reproduce.yaml``."""

import functools
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from gatebook.errors import check_choice, suggest
from gatebook.files import read_text

from gatebook_book.pages.pages import PROFILES, Page, find, page_names
from gatebook_book.paths import root
from gatebook_book.runs.claims import Claim, claims, of_profile, pages
from gatebook_book.runs.store import load


@dataclass(frozen=True)
class Block:
    """Runs of one page that are made together, since together they decide claims.

    Arguments:
        page: where they are made.
        profile: whose parameters they have.
        why: what they decide, and why they stand where they stand, in one sentence.
        methods: names of the runs, without ``ending``.
        seeds: one run for each method and seed.
        shape: of one training step: T, batch, input and hidden size.
        parameter: of the page, which takes the methods.
        ending: that the page adds to the names of these runs.
        given: parameters of the page over the profile's, as typed.
        runs: parameters of the stored runs; others are not of this block.
    """

    page: str
    profile: str
    why: str
    methods: list[str]
    seeds: list[int]
    shape: list[int]
    parameter: str = "methods"
    ending: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("profile", self.profile, PROFILES)
        find(self.page)  # raises for one that there is not
        if len(self.shape) != 4:
            raise ValueError(f"shape is {self.shape}; allowed: [T, batch, in, hidden]")
        for method in self.methods:  # raises for a parameter that the page lacks
            self.source.effective(self.profile, self.texts([method], self.seeds[:1]))

    @property
    def source(self) -> Page:
        """The page itself."""
        return find(self.page)

    @property
    def steps(self) -> int:
        """Gradient steps of each run."""
        return int(self.source.effective(self.profile, dict(self.given))["steps"])

    def wanted(self) -> list[tuple[str, int]]:
        """Method and seed of each run, seed by seed."""
        return [(method, seed) for seed in self.seeds for method in self.methods]

    def missing(self) -> list[tuple[str, int]]:
        """Those that are not stored with these parameters.

        A stored run of another number of steps, or another size, is stale: it does
        not count.

        Raises:
            ValueError: for a result that was cut short, naming its file.
        """
        wanted = {**self.runs, "steps": self.steps}
        stored = {
            (run["name"], run["seed"])
            for run in load(self.page, self.profile)
            if all(run["parameters"].get(k) == v for k, v in wanted.items())
        }
        return [(m, s) for m, s in self.wanted() if (m + self.ending, s) not in stored]

    def texts(self, methods: list[str], seeds: list[int]) -> dict[str, str]:
        """The page's parameters for some of the runs, as typed."""
        own = {self.parameter: ",".join(methods), "seeds": ",".join(map(str, seeds))}
        return dict(self.given) | own

    def again(self, claim: Claim) -> str:
        """The command that repeats the runs of a claim; what is stored stays."""
        names = of_profile(claim, self.profile).methods
        methods = [m for m in self.methods if m + self.ending in names]
        given = self.texts(methods, self.seeds).items()
        words = ["gatebook", "run", self.page, "--profile", self.profile, "--fresh"]
        return shlex.join(words + [w for k, v in given for w in ("-p", f"{k}={v}")])

    def decides(self) -> Iterator[Claim]:
        """The claims that need one of these runs."""
        if self.page not in pages():
            return
        names = {m + self.ending for m in self.methods}
        for claim in claims(self.page):
            own = of_profile(claim, self.profile)
            fits = all(own.where.get(k, v) == v for k, v in self.runs.items())
            if own.metric and fits and names & set(own.methods):
                yield claim


def commands(claim: Claim, profile: str) -> str:
    """What repeats the runs of a claim; nothing where no block has them."""
    found = [b for b in blocks() if b.profile == profile and b.page == claim.page]
    return " && ".join(b.again(claim) for b in found if claim in b.decides())


def file() -> Path:
    """Where the order and its reasons stand."""
    return root() / "book" / "reproduce.yaml"


def blocks() -> list[Block]:
    """All blocks, the most valuable first.

    Raises:
        ValueError: for a field or a value that a block does not have.
    """
    return list(_parsed(file(), read_text(file())))


@functools.lru_cache(maxsize=4)  # the ledger asks for each of its claims
def _parsed(place: Path, text: str) -> tuple[Block, ...]:
    known = set(Block.__dataclass_fields__)
    made = []
    for number, entry in enumerate(yaml.safe_load(text) or [], 1):
        for name in entry:
            if name not in known:
                raise ValueError(
                    f"{place}: unknown field {name!r}; {suggest(name, known)}"
                )
        needed = ("page", "profile", "why", "methods", "seeds", "shape")
        if lacking := [name for name in needed if name not in entry]:
            raise ValueError(f"{place}: block {number} lacks {', '.join(lacking)}")
        texts = {k: str(v) for k, v in (entry.get("given") or {}).items()}
        try:
            made.append(Block(**entry | {"given": texts}))
        except ValueError as error:
            raise ValueError(f"{place}, block {number}: {error}") from error
    return tuple(made)


def chosen(target: str | None, profile: str) -> list[Block]:
    """The blocks of a profile, or those of them that a page or a claim needs.

    Arguments:
        target: a page, part of a claim's text, or ``None`` for all.
        profile: whose runs.

    Raises:
        ValueError: if there is no such page or claim, or nothing to run for it.
    """
    check_choice("profile", profile, PROFILES)
    every = blocks()
    known = {block.profile for block in every}
    if profile not in known:
        raise ValueError(
            f"profile is {profile!r}; allowed: "
            f"{', '.join(map(repr, sorted(known)))}, whose runs {file().name} lists"
        )
    own = [block for block in every if block.profile == profile]
    found = own if target is None else [b for b in own if _meets(b, target)]
    if not found:
        raise ValueError(_nothing(str(target), profile))
    return found


def _meets(block: Block, target: str) -> bool:
    words = target.casefold()
    return block.page == target or any(
        words in claim.claim.casefold() for claim in block.decides()
    )


def _nothing(target: str, profile: str) -> str:
    """Why a target has no block."""
    everything = [claim for page in pages() for claim in claims(page)]
    if target in page_names() or any(
        target.casefold() in claim.claim.casefold() for claim in everything
    ):
        return (
            f"{file().name} lists no runs at profile {profile!r} for {target!r}; "
            "allowed: a page or claim that --dry-run shows"
        )
    return (
        f"unknown page or claim {target!r}; {suggest(target, page_names())}, or part "
        "of a claim's text"
    )
