"""The runner with real kernels: what it leaves behind, whatever happens."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import jupytext
import nbformat
import papermill
import pytest
from gatebook_book.pages.execute import KernelLost, PageError, context_of, run_page
from gatebook_book.pages.pages import find
from gatebook_book.runs.store import Store


def replace_code(book, code):
    page = book / "book/first.md"
    head = page.read_text().split("from gatebook.gates")[0]
    page.write_text(f"{head}{code}\n```\n")


def outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(
        o.get("text", "") for c in cells if c.cell_type == "code" for o in c.outputs
    )


def test_a_page_runs_with_its_parameters(book):
    target = run_page("first", "laptop", {"rate": "0.25"})
    assert target == book / "_build/runs/first/laptop.ipynb"
    assert outputs(target) == "14 ['LSTM', 'UR'] 0.25\n"


def test_a_failing_cell_is_named_and_leaves_no_whole_notebook(book):
    replace_code(book, "raise OSError('disk on fire')")
    with pytest.raises(PageError, match=r"first.*OSError: disk on fire"):
        run_page("first")
    left = sorted(p.name for p in (book / "_build/runs/first").iterdir())
    assert left == ["book.failed.ipynb"]


def test_the_command_line_reports_a_failing_cell_in_one_line(book, cli):
    replace_code(book, "1 / 0")
    code, _, error = cli("run", "first")
    assert code == 1
    last = error.strip().splitlines()[-1]
    assert last.startswith("error: page first") and "ZeroDivisionError" in last


def test_the_command_line_reports_a_mistake_in_one_line(book, cli):
    code, _, error = cli("run", "first", "-p", "step=1")
    assert code == 2
    assert error.strip().count("\n") == 0
    assert "did you mean 'steps'" in error


def refused(book, done, message):
    code, _, error = done
    assert (code, error.strip().count("\n")) == (2, 0) and message in error, error
    assert not (book / "_build").exists()


def test_a_name_that_is_given_twice_is_refused(book, cli):
    done = cli("run", "first", "-p", "steps=1", "-p", "steps=2")
    refused(book, done, "-p 'steps' is given twice; allowed: once")


def test_a_device_that_is_not_here_is_refused(book, cli):
    page = book / "book/first.md"
    own = 'device: str = "cpu"  # d\nfast: bool'
    page.write_text(page.read_text().replace("fast: bool", own))
    for words in (["run", "first"], ["sweep", "first", "--grid", "gate=UR"]):
        refused(book, cli(*words, "-p", "device=gpu"), "unknown device 'gpu'")


def test_a_scheduler_without_a_port_is_refused(book, cli):
    done = cli("sweep", "first", "--grid", "gate=UR", "--scheduler", "nohost")
    refused(book, done, "scheduler is 'nohost'; allowed: tcp://host:8786")


def test_a_page_without_claims_says_so(book, cli):
    refused(book, cli("ledger", "first"), "page 'first' tests no claim of the papers")
    refused(book, cli("ledger", "frist"), "unknown page 'frist'; did you mean 'first'")


def test_a_lost_kernel_is_reported_with_what_to_do(book, cli, monkeypatch):
    def lost(*_):
        raise KernelLost("page first: its kernel died")

    monkeypatch.setattr("gatebook_book.pages.execute.run_page", lost)
    code, _, error = cli("run", "first")
    assert code == 1
    assert "its kernel died; the same command goes on from there" in error


def test_ctrl_c_stops_the_kernel_and_leaves_nothing_half_written(book):
    mark = book / "started"
    replace_code(
        book,
        f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(200)",
    )
    process = subprocess.Popen(command("run", "first"), stderr=subprocess.PIPE)
    wait_for(lambda: mark.exists() and mark.read_text())
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert (
        b"stopped; the same command goes on from there" in error
        and b"Traceback" not in error
    )
    assert not list((book / "_build").rglob("*.part.ipynb"))
    assert not (book / "_build/runs/first/book.ipynb").exists()
    wait_for(lambda: not alive(int(mark.read_text())))


def test_progress_is_shown_and_stays_out_of_the_page(book):
    replace_code(
        book,
        "from gatebook_book.runs.progress import show_progress\n"
        "show_progress('step 1/2')\n"
        "print('result')",
    )
    done = subprocess.run(command("run", "first"), capture_output=True, text=True)
    assert done.returncode == 0
    assert "[first] step 1/2" in done.stdout
    assert outputs(book / "_build/runs/first/book.ipynb") == "result\n"


def test_the_kernel_knows_where_results_go(book):
    replace_code(
        book,
        "from gatebook_book.runs.store import Store\nprint(Store('first').path)",
    )
    told = outputs(run_page("first", "smoke")).strip()
    assert told == str(book / "_build/results/first/smoke")


def test_kernels_in_one_folder_do_not_share_a_socket(book):
    replace_code(
        book,
        "from ipykernel import get_connection_info\n"
        "print(get_connection_info(unpack=True)['ip'])",
    )
    first, second = (outputs(run_page("first")).strip() for _ in range(2))
    assert os.path.isabs(first) and os.path.isabs(second)
    assert first != second
    assert sorted(p.name for p in (book / "book").glob("*kernel*")) == []


def test_only_a_kept_profiles_own_runs_are_kept(book):
    page = find("first")

    def place(profile, **given):
        context = context_of(page, profile, page.effective(profile, given))
        assert bool(context.code) == (context.results == "_build/results")
        return context.results, context.profile

    assert place("laptop") == ("data/results", "laptop")
    assert place("laptop", gates="UR") == ("data/results", "laptop")
    assert place("laptop", gates="C") == ("_build/results", "live")
    assert place("laptop", steps="8") == ("_build/results", "live")
    # What a profile leaves to the page is its own, too.
    assert place("laptop", rate="0.5") == ("data/results", "laptop")
    assert place("laptop", rate="0.6") == ("_build/results", "live")
    assert place("paper", gates="[]") == ("data/results", "paper")
    assert place("smoke") == ("_build/results", "smoke")


def test_any_source_of_the_same_images_is_kept_and_the_small_sample_is_not(book):
    file = book / "book/first.md"
    line = 'source: str = "auto"  # of the images\nfast: bool'
    file.write_text(file.read_text().replace("fast: bool", line))
    page = find("first")
    for source, kept in (("hub", True), ("folder", True), ("embedded", False)):
        parameters = page.effective("laptop", {"source": source})
        results = context_of(page, "laptop", parameters).results
        assert (results == "data/results") == kept


def test_fresh_runs_are_made_beside_those_in_git_and_drawn(book):
    replace_code(
        book,
        "from gatebook_book.runs.store import Store, load\n"
        "made = {'status': 'finished', 'metrics': {'loss': 0.5}}\n"
        "run = Store('first').run('UR', 0, {}, lambda checkpoint: made)\n"
        "print(run['metrics'], [r['metrics'] for r in load('first', 'laptop')])",
    )
    old = {"status": "finished", "metrics": {"loss": 0.1}}
    store = Store("first", "laptop", book / "data/results")
    store.run("UR", 0, {}, lambda checkpoint: old)
    (kept,) = store.path.glob("*.json")
    text = kept.read_text()
    assert outputs(run_page("first", "laptop")) == "{'loss': 0.1} [{'loss': 0.1}]\n"
    again = outputs(run_page("first", "laptop", fresh=True))
    assert again == "{'loss': 0.5} [{'loss': 0.5}]\n"
    assert kept.read_text() == text
    (made,) = (book / "_build/fresh/first/laptop").glob("*.json")
    assert made.name.startswith(kept.stem)


COUNTING = """
from gatebook_book.runs.store import Store


def make(checkpoint):
    with open({notes!r}, "a") as notes:
        notes.write("resumed " if checkpoint.exists() else "made ")
    checkpoint.write_text("half way")
    if {stop}:
        raise OSError("no time left")
    return {{"status": "finished", "metrics": {{}}}}


Store("first").run("UR", 0, {{"steps": steps}}, make)
"""


@pytest.mark.parametrize("profile", ["book", "laptop"])
def test_a_finished_run_is_not_repeated_unless_the_code_or_the_reader_says_so(
    book, profile
):
    notes = book / "notes"
    replace_code(book, COUNTING.format(notes=str(notes), stop=False))
    ask = lambda steps="8", **more: run_page(  # noqa: E731
        "first", profile, {"steps": steps}, **more
    )
    ask(), ask(), ask("9"), ask()
    assert notes.read_text() == "made made "
    page = book / "book/first.md"
    page.write_text(page.read_text() + "\nMore prose.\n")
    ask()
    assert notes.read_text() == "made made "
    page.write_text(page.read_text().replace("steps}, make)", "steps}, make)  # x"))
    ask()
    assert notes.read_text() == "made made "
    runs = lambda: set((book / "_build").rglob("UR-seed0-*.json"))  # noqa: E731
    before, whole = runs(), page.read_text()
    page.write_text(whole.replace("steps}, make)", "steps}, make) and 1"))
    ask()
    assert notes.read_text() == "made made made "
    assert len(before) == 2 and before < runs()
    page.write_text(whole)
    ask()  # the old code finds its run again
    assert notes.read_text() == "made made made "
    ask(fresh=True)
    assert notes.read_text() == "made made made made "


REPEATED = """
from pathlib import Path

from gatebook_book.runs.store import Store


def make(name):
    def work(checkpoint):
        with open({notes!r}, "a") as notes:
            notes.write(name + " ")
        if name == "R" and Path({stop!r}).exists():
            raise OSError("no time left")
        return {{"status": "finished", "metrics": {{}}}}

    Store("first").run(name, 0, {{"steps": steps}}, work)


make("UR")
make("R")
"""


def test_a_repeat_leaves_other_runs_alone_and_goes_on_where_it_was_stopped(book):
    notes, stop = book / "notes", book / "stop"
    replace_code(book, REPEATED.format(notes=str(notes), stop=str(stop)))
    again = lambda: run_page("first", "book", {"steps": "8"}, fresh=True)  # noqa: E731
    for steps in ("8", "9"):
        run_page("first", "book", {"steps": steps})
    runs = lambda: {f: f.stat().st_mtime for f in book.rglob("*-seed0-*.json")}  # noqa: E731
    before = runs()
    notes.write_text("")
    stop.touch()
    for _ in range(2):
        with pytest.raises(PageError):
            again()
    stop.unlink()
    again()
    assert notes.read_text() == "UR R R R "
    assert sum(runs()[file] == when for file, when in before.items()) == 2
    again()  # that one was whole: another repeat begins
    assert notes.read_text() == "UR R R R UR R "


FIGURE = """---
mystnb:
  figure:
    name: fig-one
---
import matplotlib.pyplot as plt
from gatebook_book.figures import plots
plots.use_house_style()
{draw}"""


def test_figures_are_drawn_whatever_the_users_own_settings_are(
    book, monkeypatch, tmp_path
):
    settings = tmp_path / "rc"
    settings.write_text("text.usetex: True\nbackend: Agg\n")
    monkeypatch.setenv("MATPLOTLIBRC", str(settings))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    replace_code(book, FIGURE.format(draw="plt.plot([1, 2]); print('drawn')"))
    cells = nbformat.read(run_page("first"), as_version=4).cells
    kinds = [
        kind for c in cells for o in c.get("outputs", []) for kind in o.get("data", ())
    ]
    assert "image/svg+xml" in kinds
    assert os.environ["MPLBACKEND"] == "Agg"


def test_a_page_without_its_figure_fails(book):
    replace_code(book, FIGURE.format(draw="print('nothing')"))
    with pytest.raises(
        PageError, match="page first: figure fig-one is missing; the no"
    ):
        run_page("first")
    left = sorted(p.name for p in (book / "_build/runs/first").iterdir())
    assert left == ["book.failed.ipynb"]


def test_a_page_runs_where_the_temporary_folder_has_a_long_name(book, monkeypatch):
    folder = book / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert outputs(run_page("first", "smoke")) == "2 ['LSTM'] 0.5\n"


SLOW = """
import time
from pathlib import Path

from gatebook_book.runs.store import Store, load


def make(checkpoint):
    checkpoint.write_text("half way")
    while {wait} and not Path({go!r}).exists():
        time.sleep(0.05)
    return {{
        "status": "finished",
        "metrics": {{"maker": {maker!r}}},
        "whole": checkpoint.exists(),
    }}


run = Store("first").run("UR", 0, {{}}, make)
print(run["metrics"]["maker"], run["whole"])
print([run["metrics"]["maker"] for run in load("first", "laptop")])
"""


def test_an_edit_while_a_run_goes_on_parts_its_result_from_the_new_codes(book):
    place, go = book / "_build/fresh/first/laptop", book / "go"
    code = lambda maker: SLOW.format(  # noqa: E731
        go=str(go), maker=maker, wait=maker == "old"
    )
    replace_code(book, code("old"))
    old = subprocess.Popen(
        command("run", "first", "--profile", "laptop", "--fresh"),
        stdout=subprocess.DEVNULL,
    )
    wait_for(lambda: list(place.glob("*.safetensors")))
    head = (book / "book/first.md").read_text().split(code("old"))[0]
    (book / "book/first.md").write_text(f"{head}{code('new')}\n```\n")
    ask = lambda: outputs(run_page("first", "laptop", fresh=True))  # noqa: E731
    assert ask() == "new True\n['new']\n"
    (checkpoint,) = place.glob("*.safetensors")
    assert checkpoint.with_suffix(".lock").exists()
    go.touch()
    assert old.wait(timeout=60) == 0
    assert len(list(place.glob("*.json"))) == 2
    assert [run["metrics"]["maker"] for run in load_fresh(book)] == ["new"]
    assert ask() == "new True\n['new']\n"
    assert len(list(place.glob("*.json"))) == 2


def load_fresh(book):
    return Store("first", "laptop", book / "_build/fresh").load()


def test_a_stopped_run_goes_on_at_every_profile(book):
    notes = book / "notes"
    notes.write_text("")
    stop = f"not open({str(notes)!r}).read().startswith('made resumed')"
    replace_code(book, COUNTING.format(notes=str(notes), stop=stop))
    with pytest.raises(PageError, match="no time left"):
        run_page("first", "smoke")
    run_page("first", "smoke")
    assert notes.read_text() == "made resumed "


ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


def test_text_is_utf8_whatever_the_locale(book):
    page = book / "book/first.md"
    page.write_text(page.read_text().replace("# how long", "# λ, how long"))
    replace_code(book, "print('é', open('plain.md').read()[2:7])")
    options = {"env": os.environ | ASCII, "capture_output": True}
    done = subprocess.run(command("run", "first"), **options)
    assert done.returncode == 0, done.stderr
    assert outputs(book / "_build/runs/first/book.ipynb") == "é Plain\n"
    listed = subprocess.run(command("pages"), **options).stdout
    assert "# λ, how long" in listed.decode("utf-8")


def test_a_page_in_another_encoding_is_named(book, cli):
    (book / "book/first.md").write_bytes("é".encode("latin-1"))
    code, _, error = cli("run", "first")
    assert code == 2 and "book/first.md is not UTF-8 at byte 0; allowed" in error


def test_plain_papermill_runs_the_page_too(book, tmp_path):
    papermill.execute_notebook(
        jupytext.read(book / "book/first.md"),
        str(tmp_path / "out.ipynb"),
        parameters={"steps": 5},
        kernel_name="python3",
        cwd=str(book / "book"),
        progress_bar=False,
    )
    assert outputs(tmp_path / "out.ipynb") == "10 ['LSTM'] 0.5\n"


def command(*words):
    return [sys.executable, "-m", "gatebook_book.cli", *words]


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_pages_are_listed_for_people_and_for_programs(book, cli):
    _, text, _ = cli("pages", "first")
    assert "    rate: float = 0.5  # how fast" in text
    listed = json.loads(cli("pages", "--format", "json")[1])
    assert list(listed) == ["plain", "first", "second"]
    assert listed["first"]["gates"]["default"] == ["LSTM"]
    code, _, error = cli("pages", "--format", "jsn")
    assert code == 2 and "did you mean 'json'" in error
