"""What an edit makes stale: the page itself, or the pages that import the module."""

import shutil
from pathlib import Path

import gatebook
import pytest
from gatebook.run.book import page_key
from gatebook.run.imports import modules_behind
from gatebook.run.pages import find


@pytest.fixture
def library(book, monkeypatch):
    """A copy of the library's sources that a test may edit."""
    copy = book / "src/lib/gatebook"
    shutil.copytree(gatebook.__path__[0], copy, ignore=lambda d, n: {"__pycache__"})
    monkeypatch.setattr(gatebook, "__path__", [str(copy)])
    return copy


def keys():
    return {name: page_key(find(name), "book") for name in ("first", "second")}


def changed_by(edit):
    before = keys()
    edit()
    return {name for name, key in keys().items() if key != before[name]}


def append(path: Path, text: str):
    path.write_text(path.read_text() + text)


def test_nothing_changes_by_itself(book):
    assert changed_by(lambda: None) == set()


def test_an_edited_page_is_stale_and_no_other(book):
    assert changed_by(lambda: append(book / "book/first.md", "\nMore.\n")) == {"first"}


def test_an_edited_module_makes_its_pages_stale(library):
    assert changed_by(lambda: append(library / "gates.py", "\n# x\n")) == {"first"}


def test_a_module_behind_a_module_counts(library):
    # gates imports errors; both pages rest on it.
    edit = lambda: append(library / "errors.py", "\n# x\n")  # noqa: E731
    assert changed_by(edit) == {"first", "second"}


def test_an_unrelated_module_changes_nothing(library):
    assert changed_by(lambda: append(library / "plots.py", "\n# x\n")) == set()


def test_stored_results_and_versions_count(book):
    def store():
        folder = book / "data/results/first/laptop"
        folder.mkdir(parents=True)
        (folder / "LSTM-seed0.json").write_text("{}")

    assert changed_by(store) == {"first"}
    lock = book / "requirements.lock"
    assert changed_by(lambda: append(lock, "numpy==1\n")) == {"first", "second"}


def test_a_profile_change_counts_for_its_page(book):
    edit = lambda: (book / "book/profiles/book.yaml").write_text("first: {steps: 2}\n")  # noqa: E731
    assert changed_by(edit) == {"first"}


def test_a_name_from_the_package_leads_to_its_module():
    assert "gatebook.rnn" in modules_behind("from gatebook import LSTM")
    assert "gatebook.plots" not in modules_behind("from gatebook import LSTM")
    assert set(modules_behind("from gatebook.tasks import Copy")) >= {
        "gatebook.tasks.copy",
        "gatebook.random",
    }
    assert "gatebook.data" not in modules_behind("from gatebook.tasks import Copy")
    assert modules_behind("import torch\nfrom os import path") == {}
