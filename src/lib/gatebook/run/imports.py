"""Which modules of the library a page rests on."""

import hashlib
from pathlib import Path

from gatebook.imports import modules_behind
from gatebook.run.pages import Page


def modules_of(page: Page) -> dict[str, Path]:
    """The library's modules that a page's code imports, directly or not."""
    cells = page.notebook().cells
    return modules_behind(
        "\n".join(_plain(c.source) for c in cells if c.cell_type == "code")
    )


def code_behind(page: Page) -> str:
    """A sum over a page's source and the library's modules behind it."""
    parts = [page.file.read_text()]
    parts += [file.read_text() for file in modules_of(page).values()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _plain(source: str) -> str:
    """Python without IPython's magic lines."""
    lines = source.splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def browser_files(modules: dict[str, Path]) -> list[Path]:
    """The scripts and style sheets in the folders of some modules: widgets read them.

    Arguments:
        modules: files by module name, as `modules_behind` gives them.
    """
    folders = {file.parent for file in modules.values()}
    found = (file for folder in folders for file in folder.iterdir())
    return sorted(file for file in found if file.suffix in (".mjs", ".css"))
