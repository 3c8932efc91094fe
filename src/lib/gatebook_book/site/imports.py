"""Which modules of the library some code rests on, read from its import statements."""

import ast
import hashlib
from pathlib import Path

PACKAGES = ("gatebook", "gatebook_book")

LIBRARY = Path(__file__).parents[2]
"""The folder that holds both packages."""

READ_BY_MODULES = (".c", ".triton", ".mjs", ".css", ".yaml")
"""Endings of source files that are not Python."""


def modules_behind(code: str) -> dict[str, Path]:
    """The library's modules that some code imports, directly or not.

    A name taken from a package's ``__init__`` counts as an import of the module that
    defines it, so that a page that uses `LSTM` does not depend on `plots`. Who imports
    the package itself may use any of its names and rests on all their modules.

    Arguments:
        code: Python source; lines of IPython magic must be gone.

    Returns:
        files by module name.
    """
    found: dict[str, Path] = {}
    waiting = _imports(code, within="")
    while waiting:
        module = waiting.pop()
        file = _file(module)
        if module in found or file is None:
            continue
        found[module] = file
        package = module if _is_package(file) else module.rpartition(".")[0]
        waiting |= _imports(file.read_text(), package)
    return dict(sorted(found.items()))


def sum_behind(module: str) -> str:
    """A sum over a module and all modules of the library that it rests on.

    Example:
        >>> sum_behind("gatebook.gates") == sum_behind("gatebook.training.loop")
        False
    """
    modules = modules_behind(f"import {module}")
    files = [*modules.values(), *beside(modules)]
    return hashlib.sha256(repr([f.read_text() for f in files]).encode()).hexdigest()


def beside(modules: dict[str, Path]) -> list[Path]:
    """What lies in the folders of some modules for them to read, no Python itself.

    The text of compiled kernels, and the scripts and style sheets of widgets.

    Arguments:
        modules: files by module name, as `modules_behind` gives them.
    """
    folders = {file.parent for file in modules.values()}
    found = (file for folder in folders for file in folder.iterdir())
    return sorted(file for file in found if file.suffix in READ_BY_MODULES)


def _imports(code: str, within: str) -> set[str]:
    """Modules that code imports; ``within`` is what its leading dots stand for."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # `import a.b` also gives the name a; `import a.b as c` does not.
                first = alias.name.split(".")[0]
                modules |= {alias.name} if alias.asname else {alias.name, first}
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, within)
            modules |= {_origin(source, alias.name) for alias in node.names}
    return {m for m in modules if m.split(".")[0] in PACKAGES}


def _absolute(node: ast.ImportFrom, within: str) -> str:
    """The module after ``from``, written without leading dots."""
    if not node.level:
        return node.module or ""
    parts = within.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _is_package(file: Path) -> bool:
    return file.name == "__init__.py"


def _origin(module: str, name: str) -> str:
    """The module that ``from module import name`` reads ``name`` from."""
    if _file(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    file = _file(module)
    if file is None or not _is_package(file):
        return module
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if name == (alias.asname or alias.name):
                return _origin(_absolute(node, module), alias.name)
    return module


def _file(module: str) -> Path | None:
    first, *rest = module.split(".")
    if first not in PACKAGES:
        return None
    base = Path(LIBRARY, first, *rest)
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None
