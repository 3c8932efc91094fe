"""What an edit makes stale, and what a build then does: no more, and no less."""

import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock
from gatebook_book.pages.execute import PageError, notebook_of
from gatebook_book.pages.pages import find
from gatebook_book.site import book as builder
from gatebook_book.site import code as sums
from gatebook_book.site import imports
from gatebook_book.site.book import page_key, stale_pages
from gatebook_book.site.imports import modules_behind

GRID, PLOTS = "gatebook/gates/grid.py", "gatebook_book/figures/plots/curves.py"


@pytest.fixture
def library(book, monkeypatch):
    """A copy of both packages' sources that a test may edit."""
    copy = book / "src/lib"
    for name in imports.PACKAGES:
        source = imports.LIBRARY / name
        shutil.copytree(source, copy / name, ignore=lambda d, n: {"__pycache__"})
    monkeypatch.setattr(imports, "LIBRARY", copy)
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
    assert changed_by(lambda: append(library / GRID, "\nX = 1\n")) == {"first"}


def test_a_module_behind_a_module_counts(library):
    # gates imports errors; both pages rest on it.
    edit = lambda: append(library / "gatebook/errors.py", "\nX = 1\n")  # noqa: E731
    assert changed_by(edit) == {"first", "second"}


def test_an_edited_docstring_renders_the_reference_anew(library):
    before = builder._render_key({})
    append(library / "gatebook/errors.py", "\n# More.\n")
    assert builder._render_key({}) != before


def test_an_unrelated_module_changes_nothing(library):
    assert changed_by(lambda: append(library / PLOTS, "\nX = 1\n")) == set()


@pytest.mark.parametrize("name", ["cpu/kernel.c", "gpu/kernel.triton"])
def test_the_text_of_a_kernel_counts(book, library, name):
    page = book / "book/second.md"
    page.write_text(page.read_text().replace("import errors", "import LSTM"))
    edited = library / "gatebook/fused" / name
    assert changed_by(lambda: append(edited, "\nint x;\n")) == {"second"}


PYTHON = """
\"\"\"A module.\"\"\"

STEPS = 3
\"\"\"Of a training.\"\"\"


def f(x: int) -> int:
    \"\"\"A function.\"\"\"
    return x + STEPS  # why
"""


@pytest.mark.parametrize("word", ["A module", "Of a training", "A function", "why"])
def test_a_comment_or_a_docstring_makes_nothing_stale(library, word):
    file = library / "gatebook/errors.py"
    file.write_text(PYTHON)
    assert changed_by(lambda: file.write_text(PYTHON.replace(word, "More"))) == set()
    edit = lambda: file.write_text(PYTHON.replace("= 3", "= 4"))  # noqa: E731
    assert changed_by(edit) == {"first", "second"}


@pytest.mark.parametrize(
    "ending, one, same, other",
    [
        (".c", "/* FILL x */ a; /* b */", "/* FILL x */ a;  ", "/* FILL y */ a; "),
        (".yaml", "a: 1  # b", "a: 1", "a: 2"),
        (".css", "a", "a", "b"),
    ],
)
def test_what_lies_beside_a_module_is_read_for_what_it_means(
    tmp_path, ending, one, same, other
):
    def meaning(text):
        file = tmp_path / f"file{ending}"
        file.write_text(text)
        return imports.meaning(file).split()

    assert meaning(one) == meaning(same) != meaning(other)


def test_only_packages_that_decide_numbers_make_runs_stale(book, monkeypatch):
    installed = {name: "1.0" for name in ("torch", "numpy", "matplotlib", "pillow")}
    monkeypatch.setattr(sums, "version", lambda name: installed.get(name, "2"))
    before = sums.code_behind(find("first"))
    installed["matplotlib"] = "1.1"
    append(book / "requirements.lock", "matplotlib==1.1\n")
    assert sums.code_behind(find("first")) == before
    installed["torch"] = "1.1"
    assert sums.code_behind(find("first")) != before


def test_a_cells_comments_make_no_run_stale_and_its_magic_lines_do(book):
    page = book / "book/first.md"
    text = page.read_text()

    def sum_with(old, new):
        page.write_text(text.replace(old, new))
        return sums.code_behind(find("first"))

    same = sum_with("# how long", "# how many")
    assert sum_with("", "") == same != sum_with("print(", "%time print(")


@pytest.mark.parametrize("name", ["kit.mjs", "kit.css", "refine_band.mjs"])
def test_what_a_widget_sends_to_the_browser_counts(book, library, name):
    page = book / "book/second.md"
    use = "from gatebook_book.widgets import RefineBand"
    page.write_text(page.read_text().replace("from gatebook import errors", use))
    edited = library / "gatebook_book/widgets" / name
    assert changed_by(lambda: append(edited, "\n/* x */\n")) == {"second"}


def test_the_state_of_widgets_goes_into_the_cache_and_the_download(book):
    page = find("first")
    run = page.notebook()
    run.metadata["papermill"] = {"duration": 1.0}
    run.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    notebook_of("first", "book").parent.mkdir(parents=True)
    nbformat.write(run, notebook_of("first", "book"))
    builder._into_cache(page, "book")
    (record,) = builder._cache().list_cache_records()
    kept = builder._cache().get_cache_bundle(record.pk).nb
    taken = nbformat.read(book / "_build/notebooks/book/first.ipynb", as_version=4)
    for notebook in (kept, taken):
        assert notebook.metadata["widgets"] == run.metadata["widgets"]


def test_stored_results_and_versions_count(book):
    def store():
        folder = book / "data/results/first/laptop"
        folder.mkdir(parents=True)
        (folder / "LSTM-seed0.json").write_text("{}")

    assert changed_by(store) == {"first"}
    lock = book / "requirements.lock"
    assert changed_by(lambda: append(lock, "numpy==1\n")) == {"first", "second"}


def test_results_and_claims_of_another_page_count_where_they_are_shown(book):
    append(book / "book/second.md", '\nThe runs of `load("first", "laptop")`.\n')
    kept, claims = book / "data/results/first/laptop", book / "book/claims"
    kept.mkdir(parents=True)
    claims.mkdir()

    def write(file):
        return lambda: append_or_make(file)

    assert changed_by(write(kept / "LSTM-seed0.json")) == {"first", "second"}
    assert changed_by(write(claims / "first.yaml")) == set()  # nobody shows them
    page = book / "book/first.md"
    use = "from gatebook_book.runs import ledger"
    page.write_text(page.read_text().replace("from gatebook.gates import GATES", use))
    assert changed_by(write(claims / "second.yaml")) == {"first"}  # which shows all
    append(page, '\n`ledger.rows("first")`\n')
    assert changed_by(write(claims / "second.yaml")) == set()
    assert changed_by(write(claims / "first.yaml")) == {"first"}


def append_or_make(file: Path):
    file.write_text((file.read_text() if file.is_file() else "") + "x")


def test_a_profile_change_counts_for_its_page(book):
    edit = lambda: (book / "book/profiles/book.yaml").write_text("first: {steps: 2}\n")  # noqa: E731
    assert changed_by(edit) == {"first"}


def test_a_name_from_the_package_leads_to_its_module():
    assert "gatebook.rnn.module" in modules_behind("from gatebook import LSTM")
    assert "gatebook_book.figures.plots" not in modules_behind(
        "from gatebook import LSTM"
    )
    assert set(modules_behind("from gatebook.tasks import Copy")) >= {
        "gatebook.tasks.copy",
        "gatebook.random",
    }
    assert "gatebook_book.data.images" not in modules_behind(
        "from gatebook.tasks import Copy"
    )
    assert modules_behind("import torch\nfrom os import path") == {}


def test_importing_the_package_depends_on_all_it_offers():
    for code in ("import gatebook", "import gatebook as g", "from gatebook import *"):
        assert "gatebook.rnn.module" in modules_behind(code)
        assert "gatebook_book.figures.plots" not in modules_behind(code)
    assert "gatebook.rnn.module" in modules_behind(
        "import gatebook.errors\ngatebook.LSTM"
    )
    assert "gatebook.rnn.module" not in modules_behind(
        "import gatebook.errors as errors"
    )


def test_relative_imports_count(library):
    (library / "gatebook/errors.py").write_text(
        "from . import modes\nfrom .random import x\n"
    )
    behind = modules_behind("from gatebook.errors import suggest")
    assert {"gatebook.modes", "gatebook.random"} < behind.keys()


@pytest.fixture
def work(book, monkeypatch):
    """What builds did, of a builder whose pages run and render in no time."""
    done = []

    def run(name, profile):
        done.append(name)
        notebook = notebook_of(name, profile)
        notebook.parent.mkdir(parents=True, exist_ok=True)
        text = (book / f"book/{name}.md").read_text()
        notebook.write_text(f"{text} at {profile}")
        return "1 / 0" not in text

    def render(executed, profile):
        done.append("render")
        if "warning" in (book / "book/plain.md").read_text():
            raise PageError("a warning")
        (book / "_build/html").mkdir(parents=True, exist_ok=True)
        (book / "_build/html/index.html").write_text("")

    monkeypatch.setattr(builder, "_processes", ThreadPoolExecutor)
    monkeypatch.setattr(builder, "_run_one", run)
    monkeypatch.setattr(builder, "_render", render)
    monkeypatch.setattr(builder, "_check_site", lambda pages, executed: None)
    return done


def built(work, profile="book"):
    work.clear()
    builder.build(profile, workers=1)
    return work.copy()


def test_a_second_build_does_nothing(work):
    assert built(work) == ["first", "second", "render"]
    assert built(work) == []
    assert stale_pages("book") == []


def test_two_builds_at_once_take_turns(work, monkeypatch):
    render, busy = builder._render, threading.Lock()

    def render_alone(executed, profile):
        assert busy.acquire(blocking=False)
        time.sleep(0.1)
        render(executed, profile)
        busy.release()

    monkeypatch.setattr(builder, "_render", render_alone)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(builder.build, ("book", "smoke"), (1, 1)))
    assert work == ["first", "second", "render"] * 2


def test_a_build_that_waits_says_so_and_then_sees_what_was_built(work, book, capsys):
    built(work)
    work.clear()
    capsys.readouterr()
    with ThreadPoolExecutor(1) as pool:
        with FileLock(book / "_build/build.lock"):
            second = pool.submit(builder.build, "book", 1)
            with pytest.raises(TimeoutError):
                second.result(timeout=1)
            assert "another build is at work in _build" in capsys.readouterr().out
        assert second.result().name == "index.html"
    assert "0 of 2 pages to run" in capsys.readouterr().out and work == []


def test_an_edit_of_text_alone_renders_only(work, book):
    built(work)
    append(book / "book/plain.md", "More.\n")
    assert built(work) == ["render"]


def test_each_profile_keeps_its_own_runs(work):
    built(work)
    assert stale_pages("smoke") == ["first", "second"]
    assert built(work, "smoke") == ["first", "second", "render"]
    assert built(work) == ["render"]


def test_pages_that_ran_are_kept_when_another_fails(work, book):
    append(book / "book/first.md", "1 / 0")
    with pytest.raises(PageError, match="failed: first"):
        built(work)
    page = book / "book/first.md"
    page.write_text(page.read_text().replace("1 / 0", ""))
    assert built(work) == ["first", "render"]


def test_a_page_that_fails_says_why_and_the_next_runs(book, monkeypatch, capfd):
    monkeypatch.setattr(builder, "_render", lambda *_: pytest.fail("rendered"))
    append(book / "book/first.md", "\n```{code-cell} ipython3\n1 / 0\n```\n")
    with pytest.raises(PageError, match="failed: first;"):
        builder.build("smoke", workers=1)
    out = capfd.readouterr().out
    assert re.search(r"FAILED after \d+ s: page first, cell 4: ZeroDivisionError", out)
    assert stale_pages("smoke") == ["first"]


def test_a_site_with_a_warning_fails_again(work, book):
    append(book / "book/plain.md", "warning")
    for _ in range(2):
        with pytest.raises(PageError):
            built(work)
        assert "render" in work


def test_what_is_edited_while_it_runs_is_stale_afterwards(work, book, monkeypatch):
    run = builder._run_one

    def run_and_edit(name, profile):
        whole = run(name, profile)
        append(book / "book/second.md", "Edited.\n")
        return whole

    monkeypatch.setattr(builder, "_run_one", run_and_edit)
    built(work)
    assert stale_pages("book") == ["second"]


def test_a_run_with_other_parameters_is_not_taken_for_the_books(work):
    built(work)
    notebook_of("first", "book").write_text("run by hand")
    assert built(work) == ["first", "render"]


def test_a_damaged_state_is_started_anew(work, book):
    built(work)
    (book / "_build/book-state.json").write_text('{"pages": {}}')
    assert built(work) == ["first", "second", "render"]
