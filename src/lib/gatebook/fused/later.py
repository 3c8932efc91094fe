"""What is done when a module of another package is imported, and not before."""

import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def after_import(name: str, then: Callable[[], None]) -> None:
    """Call ``then`` now if a module is imported, else right after it has been."""
    if name in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _Watcher(name, then))


class _Watcher(MetaPathFinder):
    """Finds one module as the others do, once, and adds a call behind it."""

    def __init__(self, name: str, then: Callable[[], None]):
        self.name, self.then = name, then

    def find_spec(
        self,
        fullname: str,
        path: Any = None,  # a namespace's path is no sequence
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The module's own spec, for the one that is waited for."""
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_call(module: ModuleType) -> None:
                run(module)
                self.then()

            spec.loader.exec_module = run_and_call  # type: ignore[method-assign]
        return spec
