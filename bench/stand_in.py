"""What the library imports besides PyTorch, in little, where it is not installed.

A machine with a GPU may have PyTorch and nothing else, and no way to fetch more. The
annotations of `jaxtyping` say nothing at run time; `safetensors` only has to read what
it has written itself; and the book's images, which need a data library, are not used.
"""

import importlib.util
import io
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


def fill_in() -> list[str]:
    """Stand in for the packages that are missing; returns their names."""
    made = {"jaxtyping": _jaxtyping, "safetensors": _safetensors, "pyarrow": _images}
    made |= {"papermill": _book}
    missing = [name for name in made if importlib.util.find_spec(name) is None]
    for name in missing:
        sys.modules |= {module.__name__: module for module in made[name]()}
    return missing


class _Annotation:
    def __class_getitem__(cls, item: Any) -> Any:
        return item[0]


def _jaxtyping() -> list[ModuleType]:
    module = ModuleType("jaxtyping")
    for name in ("Bool", "Float", "Int", "Integer", "Shaped", "UInt8"):
        setattr(module, name, _Annotation)
    return [module]


def _safetensors() -> list[ModuleType]:
    module, inner = ModuleType("safetensors"), ModuleType("safetensors.torch")
    module.SafetensorError, module.safe_open = RuntimeError, _Opened  # type: ignore
    inner.save = _save  # type: ignore[attr-defined]
    module.torch = inner  # type: ignore[attr-defined]
    return [module, inner]


def _save(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
    file = io.BytesIO()
    torch.save({"tensors": tensors, "metadata": metadata}, file)
    return file.getvalue()


class _Opened:
    """A file of `_save`, with the methods of `safetensors.safe_open`."""

    def __init__(self, path: str, framework: str):
        content = Path(path).read_bytes()
        try:
            self.held = torch.load(io.BytesIO(content), weights_only=True)
        except Exception as error:
            raise RuntimeError(f"no checkpoint: {error}") from error

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def metadata(self) -> dict[str, str]:
        """The texts."""
        return dict(self.held["metadata"])

    def keys(self) -> list[str]:
        """Names of the tensors."""
        return list(self.held["tensors"])

    def get_tensor(self, name: str) -> torch.Tensor:
        """One of them."""
        return self.held["tensors"][name]


def _images() -> list[ModuleType]:
    """The book's task on images, as a name that nothing is an instance of."""
    module = ModuleType("gatebook_book.tasks.pixels")
    module.Pixels = type("Pixels", (), {})  # type: ignore[attr-defined]
    return [module, ModuleType("gatebook_book.tasks")]


def _book() -> list[ModuleType]:
    """The book's package, which else asks for all that makes the book."""
    module = ModuleType("gatebook_book")
    module.__path__ = [str(Path(__file__).parent.parent / "src/lib/gatebook_book")]
    return [module]
