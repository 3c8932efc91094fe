"""The strict runner: everything is checked, then papermill executes the page."""

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import papermill
import psutil
from gatebook.files import write_atomic
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from gatebook_book.pages.pages import Page, find
from gatebook_book.paths import root
from gatebook_book.runs.store import CODE, ENDINGS, FRESH, STORED, discard
from gatebook_book.site.code import code_behind

KEPT = ("laptop", "own", "paper")
"""Profiles whose results are kept in git and whose finished runs are not repeated."""

PATIENCE = 10.0
"""Seconds that an interrupted kernel has before it is asked again; thrice, then it
is killed."""

ONE_AT_A_TIME = threading.Lock()
"""A kernel takes its settings from the environment of the process that starts it."""


class PageError(RuntimeError):
    """A cell of a page failed; the message is the cell's error."""


class KernelLost(PageError):
    """A page's kernel was killed, or showed no sign of life for too long."""


@dataclass(frozen=True)
class Place:
    """Where an execution of a page leaves what it makes.

    Arguments:
        notebook: the executed notebook.
        results: the folder of results, ``data/results`` or one below ``_build``.
        profile: the name that results are stored under.
        fresh: whether the page draws these results and not those kept in git.
        code: a sum of the page's code if only runs of this code count, else nothing.
    """

    notebook: Path
    results: Path
    profile: str
    fresh: bool = False
    code: str = ""


def run_page(
    name: str,
    profile: str = "book",
    given: dict[str, str] | None = None,
    fresh: bool = False,
) -> Path:
    """Execute a page.

    Runs that were finished before are not repeated, and one that was stopped goes on
    from its checkpoint, unless the code behind the page has changed since.

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
        PageError: if a cell fails; the notebook up to there is kept beside the
            place of the whole one as ``<profile>.failed.ipynb``.
    """
    page = find(name)
    parameters = page.effective(profile, given or {})
    results, stored_as = where(page, profile, parameters)
    kept = results == root() / STORED
    if fresh and kept:
        results = root() / FRESH
    code = code_that_counts(page, results)
    if code:
        _make_current(results / page.name / stored_as, code, anew=fresh and not kept)
    notebook = notebook_of(page.name, profile)
    place = Place(notebook, results, stored_as, fresh and kept, code)
    with tempfile.TemporaryDirectory() as folder:
        progress = Path(folder) / "progress"
        progress.touch()
        with _shown(progress, page.name):
            execute(page, parameters, place, progress)
    return place.notebook


def code_that_counts(page: Page, results: Path) -> str:
    """The sum of its code that a page's runs carry in a folder of results.

    Runs in git carry none: they show the commit that they are from, and all count.
    """
    return "" if results == root() / STORED else code_behind(page)[:8]


def _make_current(folder: Path, code: str, anew: bool) -> None:
    """Say whose runs count in a folder, and remove those of other code, or all.

    A process that is at work there goes on: its run has a name and a lock of its own.
    Runs in git show the commit they are from and are never removed.
    """
    write_atomic(folder / CODE, code.encode())
    files = [file for file in folder.iterdir() if file.suffix in ENDINGS]
    runs = {file.with_suffix(".json") for file in files}
    old = {run for run in runs if anew or not run.stem.endswith(f"-{code}")}
    if old:
        why = "as --fresh asks" if anew else "the code has changed since"
        print(f"{len(old)} earlier runs are removed from {folder}: {why}", flush=True)
    for run in old:
        discard(run)


def notebook_of(page: str, profile: str) -> Path:
    """Where the executed notebook of a page is kept."""
    return root() / "_build" / "runs" / page / f"{profile}.ipynb"


def execute(
    page: Page,
    parameters: dict[str, Any],
    place: Place,
    progress: Path,
    *,
    settings: dict[str, str] | None = None,
    silence: float | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Execute a page whose parameters have been checked.

    Arguments:
        page: what to execute.
        parameters: by name.
        place: where its notebook and its results go.
        progress: the file to which the kernel adds its lines of progress.
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
    part = place.notebook.with_suffix(".part.ipynb")
    part.parent.mkdir(parents=True, exist_ok=True)
    stop = stop or threading.Event()
    try:
        with _kernel_environment(place, progress, settings or {}) as folder:
            watch = _Watch([progress, part], silence, stop)
            watch(lambda: _papermill(page, parameters, part, folder))
        os.replace(part, place.notebook)
    except (PapermillExecutionError, DeadKernelError) as error:
        failed = place.notebook.with_suffix(".failed.ipynb")
        with contextlib.suppress(FileNotFoundError):
            os.replace(part, failed)
        if stop.is_set():
            raise KeyboardInterrupt from error
        raise _told(page, error, failed, watch) from error
    finally:
        part.unlink(missing_ok=True)


def _told(page: Page, error: Exception, failed: Path, watch: "_Watch") -> PageError:
    """A failure in one line."""
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


class _Watch:
    """Does the work in a thread, and looks after its kernel meanwhile.

    Arguments:
        signs: files that change when the kernel gets on.
        silence: seconds without such a change after which the kernel is killed.
        stop: see `execute`; Ctrl-C sets it.
    """

    def __init__(self, signs: list[Path], silence: float | None, stop: threading.Event):
        self.signs, self.silence, self.stop = signs, silence, stop
        self.hung, self.asked, self.asked_at = False, 0, 0.0
        self.started = time.time()

    def __call__(self, work: Callable[[], None]) -> None:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(work)
            while not running.done():
                try:
                    wait([running], timeout=0.2)
                    self._look()
                except KeyboardInterrupt:
                    # Asked a second time, a training does not wait for its step.
                    self.asked_at = 0.0
                    self.stop.set()
        running.result()

    def _look(self) -> None:
        if self.stop.is_set() and time.time() - self.asked_at > PATIENCE:
            self.asked, self.asked_at = self.asked + 1, time.time()
            for kernel in _kernels():
                # An idle kernel, between two cells, does not hear the first.
                _send(kernel, "kill" if self.asked > 3 else "interrupt")
        if self.silence and time.time() - self._last_sign() > self.silence:
            self.hung = True
            for kernel in _kernels():
                _send(kernel, "kill")

    def _last_sign(self) -> float:
        times = [self.started]
        for file in self.signs:
            with contextlib.suppress(FileNotFoundError):
                times.append(file.stat().st_mtime)
        return max(times)


def _kernels() -> list[psutil.Process]:
    """The kernels that this process has started."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "ipykernel_launcher" in child.cmdline():
                found.append(child)
    return found


def _send(process: psutil.Process, what: str) -> None:
    with contextlib.suppress(psutil.Error):
        if what == "kill":
            process.kill()
        elif os.name == "posix":
            process.send_signal(signal.SIGINT)


def where(page: Page, profile: str, parameters: dict[str, Any]) -> tuple[Path, str]:
    """The folder that results go to, and the profile's name they are stored under.

    Only a profile's own experiment is kept under its name: all of it or some of its
    runs, on any device and from any source. With other parameters it is another
    experiment, stored as ``live``.
    """
    kept = profile in KEPT and _same_experiment(page, profile, parameters)
    folder = root() / (STORED if kept else "_build/results")
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
def _kernel_environment(
    place: Place, progress: Path, settings: dict[str, str]
) -> Iterator[Path]:
    """Tell the kernel where results and its lines of progress go.

    Yields:
        a folder that lasts as long as the run.
    """
    settings = settings | {
        "GATEBOOK_PROFILE": place.profile,
        "GATEBOOK_RESULTS": str(place.results),
        "GATEBOOK_CODE": place.code,
        "GATEBOOK_ROOT": str(root()),
        "GATEBOOK_KEPT": str(place.results if place.fresh else root() / STORED),
        "GATEBOOK_PROGRESS": str(progress),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    with ONE_AT_A_TIME, tempfile.TemporaryDirectory() as folder:
        before = {key: os.environ.get(key) for key in settings}
        os.environ.update(settings)
        try:
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
