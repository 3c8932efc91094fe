"""The C files of this folder, compiled once for each precision and machine."""

import ctypes
import functools
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from gatebook.fused import ways
from gatebook.fused.cache import NoCompiler, cache_folder
from gatebook.fused.cpu import build, threads
from gatebook.fused.cpu.build import section

HEAD = """
#include <math.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
typedef {real} real;
typedef size_t Z;
#define DOUBLE {double}
#define INLINE static inline __attribute__((always_inline))
"""

FOLDER = Path(__file__).parent
SOURCES = {file.stem: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.c")}
"""Read at import, with the Python: a file may be replaced while a program runs."""

FLAGS = ("-fopenmp-simd", "-lm")
"""Sums over a row may be made in any order."""

NAMES = {torch.float32: "float", torch.float64: "double"}


def usable(name: str, *tensors: Tensor) -> bool:
    """Whether the C of a name serves these tensors; without a compiler it warns."""
    kinds = {(t.device.type, t.dtype) for t in tensors}
    ((device, dtype),) = kinds if len(kinds) == 1 else ((None, None),)
    return device == "cpu" and dtype in NAMES and _code(name, NAMES[dtype]) is not None


@functools.cache
def _code(name: str, real: str) -> ctypes.CDLL | None:
    """The compiled file; what failed once is not tried again."""
    head = HEAD.format(real=real, double=int(real == "double"))
    parts = ("Threads", "Matrix products", "Functions of one number")
    text = "\n".join([head, *map(section, parts), SOURCES[name]])
    try:
        file = cache_folder() / f"{build.key_of(text, *FLAGS)}.so"
        if not file.exists():
            build.compile_to(text, file, *FLAGS)
        return ctypes.CDLL(str(file))
    except NoCompiler as error:
        ways.warn(str(error))
    except OSError as error:
        ways.warn(f"{name}.c cannot be made or loaded: {error}")
    return None


def call(
    name: str,
    function: str,
    sizes: Mapping[str, int],
    arrays: Mapping[str, Tensor | None],
    parts: int,
) -> None:
    """Call a function of the C in ``parts`` threads.

    Arguments:
        name: of the C file.
        function: its function.
        sizes: the first fields of its structure, in order.
        arrays: the others, in order; ``None`` is a null pointer.
        parts: how many threads share it.
    """
    code = _code(name, NAMES[next(t.dtype for t in arrays.values() if t is not None)])
    assert code is not None
    what = _structure(tuple(sizes), tuple(arrays))(*sizes.values())
    for field, array in arrays.items():
        setattr(what, field, None if array is None else array.data_ptr())
    threads.split(code, function, what, parts)


@functools.cache
def _structure(sizes: tuple[str, ...], arrays: tuple[str, ...]) -> type:
    size, at = ctypes.c_size_t, ctypes.c_void_p
    fields = [*((name, size) for name in sizes), *((name, at) for name in arrays)]
    return type("What", (ctypes.Structure,), {"_fields_": fields})
