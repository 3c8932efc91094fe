"""The arrays of one pass on the CPU, and the calls of the C code on them."""

import ctypes
import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gatebook.fused.cpu import threads
from gatebook.fused.cpu.arrays import pool
from gatebook.fused.cpu.build import Kernel
from gatebook.gates import CDetach
from gatebook.recurrence.cells import Core

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


LARGE = 8 * 2**20
"""Bytes of a recurrent weight from which threads work together on one copy of it."""


@dataclass(frozen=True)
class Setting:
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


Kept = tuple[Tensor, Tensor, Tensor, Tensor]
"""What the backward pass reads: the outputs of all steps, and the arrays P, R and C."""


class Work:
    """The arrays of one pass, and the calls of the C code on them.

    A backward pass gets those that the forward pass kept.
    """

    def __init__(
        self,
        setting: Setting,
        x: Tensor,
        w_hh: Tensor,
        h0: Tensor,
        c0: Tensor,
        kept: Kept | None = None,
    ):
        self.setting, self.code = setting, setting.kernel.code
        (self.steps, self.batch, self.features) = x.shape
        self.units = h0.shape[-1]
        self.dtype, self.chunk = x.dtype, max(2, 256 // self.batch)
        # Without a backward pass only the steps that are at hand are held.
        self.hold = self.steps
        if not setting.differentiable:
            self.hold = min(self.steps, self.chunk)
        self.width = w_hh.shape[0]
        self.spans = _spans(setting.core, setting.kernel)
        self.h0, self.c0 = h0, c0
        self.out: Tensor | None = None
        if kept is None:
            self._make_arrays(x)
        else:
            self.hs, self.p, self.r, self.cs = kept

    def _make_arrays(self, x: Tensor) -> None:
        apart = len(self.setting.kernel.apart) * self.units
        rows = self.hold * self.batch
        held = (self.hold, self.batch, self.units)
        self.p = pool.take((rows, self.width), x.dtype)
        self.r = pool.take((rows, apart), x.dtype)
        self.cs = pool.take((0,) if self.setting.core.tied else held, x.dtype)
        self.hs = x.new_empty((self.steps, self.batch, self.units))
        self.out = self.hs
        if self.setting.alive is not None:
            self.out = torch.empty_like(self.hs)

    def kept(self) -> Kept:
        """What the backward pass needs."""
        return self.hs, self.p, self.r, self.cs

    def release(self) -> None:
        """Give the large arrays back for the next pass."""
        for held in (self.p, self.r, self.cs):
            pool.give(held)

    def last(self) -> tuple[Tensor, Tensor]:
        """Copies of the last states."""
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
        entry = pool.take((self._panels_size(columns, depth),), self.dtype)
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
        pool.give(entry)
        pool.give(panels)

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
        dout: Tensor,
        dh: Tensor,
        dc: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Turn P into its gradient; returns the gradients of the first states."""
        panels = self._panels(w_hh, back=True)
        # Read and written by rows, whatever view the gradients are.
        rows = torch.contiguous_format
        dh, dc = (d.clone(memory_format=rows) for d in (dh, dc))
        through = pool.take((self.batch, self.units), self.dtype)
        dout = dout.contiguous()
        given = self._pass(back=panels, dout=dout, dh=dh, dc=dc, through=through)
        self._team("backward", given)
        pool.give(through)
        pool.give(panels)
        return dh, dc

    def input_gradient(self, x: Tensor, w_ih: Tensor) -> Tensor:
        """The input's gradient, dP W."""
        dx = torch.empty_like(x)
        self._product(self.p, w_ih.t(), dx.view(-1, x.shape[-1]))
        return dx

    def weight_gradient(self, x: Tensor) -> Tensor:
        """The input weight's gradient, dP' x."""
        return self._outer(self.p, x.reshape(-1, x.shape[-1]))

    def recurrent_gradient(self) -> Tensor:
        """The recurrent weight's gradient, dR' h_{t-1}; R is P but for blocks apart."""
        grad = self.hs.new_zeros(self.width, self.units)
        for own, apart in self.spans:
            source, place = self.p, own
            if apart >= 0:
                source, place = self.r, self._place(apart)
            rows = source.view(self.steps, self.batch, -1)[..., place]
            self._add_outer(rows[:1], self.h0[None], grad[own])
            self._add_outer(rows[1:], self.hs[:-1], grad[own])
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
        panels = pool.take((self._panels_size(columns, depth),), self.dtype)
        self._pack(w, panels, columns, depth)
        self._split(
            "project", _Product(*map(_at, (a, panels, out)), *w.shape, len(a)), len(a)
        )
        pool.give(panels)

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
        panels = pool.take((sum(sizes),), self.dtype)
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
        scratch = pool.take((parts, self._scratch_size()), self.dtype)
        meeting = threads.Meeting()
        given.scratch = _at(scratch)
        given.meeting = ctypes.addressof(meeting) if together else None
        given.held += [scratch, meeting]
        threads.split(self.code, way, given, parts, meeting)
        pool.give(scratch)

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
