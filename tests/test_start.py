"""What is imported when, counted in modules: seconds differ between machines."""

import subprocess
import sys
from importlib import metadata

import gatebook
import pytest
from gatebook_book.paths import root


def imported(code: str) -> set[str]:
    """The modules that a new interpreter holds after some code, by first name."""
    ask = f"{code}\nimport sys\nprint('MODULES', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=root(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    names = done.stdout.rsplit("MODULES ", 1)[1].split()
    return {name.split(".")[0] for name in names}


def test_the_modules_cost_little_more_than_torch():
    more = imported("import gatebook") - imported("import torch, numpy")
    more -= set(sys.stdlib_module_names)
    assert {name for name in more if not name.startswith("_")} <= {
        "gatebook",
        "jaxtyping",
        "wadler_lindig",  # jaxtyping's
    }


def test_training_needs_nothing_of_the_book():
    found = imported(
        "import gatebook.training, gatebook.tasks, gatebook.compress\n"
        "import gatebook.language.train, gatebook.language.artefact"
    )
    assert not found & {"datasets", "filelock", "gatebook_book", "pandas", "yaml"}


COMMAND = """
import sys
from gatebook_book.__main__ import main
sys.argv = ["gatebook", *{words}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


@pytest.mark.parametrize(
    "words",
    [["--help"], ["pages"], ["pages", "memory/copy"], ["run", "--help"]],
)
def test_the_command_line_answers_without_what_runs_pages(words):
    found = imported(COMMAND.format(words=words))
    assert not found & {"torch", "numpy", "papermill", "jupytext", "nbformat"}


def test_every_public_name_is_there():
    assert all(hasattr(gatebook, name) for name in gatebook.__all__)
    assert set(gatebook.__all__) <= set(dir(gatebook))
    assert gatebook.gates.GATES is gatebook.GATES
    assert gatebook.__version__ == metadata.version("gatebook")
    with pytest.raises(AttributeError, match="no attribute 'LSTMM'"):
        gatebook.__getattr__("LSTMM")


def test_a_missing_extra_is_named():
    hide = "import importlib.util as u; find = u.find_spec; "
    hide += "u.find_spec = lambda n: None if n == 'distributed' else find(n); "
    done = subprocess.run(
        [sys.executable, "-c", f"{hide}import gatebook_book.sweep.sweep"],
        capture_output=True,
        text=True,
    )
    last = done.stderr.splitlines()[-1]
    assert last.endswith('no package distributed; pip install "gatebook[sweep]"')


def test_ctrl_c_while_it_starts_prints_no_traceback(tmp_path):
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['gatebook']"
    code += "; from gatebook_book.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "stopped\n")
