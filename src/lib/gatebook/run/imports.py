"""Which modules of the library a page rests on, read from its import statements."""

import ast
from pathlib import Path

import gatebook

PACKAGE = "gatebook"


def modules_behind(code: str) -> dict[str, Path]:
    """The library's modules that some code imports, directly or not.

    A name taken from a package's ``__init__`` counts as an import of the module that
    defines it, so that a page that uses `LSTM` does not depend on `plots`.

    Arguments:
        code: Python source; lines of IPython magic must be gone.

    Returns:
        files by module name.
    """
    found: dict[str, Path] = {}
    waiting = _imports(code)
    while waiting:
        module = waiting.pop()
        file = _file(module)
        if module in found or file is None:
            continue
        found[module] = file
        if file.name != "__init__.py":
            waiting |= _imports(file.read_text())
    return dict(sorted(found.items()))


def _imports(code: str) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {_origin(node.module, alias.name) for alias in node.names}
    return {m for m in modules if m.split(".")[0] == PACKAGE}


def _origin(module: str, name: str) -> str:
    """The module that ``from module import name`` reads ``name`` from."""
    if _file(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    file = _file(module)
    if file is None or file.name != "__init__.py":
        return module
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        if name in {alias.asname or alias.name for alias in node.names}:
            return _origin(node.module, name)
    return module


def _file(module: str) -> Path | None:
    first, *rest = module.split(".")
    if first != PACKAGE:
        return None
    base = Path(gatebook.__path__[0], *rest)
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None
