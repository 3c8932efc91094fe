"""Building the book: run what is stale through papermill, then render.

The sources stay MyST files. A page's outputs go into Jupyter Book's own cache, as if
it had executed the page itself, so that rendering never executes anything.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock, Timeout
from gatebook.files import read_text, write_atomic
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from myst_nb.core.read import read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig

from gatebook_book.machine import cores
from gatebook_book.pages.execute import PageError, notebook_of, run_page
from gatebook_book.pages.pages import Page, find, page_names
from gatebook_book.paths import root
from gatebook_book.site import imports
from gatebook_book.site.banner import PROFILE
from gatebook_book.site.code import code_behind, modules_of
from gatebook_book.site.colab import FOLDER
from gatebook_book.site.downloads import NOTEBOOKS
from gatebook_book.site.narrow import split

RENDERED_FROM = (
    "_config.yml",
    "_toc.yml",
    "package-lock.json",
    "requirements.lock",
    "tools/vendor.py",
)
"""What decides the site besides ``book/``, the pages' outputs and the library."""


def build(profile: str = "book", workers: int | None = None) -> Path:
    """Run the stale pages and render the book.

    While another build of this checkout is at work, it waits for that one to end.

    Arguments:
        profile: the pages' parameters, ``"book"`` or ``"smoke"``.
        workers: pages that run at once; by default one per core.

    Returns:
        the site's first page.

    Raises:
        PageError: if a page fails, after the others have run, or if a page came out
            without outputs.
        OSError: if ``_build`` cannot be written.
    """
    with _alone():
        return _build(profile, workers or cores())


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One build at a time: two would empty each other's cache.

    The system frees the lock of a build that is killed.
    """
    path = root() / "_build" / "build.lock"
    path.parent.mkdir(exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another build is at work in _build; waiting for it to end", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(profile: str, workers: int) -> Path:
    pages = [find(name) for name in page_names()]
    executed = [page for page in pages if page.has_code]
    # Before anything runs: what is edited meanwhile is stale in the next build.
    keys = {page.name: page_key(page, profile) for page in executed}
    state = _State.read()
    stale = [p for p in executed if not state.has_run(profile, p.name, keys[p.name])]
    fresh = len(executed) - len(stale)
    print(f"{len(stale)} of {len(executed)} pages to run, {fresh} up to date")
    failed = []
    for page, whole in _run_all(stale, profile, workers):
        if whole:
            state.note_run(profile, page.name, keys[page.name])
        else:
            failed.append(page.name)
    if failed:
        raise PageError(f"failed: {', '.join(failed)}; the errors are above")
    first = root() / "_build" / "html" / "index.html"
    key = _render_key(keys)
    if stale or state.rendered != key or not first.is_file():
        state.note_render("")  # until it is known to be whole
        _render(executed, profile)
        _check_site(pages, executed)
        state.note_render(key)
    return first


def stale_pages(profile: str) -> list[str]:
    """Names of the pages that a build at this profile would run."""
    state = _State.read()
    executed = [page for page in map(find, page_names()) if page.has_code]
    return [
        page.name
        for page in executed
        if not state.has_run(profile, page.name, page_key(page, profile))
    ]


def page_key(page: Page, profile: str) -> str:
    """A sum over all that decides what a page shows.

    Its text, the code behind it, all versions (of matplotlib, too), its parameters at
    this profile, and the stored results and claims that it draws.
    """
    lock = root() / "requirements.lock"
    parts = [page.text, code_behind(page), read_text(lock), profile]
    parts.append(repr(page.effective(profile, {})))
    for file in _kept_behind(page, "gatebook_book.runs.ledger" in modules_of(page)):
        parts += [file.name, read_text(file)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _kept_behind(page: Page, shows_claims: bool) -> list[Path]:
    """Stored runs, and claims if it shows any, of a page and of those that it names.

    A page of claims that names no other, as the ledger, shows those of all.
    """
    text = page.text
    names = [name for name in page_names() if f'"{name}"' in text]
    if shows_claims and not names:
        names = page_names()
    kept = root() / "data" / "results"
    files = [f for name in {*names, page.name} for f in (kept / name).rglob("*.json")]
    if shows_claims:
        files += [root() / "book" / "claims" / f"{name}.yaml" for name in names]
    return sorted(file for file in files if file.is_file())


class _State:
    """What was built, kept in ``_build/book-state.json``.

    Arguments:
        runs: by profile and page, the key of the last run and the sum of its
            notebook, which `gatebook run` may have replaced since.
        rendered: the key of the site, or nothing.
    """

    def __init__(self, runs: dict[str, dict[str, list[str]]], rendered: str):
        self.runs, self.rendered = runs, rendered

    @staticmethod
    def _file() -> Path:
        return root() / "_build" / "book-state.json"

    @classmethod
    def read(cls) -> "_State":
        try:
            return cls(**json.loads(read_text(cls._file())))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return cls({}, "")

    def has_run(self, profile: str, page: str, key: str) -> bool:
        notebook = notebook_of(page, profile)
        if not notebook.is_file():
            return False
        return self.runs.get(profile, {}).get(page) == [key, _sum(notebook)]

    def note_run(self, profile: str, page: str, key: str) -> None:
        done = [key, _sum(notebook_of(page, profile))]
        self.runs.setdefault(profile, {})[page] = done
        self._write()

    def note_render(self, key: str) -> None:
        self.rendered = key
        self._write()

    def _write(self) -> None:
        text = json.dumps({"runs": self.runs, "rendered": self.rendered}, indent=1)
        write_atomic(self._file(), text.encode())


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _render_key(keys: dict[str, str]) -> str:
    """A sum over all that decides the site."""
    sources = [root() / name for name in RENDERED_FROM]
    sources += sorted((root() / "book").rglob("*"))
    # The reference is made of docstrings, and pages show lines of both packages.
    sources += sorted(imports.LIBRARY.rglob("*.py"))
    content = [(str(f), _sum(f)) for f in sources if f.is_file()]
    return hashlib.sha256(repr([keys, content]).encode()).hexdigest()


def _run_all(
    pages: list[Page], profile: str, workers: int
) -> Iterator[tuple[Page, bool]]:
    """Each page, a few at once; all run even if one fails.

    Yields:
        pages, and whether they ran to their end, as they end.
    """
    pool = _processes(workers)
    waiting = {pool.submit(_run_one, page.name, profile): page for page in pages}
    try:
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _processes(workers: int) -> Executor:
    """Processes that each import the tools once and then run one page after another."""
    return ProcessPoolExecutor(workers, get_context("spawn"), _prepare)


def _prepare() -> None:
    # One thread per page: pages run side by side, and two pages of two threads each
    # on two cores take longer than one after the other.
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # while there is no page to stop


def _run_one(name: str, profile: str) -> bool:
    started = time.monotonic()
    print(f"[{name}] running at the {profile} profile", flush=True)
    with _stopped_by_ctrl_c():
        error = _error_of(name, profile)
    took = f"after {time.monotonic() - started:.0f} s"
    print(
        f"[{name}] {f'FAILED {took}: {error}' if error else f'done {took}'}", flush=True
    )
    return not error


def _error_of(name: str, profile: str) -> str:
    try:
        run_page(name, profile)
    except (PageError, ValueError, OSError) as error:
        return str(error)
    return ""


@contextlib.contextmanager
def _stopped_by_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _cache() -> Any:
    return get_cache(root() / "_build" / ".jupyter_cache")


def _into_cache(page: Page, profile: str) -> None:
    """Put a notebook's outputs under the page's source in the cache, and aside."""
    # Jupyter Book finds the entry by the notebook as its own reader makes it.
    source = nbformat.from_dict(
        read_myst_markdown_notebook(
            page.text, config=MdParserConfig(), add_source_map=False
        )
    )
    run = nbformat.read(notebook_of(page.name, profile), as_version=4)
    ran = [c for c in run.cells if c.cell_type == "code"]
    ran = [c for c in ran if "injected-parameters" not in c.metadata.get("tags", [])]
    cells = [cell for cell in source.cells if cell.cell_type == "code"]
    if [c.source.strip() for c in cells] != [c.source.strip() for c in ran]:
        raise PageError(f"page {page.name} changed while it ran; build again")
    for cell, done in zip(cells, ran, strict=True):
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    if "widgets" in run.metadata:  # their state, from which the page shows them
        source.metadata["widgets"] = run.metadata["widgets"]
    seconds = run.metadata["papermill"]["duration"]
    bundle = CacheBundleIn(source, str(page.file), data={"execution_seconds": seconds})
    _cache().cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    download = root() / "_build" / NOTEBOOKS / "book" / f"{page.name}.ipynb"
    download.parent.mkdir(parents=True, exist_ok=True)
    for output in (output for cell in cells for output in cell.outputs):
        if figure := output.get("data", {}).get("image/svg+xml"):
            output.data["image/svg+xml"] = split(figure)[0]
    nbformat.write(source, download)


def _render(executed: list[Page], profile: str) -> None:
    """Render every page anew, from the cache alone."""
    # Nothing is left of a page that was renamed or dropped.
    _cache().clear_cache()
    for old in ("html", NOTEBOOKS, FOLDER):
        shutil.rmtree(root() / "_build" / old, ignore_errors=True)
    for page in executed:
        _into_cache(page, profile)
    before = {(r.pk, r.hashkey) for r in _cache().list_cache_records()}
    tool = Path(sys.executable).with_name("jupyter-book")
    flags = ["--all", "-W", "-n", "--keep-going"]
    # It opens files as the locale says.
    told = os.environ | {"PYTHONUTF8": "1", PROFILE: profile}
    command = [str(tool), "build", ".", *flags]
    code = subprocess.run(command, cwd=root(), env=told).returncode
    if code:
        raise PageError(f"jupyter-book ended with exit {code}; its warnings are above")
    after = {(r.pk, r.hashkey) for r in _cache().list_cache_records()}
    if after != before:
        raise PageError("jupyter-book executed a page itself; its outputs were lost")


def _check_site(pages: list[Page], executed: list[Page]) -> None:
    html = root() / "_build" / "html" / "book"
    missing = [p.name for p in pages if not (html / f"{p.name}.html").is_file()]
    empty = [
        p.name for p in executed if "cell_output" not in _text(html / f"{p.name}.html")
    ]
    if missing or empty:
        raise PageError(f"pages missing: {missing}; pages without outputs: {empty}")


def _text(file: Path) -> str:
    return read_text(file) if file.is_file() else ""
