"""Which way a pass takes: the fused scan of its device, or the reference loop."""

import contextlib
import functools
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch

from gatebook.fused.cache import NoCompiler
from gatebook.fused.cpu import build as cpu_build
from gatebook.fused.cpu import function as cpu
from gatebook.fused.cpu.arrays import pool
from gatebook.fused.trace import Unprintable, options_of
from gatebook.recurrence.scan import Pass, Result, Weights, layer

HALF = (torch.bfloat16, torch.float16)

_loop_only: ContextVar[bool] = ContextVar("loop_only", default=False)


@contextlib.contextmanager
def reference() -> Iterator[None]:
    """Run the reference loop inside this block, also where the fused scan could.

    For a second derivative, which the fused scan does not have.

    Example:
        >>> from gatebook import LSTM, reference
        >>> with reference():
        ...     output, _ = LSTM(2, 3)(torch.zeros(4, 1, 2))
    """
    token = _loop_only.set(True)
    try:
        yield
    finally:
        _loop_only.reset(token)


def loop_only() -> bool:
    """Whether the caller is in a block of `reference`."""
    return _loop_only.get()


def clear() -> None:
    """Free the memory that the fused scan keeps for its next pass.

    It keeps at most 1 GiB of work arrays on the CPU, and the arrays of eight passes
    on GPUs. Those of a pass that waits for its backward pass are not touched.
    """
    pool.clear()
    if "gatebook.fused.gpu.loop" in sys.modules:
        sys.modules["gatebook.fused.gpu.loop"].loops.clear()


def applies(given: Pass) -> bool:
    """Whether the fused scan can take this pass; else the reference loop does.

    It takes float32 and float64, and half precision by way of float32, on a CPU with
    a C compiler and on a GPU with Triton. Autocast, the transforms of ``torch.func``
    and a CUDA graph that the caller records go to the loop.
    """
    x = given.x
    if _loop_only.get() or x.device.type not in ("cpu", "cuda"):
        return False
    if x.dtype != given.weights.hh.dtype or torch.is_autocast_enabled(x.device.type):
        return False
    if x.dtype not in (torch.float32, torch.float64, *HALF) or 0 in x.shape:
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    if x.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return False
    if not given.core.one_product:  # the loop alone has a second one in a step
        return False
    return _compiles(given)


def _compiles(given: Pass) -> bool:
    """Whether there is a kernel with the options of this pass."""
    core, options, kind = given.core, options_of(given), given.x.dtype
    try:
        if given.x.device.type == "cuda":
            _gpu_build().kernel(core, options)
        else:
            cpu_build.kernel(core, options, torch.float32 if kind in HALF else kind)
    except Unprintable:
        return False
    except NoCompiler as error:
        _warn(str(error))
        return False
    return True


def _gpu() -> ModuleType:
    from gatebook.fused.gpu import function  # a CPU has no use for it

    return function


def _gpu_build() -> ModuleType:
    from gatebook.fused.gpu import build

    return build


@functools.cache
def _warn(reason: str) -> None:
    """Warn once that the loop is slower."""
    warnings.warn(
        f"the reference loop runs, several times slower than the fused scan: {reason}",
        stacklevel=6,
    )


def run(given: Pass) -> Result:
    """One layer in one direction; the results are those of `scan.layer`."""
    return run_many([given])[0]


def run_many(passes: Sequence[Pass]) -> list[Result]:
    """Several models, each as `run` would: fused where all can be, else in the loop.

    On a GPU those with the same step and shapes run as one batch of models; on a CPU
    one after the other, since one fills its cores.
    """
    if not all(map(applies, passes)):
        return [_loop(given) for given in passes]
    if passes[0].x.dtype in HALF:
        return [_in_float32(given) for given in passes]
    if passes[0].x.device.type == "cpu":
        return [cpu.run(given) for given in passes]
    results: list[Any] = [None] * len(passes)
    for places in _alike(passes):
        found = _gpu().run_many([passes[k] for k in places])
        for k, result in zip(places, found, strict=True):
            results[k] = result
    return results


def _loop(given: Pass) -> Result:
    arguments = given.core, given.x, given.weights, given.h, given.c
    return layer(*arguments, **given.options())


def _alike(passes: Sequence[Pass]) -> list[list[int]]:
    """Places of the passes that can run as one batch of models."""
    groups: dict[Any, list[int]] = {}
    for k, given in enumerate(passes):
        groups.setdefault(_gpu().step_of(given), []).append(k)
    return list(groups.values())


def _in_float32(given: Pass) -> Result:
    """Half precision goes in and comes out; the recurrence is worked out in float32.

    A state that is rounded to eight bits at each step would lose what a long memory
    adds up.
    """
    kind, draws = given.x.dtype, given.draws
    if draws is not None and draws.noise is not None:
        draws = replace(draws, noise=draws.noise.float())
    ih, hh, *biases = given.weights.all()
    b_ih, b_hh = (b if b is None else b.float() for b in biases)
    weights = Weights(ih.float(), hh.float(), b_ih, b_hh)
    x, h, c = (t.float() for t in (given.x, given.h, given.c))
    wide = replace(given, x=x, h=h, c=c, weights=weights, draws=draws)
    out, h, c = run(wide)
    return out.to(kind), h.to(kind), c.to(kind)
