"""When a claim's rule was last changed, and which runs had it, as git has it."""

import datetime
import functools
import itertools
import re
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

import yaml

from gatebook_book.runs.claims import RULES, Claim, folder


class Change(NamedTuple):
    """A commit, its first twelve digits, and its day."""

    commit: str
    day: str


class _Line(NamedTuple):
    time: int
    commit: str
    text: str
    key: str = ""


KEY = re.compile(r"(?:- |  )(  )?(\w+):")
"""The key that a line of a claim begins with, its own or one of ``own``."""


def last_change(claim: Claim, profile: str) -> Change | None:
    """The newest commit that touched the rules by which a profile's runs are judged.

    Returns:
        ``None`` where there is no git, no history, or the lines are not committed.
    """
    block = _blocks(claim.page).get(claim.claim, [])
    own = "own." if profile == "own" and claim.own else ""
    newest = max((line for line in block if line.key in _decide(own)), default=None)
    if newest is None or not newest.commit.strip("0"):
        return None
    day = datetime.datetime.fromtimestamp(newest.time, datetime.timezone.utc).date()
    return Change(newest.commit[:12], day.isoformat())


def with_rule(change: Change, commits: Iterable[str]) -> int:
    """How many of some runs' checkouts had a rule already.

    Arguments:
        change: the newest commit of the rule.
        commits: of the runs, their first twelve digits, with ``+`` behind them where
            the checkout was edited.
    """
    return sum(change.commit in _history(commit.rstrip("+")) for commit in commits)


@functools.cache
def _history(commit: str) -> frozenset[str]:
    """A commit and all before it, each by its first twelve digits."""
    return frozenset(line[:12] for line in _git("rev-list", commit).split())


def _git(*words: str) -> str:
    """What git says in the folder of claims; nothing where it does not know."""
    try:
        return subprocess.run(
            ["git", *words],
            cwd=folder(),
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def _decide(own: str) -> tuple[str, ...]:
    """The keys whose lines decide a verdict."""
    return tuple(own + name for name in ("metric", "where", "best", *RULES))


@functools.cache
def _blocks(page: str) -> dict[str, list[_Line]]:
    """The lines of each claim of a page, by its words; comments do not count."""
    found: dict[str, list[_Line]] = {}
    block: list[_Line] = []
    key = ""
    for line in itertools.chain(_lines(page), [_Line(0, "", "- end")]):
        if line.text.startswith("- ") and block:
            (entry,) = yaml.safe_load("\n".join(own.text for own in block))
            found[entry["claim"]] = block
            block = []
        if block or line.text.startswith("- claim:"):
            key = _key(line.text, key)
            block.append(line._replace(key=key))
    return found


def _key(text: str, before: str) -> str:
    """The key whose value a line belongs to, such as ``own.partly``."""
    found = KEY.match(text)
    if found is None:
        return before
    return found[2] if found[1] is None else f"own.{found[2]}"


def _lines(page: str) -> list[_Line]:
    """The lines of a page's file of claims, each with the commit that it is from."""
    told = _git("blame", "--line-porcelain", f"{page}.yaml")
    found, commit, time, fresh = [], "", 0, True
    for line in told.splitlines():
        if fresh:
            commit, fresh = line.split()[0], False
        elif line.startswith("committer-time "):
            time = int(line.split()[1])
        elif line.startswith("\t"):
            found.append(_Line(time, commit, line[1:]))
            fresh = True
    return [line for line in found if not line.text.lstrip().startswith("#")]
