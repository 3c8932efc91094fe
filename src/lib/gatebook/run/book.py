"""Building the book: run what is stale through papermill, then render.

The sources stay MyST files. A page's outputs go into Jupyter Book's own cache, as if
it had executed the page itself, so that rendering never executes anything.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from myst_nb.core.read import read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig

from gatebook.checkpoint import write_atomic
from gatebook.paths import root
from gatebook.run.execute import PageError
from gatebook.run.imports import modules_behind
from gatebook.run.pages import Page, find, page_names

RENDERED_FROM = ("_config.yml", "_toc.yml", "package-lock.json", "book/_static")


def build(profile: str = "book", workers: int | None = None) -> Path:
    """Run the stale pages and render the book.

    Arguments:
        profile: the pages' parameters, ``"book"`` or ``"smoke"``.
        workers: pages that run at once; by default the number of cores.

    Returns:
        the site's first page.

    Raises:
        PageError: if a page fails, after the others have run, or if a page came out
            without outputs.
    """
    pages = [find(name) for name in page_names()]
    executed = [page for page in pages if page.has_code]
    state = _State.read(profile)
    stale = [page for page in executed if state.is_stale(page)]
    fresh = len(executed) - len(stale)
    print(f"{len(stale)} of {len(executed)} pages to run, {fresh} up to date")
    _run_all(stale, profile, workers or os.cpu_count() or 1)
    for page in stale:
        _into_cache(page, profile)
        state.note(page)
    _render(everything=bool(stale) or state.render_changed())
    _check_site(pages, executed)
    state.note_render()
    return root() / "_build" / "html" / "index.html"


def page_key(page: Page, profile: str) -> str:
    """A sum over all that decides a page's outputs.

    Its code and text, its parameters at this profile, the library's modules that it
    imports, its stored results, and the versions of everything installed.
    """
    parts = [page.file.read_text(), page.effective(profile, {}), profile]
    cells = page.notebook().cells
    code = "\n".join(_plain(c.source) for c in cells if c.cell_type == "code")
    parts += [(m, file.read_text()) for m, file in modules_behind(code).items()]
    stored = root() / "data" / "results" / page.name
    parts += [(f.name, f.read_text()) for f in sorted(stored.rglob("*.json"))]
    parts.append((root() / "requirements.lock").read_text())
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _plain(source: str) -> str:
    """Python without IPython's magic lines."""
    lines = source.splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


class _State:
    """What the last build ran: keys by page, kept in ``_build/book-state.json``."""

    def __init__(self, profile: str, pages: dict[str, str], render: str):
        self.profile, self.pages, self.render = profile, pages, render

    @staticmethod
    def _file() -> Path:
        return root() / "_build" / "book-state.json"

    @classmethod
    def read(cls, profile: str) -> "_State":
        try:
            found = json.loads(cls._file().read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            found = {"pages": {}, "render": ""}
        return cls(profile, found["pages"], found["render"])

    def is_stale(self, page: Page) -> bool:
        known = {Path(record.uri) for record in _cache().list_cache_records()}
        if page.file not in known:
            return True
        return self.pages.get(page.name) != page_key(page, self.profile)

    def note(self, page: Page) -> None:
        self.pages[page.name] = page_key(page, self.profile)
        self._write()

    def render_changed(self) -> bool:
        return self.render != _render_key()

    def note_render(self) -> None:
        self.render = _render_key()
        self._write()

    def _write(self) -> None:
        text = json.dumps({"pages": self.pages, "render": self.render}, indent=1)
        write_atomic(self._file(), text.encode())


def _render_key() -> str:
    files: list[Path] = []
    for name in RENDERED_FROM:
        path = root() / name
        files += sorted(path.rglob("*")) if path.is_dir() else [path]
    content = [(str(f), f.read_bytes()) for f in files if f.is_file()]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _run_all(pages: list[Page], profile: str, workers: int) -> None:
    """Each page in a process of its own, a few at once; all run even if one fails."""
    with ThreadPoolExecutor(workers) as pool:
        codes = list(pool.map(lambda page: _run_one(page, profile), pages))
    failed = [p.name for p, code in zip(pages, codes, strict=True) if code]
    if 130 in codes or -2 in codes:
        raise KeyboardInterrupt
    if failed:
        raise PageError(f"failed: {', '.join(failed)}; the errors are above")


def _run_one(page: Page, profile: str) -> int:
    started = time.monotonic()
    print(f"[{page.name}] running at the {profile} profile", flush=True)
    command = [sys.executable, "-m", "gatebook.run.cli", "run", page.name]
    # One thread a page: pages run side by side, and two pages of two threads each
    # on two cores take longer than one after the other.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    code = subprocess.run(
        [*command, "--profile", profile], cwd=root(), env=environment
    ).returncode
    seconds = time.monotonic() - started
    word = "done" if code == 0 else f"FAILED (exit {code})"
    print(f"[{page.name}] {word} after {seconds:.0f} s", flush=True)
    return code


def _cache() -> Any:
    return get_cache(root() / "_build" / ".jupyter_cache")


def _into_cache(page: Page, profile: str) -> None:
    """Put an executed notebook's outputs under the page's source in the cache."""
    # Jupyter Book finds the entry by the notebook as its own reader makes it.
    source = nbformat.from_dict(
        read_myst_markdown_notebook(
            page.file.read_text(), config=MdParserConfig(), add_source_map=False
        )
    )
    run = root() / "_build" / "runs" / page.name / f"{profile}.ipynb"
    ran = [c for c in nbformat.read(run, as_version=4).cells if c.cell_type == "code"]
    ran = [c for c in ran if "injected-parameters" not in c.metadata.get("tags", [])]
    cells = [cell for cell in source.cells if cell.cell_type == "code"]
    for cell, done in zip(cells, ran, strict=True):
        if cell.source.strip() != done.source.strip():
            raise PageError(f"page {page.name} changed while it ran; build again")
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    metadata = nbformat.read(run, as_version=4).metadata
    seconds = metadata["papermill"]["duration"]
    bundle = CacheBundleIn(source, str(page.file), data={"execution_seconds": seconds})
    _cache().cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def _render(everything: bool) -> None:
    before = {(r.pk, r.hashkey) for r in _cache().list_cache_records()}
    tool = Path(sys.executable).with_name("jupyter-book")
    flags = ["-W", "-n", "--keep-going", *(["--all"] if everything else [])]
    code = subprocess.run([tool, "build", ".", *flags], cwd=root()).returncode
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
    return file.read_text() if file.is_file() else ""
