"""Which modules of the library some code rests on, read from its import statements.

Tools such as grimp draw the graph between a package's modules. Here the start is a
page's own cells, and a name leads through packages to the module that defines it.
"""

import ast
import functools
import hashlib
import re
from pathlib import Path

import yaml

PACKAGES = ("gatebook", "gatebook_book")

LIBRARY = Path(__file__).parents[2]
"""The folder that holds both packages."""

READ_BY_MODULES = (".c", ".triton", ".mjs", ".css", ".yaml", ".json")
"""Endings of files that are not Python."""


def modules_behind(code: str) -> dict[str, Path]:
    """The library's modules that some code imports, directly or not.

    A name taken from a package's ``__init__`` counts as an import of the module that
    defines it, so that a page that uses `LSTM` does not depend on `plots`. Code that
    imports the package itself may use any of its names and rests on all their modules.

    Arguments:
        code: Python source; lines of IPython magic must be gone.

    Returns:
        files by module name.
    """
    found: dict[str, Path] = {}
    waiting = set(_imports(code, within=""))
    while waiting:
        module = waiting.pop()
        file = _file(module)
        if module in found or file is None:
            continue
        found[module] = file
        package = module if _is_package(file) else module.rpartition(".")[0]
        waiting |= _imports(file.read_text(encoding="utf-8"), package)
    return dict(sorted(found.items()))


def sum_behind(module: str) -> str:
    """A sum over a module and all modules of the library that it rests on.

    Example:
        >>> sum_behind("gatebook.gates") == sum_behind("gatebook.training.loop")
        False
    """
    modules = modules_behind(f"import {module}")
    parts = [meaning(file) for file in [*modules.values(), *beside(modules)]]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def meaning(file: Path) -> str:
    """A source file's content without what computes nothing.

    Of Python that is the syntax tree without docstrings, of C and YAML the text
    without comments. Marks that the builder of the kernel fills are no comments.
    """
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        return code_of(text)
    if file.suffix == ".c":
        return re.sub(r"/\*(?! FILL).*?\*/", " ", text, flags=re.DOTALL)
    return repr(yaml.safe_load(text)) if file.suffix == ".yaml" else text


@functools.lru_cache(maxsize=512)
def code_of(text: str) -> str:
    """Python's syntax tree without comments and docstrings, as text."""
    return ast.dump(_WithoutText().visit(ast.parse(text)))


class _WithoutText(ast.NodeTransformer):
    """Removes the texts that stand alone: docstrings, and those below a constant."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        value = node.value
        alone = isinstance(value, ast.Constant) and isinstance(value.value, str)
        return None if alone else node


def beside(modules: dict[str, Path]) -> list[Path]:
    """What lies in the folders of some modules for them to read, no Python itself.

    The text of compiled kernels, and the scripts and style sheets of widgets.

    Arguments:
        modules: files by module name, as `modules_behind` gives them.
    """
    folders = {file.parent for file in modules.values()}
    found = (file for folder in folders for file in folder.iterdir())
    return sorted(file for file in found if file.suffix in READ_BY_MODULES)


@functools.lru_cache(maxsize=512)
def _imports(code: str, within: str) -> frozenset[str]:
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
    return frozenset(m for m in modules if m.split(".")[0] in PACKAGES)


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
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
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
