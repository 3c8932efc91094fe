"""Which code a page rests on."""

import hashlib
from pathlib import Path

from gatebook_book.pages.pages import Page
from gatebook_book.paths import root
from gatebook_book.site.imports import beside, modules_behind


def modules_of(page: Page) -> dict[str, Path]:
    """The library's modules that a page's code imports, directly or not."""
    cells = page.notebook().cells
    return modules_behind(
        "\n".join(_plain(c.source) for c in cells if c.cell_type == "code")
    )


def code_behind(page: Page) -> str:
    """A sum over all code that decides a page's numbers; its prose does not.

    The page's own cells, the library's modules behind them with what they read, and the
    versions of everything installed.
    """
    modules = modules_of(page)
    cells = page.notebook().cells
    parts = [cell.source for cell in cells if cell.cell_type == "code"]
    parts += [file.read_text() for file in [*modules.values(), *beside(modules)]]
    parts.append((root() / "requirements.lock").read_text())
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _plain(source: str) -> str:
    """Python without IPython's magic lines."""
    lines = source.splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
