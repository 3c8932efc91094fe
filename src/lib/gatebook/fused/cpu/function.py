"""The fused scan as a differentiable operation of PyTorch."""

import contextlib
import ctypes
import functools
import itertools
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from gatebook.fused.cpu import threads
from gatebook.fused.cpu.build import Kernel, NoCompiler, kernel
from gatebook.fused.once import once_only
from gatebook.fused.trace import Options, Unprintable
from gatebook.gates import CDetach
from gatebook.recurrence.cells import Core
from gatebook.recurrence.scan import Draws, Pass, Result, Weights

_POINTERS = (
    "x",
    "entry",
    "base",
    "p",
    "r",
    "panels",
    "back",
    "bias",
    "h0",
    "c0",
    "out",
    "hs",
    "cs",
)
_MASKS = ("noise", "keep_h", "keep_c", "alive", "blind_h", "blind_c")


class _Pass(ctypes.Structure):
    """`Pass` of kernel.c."""

    _fields_ = [
        ("T", ctypes.c_size_t),
        ("B", ctypes.c_size_t),
        ("I", ctypes.c_size_t),
        ("H", ctypes.c_size_t),
        ("chunk", ctypes.c_size_t),
        ("hold", ctypes.c_size_t),
        *((name, ctypes.c_void_p) for name in _POINTERS + _MASKS),
        ("blind_step", ctypes.c_size_t),
        ("blind_row", ctypes.c_size_t),
        *((name, ctypes.c_void_p) for name in ("dout", "dh", "dc", "through")),
        *((name, ctypes.c_void_p) for name in ("scratch", "meeting")),
    ]


class _Product(ctypes.Structure):
    """`Product` of kernel.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("a", "panels", "c")),
        *((name, ctypes.c_size_t) for name in ("columns", "depth", "rows")),
    ]


class _Outer(ctypes.Structure):
    """`Outer` of kernel.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in "abc"),
        *((name, ctypes.c_size_t) for name in ("lda", "ldb", "ldc", "M", "N", "depth")),
    ]


HALF = (torch.bfloat16, torch.float16)

LARGE = 8 * 2**20
"""Bytes of a recurrent weight from which threads work together on one copy of it."""

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


def applies(core: Core, x: Tensor, weights: Weights) -> bool:
    """Whether the fused scan can take this pass; else the reference loop does.

    It takes float32 and float64, and half precision by way of float32, on a CPU with
    a C compiler and on a GPU with Triton. Autocast, the transforms of ``torch.func``
    and a CUDA graph that the caller records go to the loop.
    """
    if _loop_only.get() or x.device.type not in ("cpu", "cuda"):
        return False
    if x.dtype != weights.hh.dtype or torch.is_autocast_enabled(x.device.type):
        return False
    if x.dtype not in (torch.float32, torch.float64, *HALF) or 0 in x.shape:
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    if x.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return False
    return _compiles(core, x)


def _compiles(core: Core, x: Tensor) -> bool:
    evaluation = Options(training=False)
    try:
        if x.device.type == "cuda":
            _gpu().kernel(core, evaluation)
        else:
            kernel(core, evaluation, torch.float32 if x.dtype in HALF else x.dtype)
    except Unprintable:
        return False
    except NoCompiler as error:
        _tell(str(error))
        return False
    return True


def _gpu() -> ModuleType:
    from gatebook.fused.gpu import function as gpu  # a CPU has no use for it

    return gpu


@functools.cache
def _tell(reason: str) -> None:
    """Warn once that the loop is slower."""
    warnings.warn(
        f"the reference loop runs, several times slower than the fused scan: {reason}",
        stacklevel=6,
    )


def run(
    core: Core,
    x: Tensor,
    weights: Weights,
    h: Tensor,
    c: Tensor,
    *,
    draws: Draws | None = None,
    alive: Tensor | None = None,
    zoneout: tuple[float, float] = (0.0, 0.0),
) -> Result:
    """One layer in one direction; arguments and results as `scan.layer`."""
    return run_many([Pass(core, x, weights, h, c, draws, alive, zoneout)])[0]


def run_many(passes: Sequence[Pass]) -> list[Result]:
    """Several models, each as `run` would.

    On a GPU those with the same step and shapes run as one batch of models; on a CPU
    one after the other, since one fills its cores.
    """
    if passes[0].x.dtype in HALF:
        return [_in_float32(given) for given in passes]
    if passes[0].x.device.type == "cpu":
        return [_run(given) for given in passes]
    results: list[Any] = [None] * len(passes)
    for places in _alike(passes):
        found = _gpu().run_many([passes[k] for k in places])
        for k, result in zip(places, found, strict=True):
            results[k] = result
    return results


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
    out, h, c = run_many([wide])[0]
    return out.to(kind), h.to(kind), c.to(kind)


def _run(given: Pass) -> Result:
    """One pass on the CPU."""
    core, x, draws = given.core, given.x, given.draws or Draws()
    noise = None if draws.noise is None else draws.noise.contiguous()
    tensors = (x, *given.weights.all(), given.h, given.c)
    setting = _Setting(
        core,
        kernel(core, options_of(given), x.dtype),
        torch.is_grad_enabled()
        and any(t is not None and t.requires_grad for t in tensors),
        _mask(draws.keep_h),
        _mask(draws.keep_c),
        _mask(given.alive),
        noise,
        _mask(draws.detached),
    )
    return _Scan.apply(setting, *(t if t is None else t.contiguous() for t in tensors))


def options_of(given: Pass) -> Options:
    """What the step of a pass has to read."""
    draws = given.draws or Draws()
    return Options(
        noise=draws.noise is not None,
        keep_h=draws.keep_h is not None,
        keep_c=draws.keep_c is not None,
        alive=given.alive is not None,
        training=given.draws is not None,
        zoneout=given.zoneout,
    )


def _mask(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.contiguous().view(torch.uint8)


@dataclass(frozen=True)
class _Setting:
    """What a pass needs that has no gradient."""

    core: Core
    kernel: Kernel
    differentiable: bool
    keep_h: Tensor | None
    keep_c: Tensor | None
    alive: Tensor | None
    noise: Tensor | None
    detached: Tensor | None

    def blind(self) -> dict[str, Any]:
        """Where the gradient is blocked, and the strides of that mask."""
        if self.detached is None:
            return {}
        of_c = isinstance(self.core.gate.gradient, CDetach)
        step, row = (self.detached.shape[1], 1) if self.detached.dim() == 2 else (1, 0)
        mask = {"blind_c" if of_c else "blind_h": self.detached}
        return mask | {"blind_step": step, "blind_row": row}


class _Scan(torch.autograd.Function):
    """Projection and recurrence of one layer in one direction."""

    @staticmethod
    def forward(ctx, setting, x, w_ih, w_hh, b_ih, b_hh, h0, c0):
        work = _Work(setting, x, w_hh, h0, c0)
        work.forward(x, w_ih, w_hh, b_ih, b_hh)
        ctx.work, ctx.setting, ctx.tied = work, setting, setting.core.tied
        ctx.save_for_backward(x, w_ih, w_hh, b_ih, b_hh, h0, c0, work.hs)
        results = (work.out, *work.last())
        work.forget()
        if not setting.differentiable:
            work.release()
        return results

    @staticmethod
    @once_only
    def backward(ctx, dout, dh, dc):
        x, w_ih, w_hh, b_ih, b_hh, h0, c0, hs = ctx.saved_tensors
        work, ctx.work = ctx.work, None
        if work is None:  # a retained graph: what the first pass used up is made again
            work = _Work(ctx.setting, x, w_hh, h0, c0)
            work.forward(x, w_ih, w_hh, b_ih, b_hh)
        needs = dict(zip(_INPUTS, ctx.needs_input_grad[1:], strict=True))
        dh, dc = work.backward(w_hh, hs, h0, c0, dout, dh + dc if ctx.tied else dh, dc)
        grads = {
            "x": lambda: work.input_gradient(x, w_ih),
            "w_ih": lambda: work.weight_gradient(x),
            "w_hh": lambda: work.recurrent_gradient(hs, h0),
            "b_ih": lambda: work.bias_gradient(recurrent=False),
            "b_hh": lambda: work.bias_gradient(recurrent=True),
            "h0": lambda: dh,
            "c0": lambda: None if ctx.tied else dc,
        }
        made = [grads[name]() if needs[name] else None for name in _INPUTS]
        work.release()
        return None, *made


_INPUTS = ("x", "w_ih", "w_hh", "b_ih", "b_hh", "h0", "c0")


class _Work:
    """The arrays of one pass, and the calls of the C code on them."""

    def __init__(
        self, setting: _Setting, x: Tensor, w_hh: Tensor, h0: Tensor, c0: Tensor
    ):
        self.setting, self.code = setting, setting.kernel.code
        (self.steps, self.batch, self.features) = x.shape
        self.units = h0.shape[-1]
        self.dtype, self.chunk = x.dtype, max(2, 256 // self.batch)
        # Without a backward pass only the steps that are at hand are held.
        self.hold = self.steps
        if not setting.differentiable:
            self.hold = min(self.steps, self.chunk)
        rows = self.hold * self.batch
        self.width, apart = w_hh.shape[0], len(setting.kernel.apart) * self.units
        self.spans = _spans(setting.core, setting.kernel)
        self.p = buffers.take((rows, self.width), x.dtype)
        self.r = buffers.take((rows, apart), x.dtype)
        state = (self.steps, self.batch, self.units)
        tied = setting.core.tied
        held = (self.hold, self.batch, self.units)
        self.cs = buffers.take((0,) if tied else held, x.dtype)
        self.hs: Tensor | None = x.new_empty(state)
        self.out: Tensor | None = self.hs
        if setting.alive is not None:
            self.out = x.new_empty(state)
        self.h0: Tensor | None = h0
        self.c0: Tensor | None = c0

    def forget(self) -> None:
        """Drop what autograd keeps: a result that held itself would never be freed."""
        self.out = self.hs = self.h0 = self.c0 = None

    def release(self) -> None:
        """Give the large arrays back for the next pass."""
        for held in (self.p, self.r, self.cs):
            buffers.give(held)

    def last(self) -> tuple[Tensor, Tensor]:
        """Copies of the last states."""
        assert self.hs is not None
        h = self.hs[-1].clone()
        return h, h.clone() if self.setting.core.tied else self._last_c().clone()

    def _last_c(self) -> Tensor:
        return self.cs[(self.steps - 1) % self.hold]

    # -- forward -----------------------------------------------------------

    def forward(
        self,
        x: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None,
        b_hh: Tensor | None,
    ) -> None:
        """Run over time; every thread takes some sequences of the batch."""
        columns, depth = w_ih.shape
        entry = buffers.take((self._panels_size(columns, depth),), self.dtype)
        self._pack(w_ih, entry, columns, depth)
        panels = self._panels(w_hh, back=False)
        given = self._pass(
            x=x,
            entry=entry,
            base=self._base(b_ih, b_hh),
            panels=panels,
            bias=self._apart_bias(b_hh),
        )
        self._team("forward", given)
        buffers.give(entry)
        buffers.give(panels)

    def _base(self, b_ih: Tensor | None, b_hh: Tensor | None) -> Tensor | None:
        """The input's bias, and the recurrent one where the sum is kept."""
        bias = None if b_ih is None else b_ih.detach().clone()
        if b_hh is not None:
            bias = b_hh.new_zeros(self.width) if bias is None else bias
            for own, apart in self.spans:
                if apart < 0:
                    bias[own] += b_hh.detach()[own]
        return bias

    # -- backward ----------------------------------------------------------

    def backward(
        self,
        w_hh: Tensor,
        hs: Tensor,
        h0: Tensor,
        c0: Tensor,
        dout: Tensor,
        dh: Tensor,
        dc: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Turn P into its gradient; returns the gradients of the first states."""
        self.hs, self.h0, self.c0 = hs, h0, c0
        panels = self._panels(w_hh, back=True)
        # Read and written by rows, whatever view the gradients are.
        rows = torch.contiguous_format
        dh, dc = (d.clone(memory_format=rows) for d in (dh, dc))
        through = buffers.take((self.batch, self.units), self.dtype)
        dout = dout.contiguous()
        given = self._pass(back=panels, dout=dout, dh=dh, dc=dc, through=through)
        self._team("backward", given)
        buffers.give(through)
        buffers.give(panels)
        return dh, dc

    def input_gradient(self, x: Tensor, w_ih: Tensor) -> Tensor:
        """The input's gradient, dP W."""
        dx = torch.empty_like(x)
        self._product(self.p, w_ih.t(), dx.view(-1, x.shape[-1]))
        return dx

    def weight_gradient(self, x: Tensor) -> Tensor:
        """The input weight's gradient, dP' x."""
        return self._outer(self.p, x.reshape(-1, x.shape[-1]))

    def recurrent_gradient(self, hs: Tensor, h0: Tensor) -> Tensor:
        """The recurrent weight's gradient, dR' h_{t-1}; R is P but for blocks apart."""
        grad = hs.new_zeros(self.width, self.units)
        for own, apart in self.spans:
            source, place = self.p, own
            if apart >= 0:
                source, place = self.r, self._place(apart)
            rows = source.view(self.steps, self.batch, -1)[..., place]
            self._add_outer(rows[:1], h0[None], grad[own])
            self._add_outer(rows[1:], hs[:-1], grad[own])
        return grad

    def bias_gradient(self, recurrent: bool) -> Tensor:
        """The sum of dP over steps and batch, or that of dR."""
        grad = self.p.sum(0)
        for own, apart in self.spans:
            if recurrent and apart >= 0:
                grad[own] = self.r[:, self._place(apart)].sum(0)
        return grad

    def _place(self, apart: int) -> slice:
        """Columns of R that belong to a block kept apart."""
        return slice(apart * self.units, (apart + 1) * self.units)

    # -- calls -------------------------------------------------------------

    def _product(self, a: Tensor, w: Tensor, out: Tensor) -> None:
        columns, depth = w.shape
        panels = buffers.take((self._panels_size(columns, depth),), self.dtype)
        self._pack(w, panels, columns, depth)
        self._split(
            "project", _Product(*map(_at, (a, panels, out)), *w.shape, len(a)), len(a)
        )
        buffers.give(panels)

    def _outer(self, a: Tensor, b: Tensor) -> Tensor:
        grad = a.new_zeros(a.shape[-1], b.shape[-1])
        self._add_outer(a[None], b[None], grad)
        return grad

    def _add_outer(self, a: Tensor, b: Tensor, grad: Tensor) -> None:
        """Add a' b, summed over all rows; a may be some columns of an array."""
        (m, n), depth = grad.shape, a.shape[0] * a.shape[1]
        sizes = (a.stride(-2), n, n, m, n, depth)
        self._split("outer", _Outer(*map(_at, (a, b, grad)), *sizes), m)

    def _panels(self, w_hh: Tensor, back: bool) -> Tensor:
        """The recurrent weight packed for one way, run by run."""
        h = self.units
        widths = [own.stop - own.start for own, _ in self.spans]
        shapes = [(h, n) if back else (n, h) for n in widths]
        sizes = [self._panels_size(*shape) for shape in shapes]
        panels = buffers.take((sum(sizes),), self.dtype)
        start = 0
        for (own, _), shape, size in zip(self.spans, shapes, sizes, strict=True):
            rows = w_hh.detach()[own]
            self._pack(rows.t() if back else rows, panels[start:], *shape)
            start += size
        return panels

    def _panels_size(self, columns: int, depth: int) -> int:
        return self.code.panels_size(*_sizes(columns, depth))

    def _pack(self, w: Tensor, panels: Tensor, columns: int, depth: int) -> None:
        strides = _sizes(w.stride(0), w.stride(1))
        self.code.pack(_at(w), *strides, _at(panels), *_sizes(columns, depth))

    def _apart_bias(self, b_hh: Tensor | None) -> Tensor | None:
        own = [
            b_hh.detach()[s]
            for s, apart in self.spans
            if apart >= 0 and b_hh is not None
        ]
        return torch.cat(own) if own else None

    def _pass(self, **extra: Tensor | None) -> _Pass:
        s = self.setting
        arrays = {
            "p": self.p,
            "r": self.r,
            "h0": self.h0,
            "c0": self.c0,
            "out": self.out,
            "hs": self.hs,
            "cs": self.cs,
            "noise": s.noise,
            "keep_h": s.keep_h,
            "keep_c": s.keep_c,
            "alive": s.alive,
            **extra,
        }
        blind = s.blind()
        numbers = {k: v for k, v in blind.items() if isinstance(v, int)}
        arrays |= {k: v for k, v in blind.items() if isinstance(v, Tensor)}
        sizes = {"T": self.steps, "B": self.batch, "I": self.features}
        made = _Pass(**sizes, H=self.units, chunk=self.chunk, hold=self.hold, **numbers)
        for name, array in arrays.items():
            setattr(made, name, _at(array))
        made.held = [t for t in arrays.values() if t is not None]
        return made

    def _team(self, way: str, given: _Pass) -> None:
        """Run one way over time on all threads, apart or together; see kernel.c."""
        parts = torch.get_num_threads()
        together = parts > 1 and (self._large() or self.batch < parts)
        parts = parts if together else min(parts, self.batch)
        scratch = buffers.take((parts, self._scratch_size()), self.dtype)
        meeting = threads.Meeting()
        given.scratch = _at(scratch)
        given.meeting = ctypes.addressof(meeting) if together else None
        given.held += [scratch, meeting]
        threads.split(self.code, way, given, parts, meeting)
        buffers.give(scratch)

    def _large(self) -> bool:
        """Whether the recurrent weight is too large for each thread to read it all."""
        return self.width * self.units * self.dtype.itemsize > LARGE

    def _scratch_size(self) -> int:
        return self.code.scratch_size(*_sizes(self.units))

    def _split(self, name: str, what: ctypes.Structure, most: int) -> None:
        """A product's rows, at most so many, over the threads."""
        parts = max(1, min(torch.get_num_threads(), most))
        threads.split(self.code, name, what, parts, threads.Meeting())


def _spans(core: Core, made: Kernel) -> list[tuple[slice, int]]:
    """Rows of the weights that each run covers, and its place apart or -1."""
    ends = [0, *itertools.accumulate(core.blocks().values())]
    return [(slice(ends[k], ends[k + n]), apart) for k, n, apart in made.runs]


def _sizes(*values: int) -> list[ctypes.c_size_t]:
    return [ctypes.c_size_t(v) for v in values]


def _at(array: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(0 if array is None else array.data_ptr())


class _Buffers:
    """Large arrays that are used again.

    The C library hands a large array back to the system when it is freed, and every
    page of the next one is then filled anew; that takes as long as the arithmetic.
    """

    def __init__(self, most: int = 8):
        self.most, self.lock = most, threading.Lock()
        self.free: dict[tuple[Any, ...], list[Tensor]] = {}

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An array with any content."""
        with self.lock:
            waiting = self.free.get((shape, dtype))
            if waiting:
                return waiting.pop()
        return torch.empty(shape, dtype=dtype)

    def give(self, array: Tensor) -> None:
        """Keep an array for later, or drop it where many wait already."""
        with self.lock:
            if sum(map(len, self.free.values())) >= self.most:
                self.free.pop(next(iter(self.free)))
            key = (tuple(array.shape), array.dtype)
            self.free.setdefault(key, []).append(array)


buffers = _Buffers()
