"""Which way a pass takes: the fused scan of its device, or the reference loop."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.autograd import forward_ad

from gatebook.fused import operator, ways
from gatebook.fused.cpu.arrays import pool
from gatebook.recurrence.scan import Pass, Result, Weights

HALF = (torch.bfloat16, torch.float16)

_loop_only: ContextVar[bool] = ContextVar("loop_only", default=False)


@contextlib.contextmanager
def reference() -> Iterator[None]:
    """Run the reference loop inside this block, also where the fused scan could.

    For a second derivative, which the fused scan does not have, and for a graph of
    plain operations where a tool exports or traces the model. A graph keeps the way
    that was taken when it was made.

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


# A compiler cannot follow it, and takes what it says as the graph is made.
loop_only._dynamo_marked_constant = True  # type: ignore[attr-defined]


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

    It takes float32 and float64, and half precision and autocast by way of float32, on
    a CPU with a C compiler and on a GPU with Triton. Transforms of ``torch.func``,
    forward-mode derivatives and a CUDA graph that the caller records go to the loop.
    """
    if transformed() or loop_only():
        return False
    if given.x.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return False
    return ways.kernel_of(_float32(given) if _is_half(given) else given) is not None


def transformed() -> bool:
    """Whether derivatives are taken, or batches made, in a way that C does not know."""
    if forward_ad._current_level >= 0:
        return True
    return torch._C._functorch.peek_interpreter_stack() is not None


def watched() -> bool:
    """Whether something watches operations, which would not see any inside C."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._is_tracing()
    )


def _is_traced(given: Pass) -> bool:
    """Whether operations are watched, by a mode or by the tensors themselves."""
    return watched() or acts_by_itself(given.x) or acts_by_itself(given.weights.hh)


def acts_by_itself(tensor: Tensor) -> bool:
    """Whether it is no plain tensor, but handles operations, as a fake one does."""
    return type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__


def _for_onnx() -> bool:
    """Whether the graph will be ONNX, which knows torch's own operators only."""
    onnx = sys.modules.get("torch.onnx")  # an import would take a while
    return onnx is not None and onnx.is_in_onnx_export()


# Dynamo cannot follow it.
_for_onnx._dynamo_marked_constant = True  # type: ignore[attr-defined]


def autocasts(device: str) -> bool:
    """Whether autocast is on; of a meta device torch cannot even be asked."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def run(given: Pass) -> Result:
    """One layer in one direction; the results are those of `scan.layer`."""
    return run_many([given])[0]


def run_many(passes: Sequence[Pass]) -> list[Result]:
    """Several models, each as `run` would."""
    if len({(given.x.dtype, given.x.device) for given in passes}) > 1:
        return [run(given) for given in passes]
    if _is_precise(passes[0]):
        return _choose(passes)(passes)
    return [_in_float32(given, run) for given in passes]


def run_logged(given: Pass, log: dict[str, list[Tensor]]) -> Result:
    """One layer in the reference loop, which keeps its gates; the numbers are `run`'s.

    Arguments:
        given: the layer's tensors.
        log: gets the values of the gates at all steps, by name.
    """
    logged = partial(ways.loop, log=log)
    return logged(given) if _is_precise(given) else _in_float32(given, logged)


def _is_precise(given: Pass) -> bool:
    """Whether it is worked out in its own dtype."""
    kind = given.x.dtype
    cast = autocasts(given.x.device.type) and kind != torch.float64
    return not (cast or kind in HALF)


def _choose(passes: Sequence[Pass]) -> Callable[[Sequence[Pass]], list[Result]]:
    """The way for all of these passes."""
    if _is_traced(passes[0]):
        way = ways.loop if loop_only() or _for_onnx() else operator.run
    elif all(map(applies, passes)):
        return ways.fused
    else:
        way = ways.loop
    return lambda passes: [way(given) for given in passes]


def _is_half(given: Pass) -> bool:
    return given.x.dtype in HALF


def _result_type(given: Pass) -> torch.dtype:
    """That of torch's module: under autocast its own, but of a GRU on a CPU."""
    device = given.x.device.type
    if not autocasts(device):
        return given.x.dtype
    leaves = given.core.tied and device == "cpu"
    return given.weights.hh.dtype if leaves else torch.get_autocast_dtype(device)


def _in_float32(given: Pass, way: Callable[[Pass], Result]) -> Result:
    """Half precision goes in and comes out; the recurrence is worked out in float32.

    A state that is rounded to eight bits at each step would lose what a long memory
    adds up.
    """
    kind = _result_type(given)
    with _no_autocast(given.x.device.type):
        out, h, c = way(_float32(given))
    return out.to(kind), h.to(kind), c.to(kind)


def _no_autocast(device: str) -> contextlib.AbstractContextManager[object]:
    if not autocasts(device):
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def _float32(given: Pass) -> Pass:
    draws = given.draws
    if draws is not None and draws.noise is not None:
        draws = replace(draws, noise=draws.noise.float())
    ih, hh, *biases = given.weights.all()
    b_ih, b_hh = (b if b is None else b.float() for b in biases)
    weights = Weights(ih.float(), hh.float(), b_ih, b_hh)
    x, h, c = (t.float() for t in (given.x, given.h, given.c))
    return replace(given, x=x, h=h, c=c, weights=weights, draws=draws)
