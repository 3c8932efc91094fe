"""When a rule was fixed: the commit of the lines that decide."""

import copy
import os
import subprocess

import pytest
import yaml
from gatebook_book.runs import history
from gatebook_book.runs.claims import Claim

FIRST = {
    "claim": "UR solves it",
    "source": "P2",
    "paper": "solved",
    "metric": "loss",
    "reproduced": "median('UR') < 1",
    "own": {"reproduced": "high('UR') < 1"},
}


def git(folder, *words, day="2026-01-01"):
    names = ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL")
    dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), f"{day}T12:00:00Z")
    own = dict.fromkeys((*names, "GIT_COMMITTER_EMAIL"), "x") | dates
    return subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *words],
        cwd=folder,
        env=own | {"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
    ).stdout


@pytest.fixture
def committed(tmp_path, monkeypatch):
    """Writes the claims of one page and commits them on a day."""
    monkeypatch.setattr(history, "folder", lambda: tmp_path)
    git(tmp_path, "init")

    def commit(entries, day):
        own = [copy.deepcopy(entry) for entry in entries]  # no anchors
        text = "# a comment\n" + yaml.safe_dump(own, sort_keys=False)
        (tmp_path / "page.yaml").write_text(text)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-m", day, day=day)
        history._blocks.cache_clear()

    return commit


def head(folder):
    return git(folder, "rev-parse", "HEAD").decode()[:12]


def change(entry, profile="laptop"):
    return history.last_change(Claim(page="page", **entry), profile)


def test_a_rule_has_the_day_of_its_own_lines(committed):
    other = FIRST | {"claim": "another", "source": "P1"}
    committed([FIRST, other], "2026-01-01")
    later = FIRST | {"paper": "solved; N = 500", "own": {"reproduced": "low('UR') < 1"}}
    committed([later, other], "2026-02-02")
    assert change(later).day == "2026-01-01"  # its words changed, not its rule
    assert change(later, "own").day == "2026-02-02"
    assert change(other, "own").day == "2026-01-01"
    assert len(change(other).commit) == 12


def test_runs_whose_checkout_had_the_rule_are_counted(committed, tmp_path):
    committed([FIRST | {"reproduced": "low('UR') < 1"}], "2026-01-01")
    before = head(tmp_path)
    committed([FIRST], "2026-02-02")
    fixed = change(FIRST)
    committed([FIRST | {"paper": "solved; N = 5"}], "2026-03-03")
    commits = [before, fixed.commit, head(tmp_path) + "+", "unknown", "0" * 12]
    assert history.with_rule(fixed, commits) == 2


def test_without_a_history_there_is_no_day(committed, tmp_path):
    committed([FIRST], "2026-01-01")
    (tmp_path / "page.yaml").unlink()
    history._blocks.cache_clear()
    assert change(FIRST) is None
    assert change(FIRST | {"claim": "unknown"}) is None
