"""The strict runner: everything is checked, then papermill executes the page.

Papermill alone ignores an unknown parameter after a warning, waits for ever for a
kernel that hangs, leaves half a notebook after Ctrl-C, and takes a page without its
figures for whole.
"""

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import papermill
from gatebook.files import write_atomic
from gatebook.random import derive_seed
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from gatebook_book.context import Context
from gatebook_book.pages.kernel import Watch, environment, sockets
from gatebook_book.pages.pages import Page, find
from gatebook_book.paths import root
from gatebook_book.runs.store import CODE, FRESH, STORED
from gatebook_book.site.code import code_behind

KEPT = ("laptop", "own", "paper")
"""Profiles whose results are kept in git and whose finished runs are not repeated."""
DRAWN = ("image/", "application/vnd.jupyter.widget-view")
"""What a figure is in a notebook: an image, or a widget."""


class PageError(RuntimeError):
    """A cell of a page failed; the message is the cell's error."""


class KernelLost(PageError):
    """A page's kernel was killed, or showed no sign of life for too long."""


def run_page(
    name: str,
    profile: str = "book",
    given: dict[str, str] | None = None,
    fresh: bool = False,
) -> Path:
    """Execute a page.

    A finished run is not repeated, and one that was stopped goes on from its
    checkpoint. Runs kept in git count whatever code made them; others count for the
    code that made them, and stay when the code changes.

    Arguments:
        name: the page, ``"memory/copy"``.
        profile: the set of parameters to start from.
        given: parameters as typed, over those of the profile.
        fresh: make runs again that are there already. Those in git stay; theirs are
            made beside them and drawn.

    Returns:
        the executed notebook, ``_build/runs/<page>/<profile>.ipynb``. It appears
        whole or not at all.

    Raises:
        ValueError: before anything runs, if a name or a value is wrong.
        PageError: if a cell fails or a figure is missing; the notebook up to there is
            kept beside the place of the whole one as ``<profile>.failed.ipynb``.
    """
    page = find(name)
    parameters = page.effective(profile, given or {})
    context = _prepared(page, profile, parameters, fresh)
    mark = _mark(page, context, parameters)
    if fresh:
        context = replace(context, since=_begun(mark))
    notebook = notebook_of(page.name, profile)
    with tempfile.TemporaryDirectory() as folder:
        progress = Path(folder) / "progress"
        progress.touch()
        context = replace(context, progress=str(progress))
        with _shown(progress, page.name):
            execute(page, parameters, notebook, context)
    if fresh:
        mark.unlink(missing_ok=True)
    return notebook


def _mark(page: Page, context: Context, parameters: dict[str, Any]) -> Path:
    """The file that is there while runs with these parameters are made again."""
    key = f"{derive_seed(sorted(parameters.items())):016x}"
    return _folder(page, context) / f"{key}.again"


def _begun(mark: Path) -> float:
    """When the runs began to be made again: what was stopped goes on from there."""
    if not mark.exists():
        write_atomic(mark, b"")
    return mark.stat().st_mtime


def _prepared(
    page: Page, profile: str, parameters: dict[str, Any], fresh: bool
) -> Context:
    """The context of a page's kernel; where its runs go, the code is noted."""
    context = context_of(page, profile, parameters)
    if fresh and context.results == STORED:
        code = code_behind(page)[:8]
        context = replace(context, results=FRESH, kept=FRESH, code=code)
    if context.code:
        write_atomic(_folder(page, context) / CODE, context.code.encode())
    return context


def _folder(page: Page, context: Context) -> Path:
    return root() / context.results / page.name / context.profile


def context_of(page: Page, profile: str, parameters: dict[str, Any]) -> Context:
    """Where an execution of a page stores its runs, and which of them count.

    Only a profile's own experiment is kept under its name: all of it or some of its
    runs, on any device and from any source of the same data. These runs show the
    commit that they are from, and all count. With other parameters it is another
    experiment, stored as ``live``; its runs carry a sum of their code and count for
    that code only.
    """
    if profile in KEPT and _same_experiment(page, profile, parameters):
        return Context(root=str(root()), profile=profile, results=STORED)
    name = "live" if profile in KEPT else profile
    return Context(root=str(root()), profile=name, code=code_behind(page)[:8])


def _same_experiment(page: Page, profile: str, parameters: dict[str, Any]) -> bool:
    defaults = {name: own.default for name, own in page.parameters().items()}
    whole = defaults | page.effective(profile, {})
    if parameters.get("source") == "embedded":  # fewer images
        return False
    for name in parameters.keys() - {"device", "source"}:
        value, own = parameters[name], whole.get(name)
        part = isinstance(own, list) and set(value) <= set(own)
        if value != own and not part:
            return False
    return True


def notebook_of(page: str, profile: str) -> Path:
    """Where the executed notebook of a page is kept."""
    return root() / "_build" / "runs" / page / f"{profile}.ipynb"


def execute(
    page: Page,
    parameters: dict[str, Any],
    notebook: Path,
    context: Context,
    *,
    settings: dict[str, str] | None = None,
    silence: float | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Execute a page whose parameters have been checked.

    Arguments:
        page: what to execute.
        parameters: by name.
        notebook: where the executed notebook goes.
        context: of the kernel. It names the file that takes its lines of progress.
        settings: more of the kernel's environment.
        silence: seconds without a sign of life, which is a line of progress or a
            finished cell, after which the kernel is killed.
        stop: stops the page as Ctrl-C does, once it is set: a training stores its
            state first.

    Raises:
        PageError: if a cell fails.
        KernelLost: if the kernel dies or is silent for too long.
        KeyboardInterrupt: if the page was stopped.
    """
    part = notebook.with_suffix(f".{os.getpid()}.part.ipynb")
    part.parent.mkdir(parents=True, exist_ok=True)
    stop = stop or threading.Event()
    try:
        with environment(context, settings or {}) as folder:
            signs = [Path(file) for file in (part, context.progress) if file]
            watch = Watch(signs, silence, stop)
            watch(lambda: _papermill(page, parameters, part, folder))
        _check_figures(page, part)
        os.replace(part, notebook)
    except (PageError, PapermillExecutionError, DeadKernelError) as error:
        failed = notebook.with_suffix(".failed.ipynb")
        with contextlib.suppress(FileNotFoundError):
            os.replace(part, failed)
        if stop.is_set():
            raise KeyboardInterrupt from error
        raise _told(page, error, failed, watch) from error
    finally:
        part.unlink(missing_ok=True)


def _check_figures(page: Page, notebook: Path) -> None:
    """Refuse a notebook in which a cell that should show a figure shows none."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        figure = cell.metadata.get("mystnb", {}).get("figure")
        shown = {
            kind for out in cell.get("outputs", []) for kind in out.get("data", ())
        }
        if figure and not any(kind.startswith(DRAWN) for kind in shown):
            raise PageError(f"page {page.name}: figure {figure['name']} is missing")


def _told(page: Page, error: Exception, failed: Path, watch: Watch) -> PageError:
    """A failure in one line."""
    if isinstance(error, PageError):
        return PageError(f"{error}; the notebook is {failed}")
    if not isinstance(error, PapermillExecutionError):
        why = "died; the system kills a process that takes too much memory"
        if watch.hung:
            why = f"showed no sign of life for {watch.silence:.0f} s and was stopped"
        return KernelLost(f"page {page.name}: its kernel {why}")
    return PageError(
        f"page {page.name}, cell {error.exec_count}: {error.ename}: "
        f"{error.evalue}; the notebook up to there is {failed}"
    )


def _papermill(
    page: Page, parameters: dict[str, Any], output: Path, folder: Path
) -> None:
    # Made here to be closed here: the one that nbclient makes is left open.
    with contextlib.closing(ensure_event_loop()):
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
            config=Config({"KernelManager": sockets(folder)}),
        )


@contextlib.contextmanager
def _shown(progress: Path, name: str) -> Iterator[None]:
    """Print the lines that the kernel appends to a file, as they come."""
    over = threading.Event()

    def follow() -> None:
        with progress.open(encoding="utf-8") as file:
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
