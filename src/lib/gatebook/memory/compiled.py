"""Functions of one example, compiled: one node of autograd for a whole batch.

`printed` makes the C. What was compiled is kept on the disk, as the fused scan's is.
"""

import ctypes
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gatebook.fused import ways
from gatebook.fused.cache import NoCompiler, cache_folder
from gatebook.fused.cpu import build, threads
from gatebook.fused.dispatch import loop_only, transformed, watched
from gatebook.fused.once import once_only
from gatebook.fused.trace import Unprintable
from gatebook.memory import printed

Tensors = tuple[Tensor, ...]
Function = Callable[..., Tensors]
"""Of tensors with the batch in front. Hashable; equal ones compute the same."""

WORTH = 256
"""Examples, times steps, that are worth some seconds of compiling."""

TRIP = 20
"""A loop's trip takes as long as so many multiplications of a matrix product."""

FLAGS = ("-O2", "-ftree-vectorize", "-lm")
"""There is a lot of straight code: -O3 would compile it for five times as long."""

NAMES = {torch.float32: "float", torch.float64: "double"}


@dataclass(frozen=True)
class Kernel:
    """A function and its vector-Jacobian product, compiled.

    Arguments:
        there: of the inputs.
        back: of the inputs and the gradients of the outputs.
        outputs: shapes, without the batch.
    """

    there: ctypes.CDLL
    back: ctypes.CDLL
    outputs: tuple[tuple[int, ...], ...]

    def forward(self, given: Tensors) -> Tensors:
        """The function's values."""
        made = tuple(given[0].new_empty(len(given[0]), *s) for s in self.outputs)
        _run(self.there, given, made)
        return made

    def backward(self, given: Tensors, grads: Tensors) -> Tensors:
        """The gradients of what was given."""
        made = tuple(torch.empty_like(x) for x in given)
        _run(self.back, (*given, *grads), made)
        return made


class What(ctypes.Structure):
    """`What` of the C: the batch size, and the arrays."""

    _fields_ = [("count", ctypes.c_size_t), ("arrays", ctypes.c_void_p)]


def _run(code: ctypes.CDLL, given: Tensors, made: Tensors) -> None:
    arrays = [x.data_ptr() for x in (*given, *made)]
    table = (ctypes.c_void_p * len(arrays))(*arrays)
    what = What(len(given[0]), ctypes.addressof(table))
    trips = ctypes.c_int.in_dll(code, "trips").value
    parts = threads.number(len(given[0]) * trips * TRIP)
    threads.split(code, "run", what, max(parts, 1))


def kernel(function: Function, tensors: Sequence[Tensor], work: int) -> Kernel | None:
    """The compiled function, or ``None`` where the function itself must run.

    That is so without a compiler, on other devices than CPUs, in half precision, under
    autocast and transforms, for those who watch operations, and for little work.

    Arguments:
        function: with the batch in front.
        tensors: what it is to be called on.
        work: how many examples there will be in all.
    """
    kinds = {(type(x), x.device.type, x.dtype) for x in tensors}
    if len(kinds) > 1 or work < WORTH or loop_only() or transformed() or watched():
        return None
    ((kind, device, dtype),) = kinds
    if kind is not Tensor or device != "cpu" or dtype not in NAMES:
        return None
    if torch.is_autocast_enabled("cpu"):
        return None
    return _kernel(function, tuple(tuple(x.shape[1:]) for x in tensors), dtype)


@functools.lru_cache(256)
def _kernel(
    function: Function, shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype
) -> Kernel | None:
    """From the disk or made now; what failed once is not tried again."""
    try:
        # In a thread of its own, where nothing acts that the caller has switched on.
        with ThreadPoolExecutor(1) as thread:
            there, back = thread.submit(_load, function, shapes, NAMES[dtype]).result()
            outputs = thread.submit(_shapes, function, shapes).result()
    except Unprintable:
        return None
    except NoCompiler as error:
        ways.warn(str(error))
        return None
    return Kernel(there, back, outputs)


def _shapes(
    function: Function, shapes: tuple[tuple[int, ...], ...]
) -> tuple[tuple[int, ...], ...]:
    """Those of the results, without the batch."""
    results = function(*(torch.zeros(1, *shape) for shape in shapes))
    return tuple(tuple(out.shape[1:]) for out in results)


def _load(
    function: Function, shapes: tuple[tuple[int, ...], ...], real: str
) -> list[ctypes.CDLL]:
    folder = Path(__file__).parent
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py"))]
    name = build.key_of(repr(function), repr(shapes), real, *texts)
    files = [cache_folder() / f"{name}-{way}.so" for way in ("there", "back")]
    try:
        if not all(file.exists() for file in files):
            graphs = printed.trace(function, shapes)
            for graph, file in zip(graphs, files, strict=True):
                build.compile_to(printed.source(graph, real), file, *FLAGS)
        return [ctypes.CDLL(str(file)) for file in files]
    except OSError as error:
        raise NoCompiler(f"{files[0]} cannot be made or loaded: {error}") from error


class _Call(torch.autograd.Function):
    """A compiled function as a node of autograd."""

    @staticmethod
    def forward(ctx, kernel, *given):
        given = tuple(x.contiguous() for x in given)
        ctx.kernel = kernel
        ctx.save_for_backward(*given)
        return kernel.forward(given)

    @staticmethod
    @once_only
    def backward(ctx, *grads):
        grads = tuple(g.contiguous() for g in grads)
        return None, *ctx.kernel.backward(ctx.saved_tensors, grads)


def call(kernel: Kernel, *given: Tensor) -> Any:
    """The function's values, with a gradient."""
    return _Call.apply(kernel, *given)
