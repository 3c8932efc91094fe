"""The wheel in an environment that holds what it asks for, and nothing else."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from gatebook_book.paths import root
from packaging.requirements import Requirement

BASE = ("torch", "numpy", "jaxtyping", "safetensors")
TYPED = """
from gatebook import LSTM, Gate

LSTM(3, 4, gate="UR")
Gate("Uniform")  # expected: a wrong type
"""


def needed(name: str, found: set[str]) -> set[str]:
    """The installed packages that a package needs without any extra."""
    if name in found:
        return found
    found.add(name)
    for text in metadata.requires(name) or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed(requirement.name, found)
    return found


def place(names: set[str], folder: Path) -> None:
    """Packages that are installed here, and no others, in a folder of their own."""
    for package in map(metadata.distribution, names):
        tops = {file.parts[0] for file in package.files or [] if ".." not in file.parts}
        for top in tops - {"__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(package.locate_file(top))))


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    """The interpreter of an environment with the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root() / name, folder / name)
    ignored = shutil.ignore_patterns("*.egg-info", "__pycache__")
    shutil.copytree(root() / "src", folder / "src", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "made", "."]
    subprocess.run([*pip, *build], cwd=folder, check=True)
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "env"], cwd=folder, check=True
    )
    python = folder / "env/bin/python"
    (wheel,) = (folder / "made").glob("gatebook-*.whl")
    install = ["--python", str(python), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, *install, str(wheel)], check=True)
    (folder / "seen").mkdir()
    names: set[str] = set()
    for name in BASE:
        needed(name, names)
    place(names, folder / "seen")
    return python


def run(python: Path, code: str, seen: bool = True) -> subprocess.CompletedProcess:
    """Some code in the clean environment, in a folder that is no checkout."""
    folder = python.parents[2]
    work = folder / "work"
    work.mkdir(exist_ok=True)
    mine = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    mine |= {"PYTHONPATH": str(folder / "seen")} if seen else {}
    return subprocess.run(
        [python, "-c", code], cwd=work, env=mine, capture_output=True, text=True
    )


def test_the_base_dependencies_are_those_that_are_tested(clean):
    done = run(
        clean, "from importlib.metadata import requires as r; print(r('gatebook'))"
    )
    base = [Requirement(x) for x in eval(done.stdout) if "extra ==" not in x]
    names = {requirement.name for requirement in base}
    assert names == {"torch", "numpy", "jaxtyping", "safetensors"}


def test_a_researcher_trains_records_compresses_and_releases(clean):
    done = run(clean, (root() / "tests/use_wheel.py").read_text())
    assert done.stdout == "all of it works\n", done.stderr


def test_the_book_says_what_it_needs(clean):
    done = run(clean, "import gatebook_book.runs.store")
    assert done.stderr.splitlines()[-1].endswith('pip install "gatebook[book]"')


def test_the_command_says_so_in_one_line(clean):
    command = [clean, clean.with_name("gatebook"), "pages"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and line.endswith('pip install "gatebook[book]"')


def test_a_users_type_checker_sees_the_types(clean, tmp_path):
    (tmp_path / "user.py").write_text(TYPED)
    # Without torch in sight, whose types take mypy half a minute.
    options = ["--python-executable", str(clean), "--ignore-missing-imports"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--cache-dir", "cache", "user.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    (error,) = [x for x in done.stdout.splitlines() if ": error:" in x]
    assert error.startswith("user.py:5:") and "arg-type" in error
