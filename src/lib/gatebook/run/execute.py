"""The strict runner: everything is checked, then papermill executes the page."""

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import papermill
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from gatebook.paths import root
from gatebook.run.pages import Page, find

KEPT = ("laptop", "paper")
"""Profiles whose results are kept in git and whose finished runs are not repeated."""


class PageError(RuntimeError):
    """A cell of a page failed; the message is the cell's error."""


def run_page(
    name: str, profile: str = "book", given: dict[str, str] | None = None
) -> Path:
    """Execute a page.

    Arguments:
        name: the page, ``"memory/copy"``.
        profile: the set of parameters to start from.
        given: parameters as typed, over those of the profile.

    Returns:
        the executed notebook, ``_build/runs/<page>/<profile>.ipynb``. It appears
        whole or not at all.

    Raises:
        ValueError: before anything runs, if a name or a value is wrong.
        PageError: if a cell fails; the notebook up to there is kept beside the
            place of the whole one as ``<profile>.failed.ipynb``.
    """
    page = find(name)
    parameters = page.effective(profile, given or {})
    target = notebook_of(page.name, profile)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part.ipynb")
    try:
        with _environment(page, profile, parameters) as folder:
            _execute(page, parameters, part, folder)
        os.replace(part, target)
    except PapermillExecutionError as error:
        failed = target.with_suffix(".failed.ipynb")
        os.replace(part, failed)
        if error.ename == "KeyboardInterrupt":
            raise KeyboardInterrupt from error
        raise PageError(
            f"page {page.name}, cell {error.exec_count}: {error.ename}: "
            f"{error.evalue}; the notebook up to there is {failed}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return target


def notebook_of(page: str, profile: str) -> Path:
    """Where the executed notebook of a page is kept."""
    return root() / "_build" / "runs" / page / f"{profile}.ipynb"


def _execute(
    page: Page, parameters: dict[str, Any], output: Path, folder: Path
) -> None:
    papermill.execute_notebook(
        page.notebook(),
        str(output),
        parameters=parameters,
        kernel_name="python3",
        cwd=str(page.file.parent),
        progress_bar=False,
        autosave_cell_every=0,
        # A kernel that is stopped would log its own traceback into the terminal.
        extra_arguments=["--log-level=CRITICAL"],
        config=Config({"KernelManager": _sockets(folder)}),
    )


def _sockets(folder: Path) -> dict[str, str]:
    """Where the kernel listens: in a folder of this run's own, not on a network port.

    Left to itself, jupyter_client takes the next free name in the working folder, and
    two kernels that start there at once take the same one and hang.
    """
    if os.name == "nt":  # no such sockets there
        return {"transport": "tcp"}
    return {"transport": "ipc", "ip": str(folder / "kernel")}


def where(page: Page, profile: str, parameters: dict[str, Any]) -> tuple[Path, str]:
    """The folder that results go to, and the profile's name they are stored under.

    Only a profile's own experiment is kept under its name: all of it or some of its
    runs, on any device and from any source. With other parameters it is another
    experiment, stored as ``live``.
    """
    kept = profile in KEPT and _same_experiment(page, profile, parameters)
    folder = root() / ("data/results" if kept else "_build/results")
    return folder, profile if kept or profile not in KEPT else "live"


def _same_experiment(page: Page, profile: str, parameters: dict[str, Any]) -> bool:
    whole = page.effective(profile, {})
    for name in parameters.keys() - {"device", "source"}:
        value, own = parameters[name], whole.get(name)
        part = isinstance(own, list) and set(value) <= set(own)
        if value != own and not part:
            return False
    return True


@contextlib.contextmanager
def _environment(
    page: Page, profile: str, parameters: dict[str, Any]
) -> Iterator[Path]:
    """Tell the kernel where results go, and show its progress while it runs.

    Yields:
        a folder that lasts as long as the run.
    """
    folder_of_results, name = where(page, profile, parameters)
    if profile not in KEPT:
        shutil.rmtree(folder_of_results / page.name / name, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        progress = Path(folder) / "progress"
        progress.touch()
        settings = {
            "GATEBOOK_PROFILE": name,
            "GATEBOOK_RESULTS": str(folder_of_results),
            "GATEBOOK_ROOT": str(root()),
            "GATEBOOK_PROGRESS": str(progress),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        before = {key: os.environ.get(key) for key in settings}
        os.environ.update(settings)
        try:
            with _shown(progress, page.name):
                yield Path(folder)
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value


@contextlib.contextmanager
def _shown(progress: Path, name: str) -> Iterator[None]:
    """Print the lines that the kernel appends to a file, as they come."""
    over = threading.Event()

    def follow() -> None:
        with progress.open() as file:
            while True:
                last = over.wait(0.2)
                for line in file:
                    print(f"[{name}] {line}", end="", flush=True)
                if last:
                    return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
