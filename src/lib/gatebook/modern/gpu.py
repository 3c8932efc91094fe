"""The linear recurrence on a GPU, by Triton."""

import functools
import importlib.util
from pathlib import Path
from types import ModuleType

from torch import Tensor

from gatebook.fused.gpu import build

TEXT = (Path(__file__).parent / "recurrence.triton").read_text(encoding="utf-8")

BLOCK = 128
"""Channels of a program: few, since there is a program's work in every step."""


@functools.cache
def usable() -> bool:
    """Whether there is Triton, and the compiler that it needs."""
    return importlib.util.find_spec("triton") is not None and build.has_compiler()


def _kernels() -> ModuleType:
    return build.module_of(TEXT)


def _grid(channels: int) -> tuple[int]:
    return (-(-channels // BLOCK),)


def forward(a: Tensor, b: Tensor, h0: Tensor | None, h: Tensor) -> None:
    """Fill ``h``, (T, …), with all states; contiguous arrays."""
    steps, channels, start = len(a), a[0].numel(), h0 is not None
    arrays = a, b, h0 if start else a, h
    run = _kernels().forward[_grid(channels)]
    run(*arrays, steps, channels, START=start, BLOCK=BLOCK)


def backward(
    a: Tensor, h: Tensor, h0: Tensor | None, g: Tensor, da: Tensor | None, d: Tensor
) -> None:
    """Fill ``da``, unless it is ``None``, and ``d`` with the gradients of a and b."""
    steps, channels, start = len(a), a[0].numel(), h0 is not None
    arrays = a, h, h0 if start else a, g, d if da is None else da, d
    run = _kernels().backward[_grid(channels)]
    options = {"START": start, "OF_A": da is not None, "BLOCK": BLOCK}
    run(*arrays, steps, channels, **options)
