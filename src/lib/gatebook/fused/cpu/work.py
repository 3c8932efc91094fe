"""The arrays of one pass on the CPU, and the calls of the C code on them."""

import ctypes
import functools
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from gatebook.fused.cpu import threads
from gatebook.fused.cpu.arrays import pool
from gatebook.fused.cpu.build import Kernel
from gatebook.gates import CDetach
from gatebook.recurrence.cells import Core

_SIZES = ("T", "B", "I", "H", "chunk", "hold")
_POINTERS = (
    *("x", "w_ih", "w_hh", "b_ih", "b_hh", "entry", "p", "r", "panels", "back"),
    *("h0", "c0", "h_n", "c_n", "out", "hs", "cs"),
    *("noise", "keep_h", "keep_c", "alive", "blind_h", "blind_c"),
)


FIELDS = (
    *_SIZES,
    *_POINTERS,
    *("blind_step", "blind_row"),
    *("dout", "dh", "dc", "through", "scratch", "meeting"),
)
"""The names in `Pass` of kernel.c, in order: all sizes and pointers."""

_NUMBERS = (*_SIZES, "blind_step", "blind_row")


class _Pass(ctypes.Structure):
    """`Pass` of kernel.c."""

    _fields_ = [
        (name, ctypes.c_size_t if name in _NUMBERS else ctypes.c_void_p)
        for name in FIELDS
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

MEETING = 2**17
"""Multiplications that a step must have for each thread, for threads to meet in it."""

FEW = 8
"""Reads of a weight up to which a plain one serves, since packing takes longer."""


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

    def blind(self) -> str:
        """The name in `_Pass` of the mask that blocks the gradient."""
        of_c = isinstance(self.core.gate.gradient, CDetach)
        return "blind_c" if of_c else "blind_h"


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
        self.h_n: Tensor | None = None
        self.c_n: Tensor | None = None
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
        self.h_n = x.new_empty(held[1:])
        self.c_n = None if self.setting.core.tied else torch.empty_like(self.h_n)
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
        """The last states."""
        assert self.h_n is not None
        return self.h_n, self.h_n.clone() if self.c_n is None else self.c_n

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
        # Four rows of a batch share a read, see `thin` in kernel.c.
        code, packed = self.code, self.steps * -(-self.batch // 4) > FEW
        self._run(
            "forward",
            x=x,
            w_ih=w_ih,
            w_hh=w_hh,
            b_ih=b_ih,
            b_hh=b_hh,
            entry=self._room(code.entry_size(self.features, self.units), packed),
            panels=self._room(code.recurrent_size(self.units), packed),
        )

    # -- backward ----------------------------------------------------------

    def backward(
        self,
        w_hh: Tensor,
        dout: Tensor,
        dh: Tensor,
        dc: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Turn P into its gradient; returns the gradients of the first states."""
        packed = self.steps > FEW
        # Read and written by rows, whatever view the gradients are.
        rows = torch.contiguous_format
        dh, dc = (d.clone(memory_format=rows) for d in (dh, dc))
        self._run(
            "backward",
            w_hh=w_hh,
            back=self._room(self.code.back_size(self.units), packed),
            dout=dout.contiguous(),
            dh=dh,
            dc=dc,
            through=pool.take((self.batch, self.units), self.dtype),
        )
        return dh, dc

    def _room(self, size: int, packed: bool) -> Tensor | None:
        """An array for a packed weight."""
        return pool.take((size,), self.dtype) if packed else None

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
        grad = self._summed.clone()
        for own, apart in self.spans:
            if recurrent and apart >= 0:
                grad[own] = self.r[:, self._place(apart)].sum(0)
        return grad

    @functools.cached_property
    def _summed(self) -> Tensor:
        """The sum of dP over steps and batch, taken once for both biases."""
        return self.p.sum(0)

    def _place(self, apart: int) -> slice:
        """Columns of R that belong to a block kept apart."""
        return slice(apart * self.units, (apart + 1) * self.units)

    # -- calls -------------------------------------------------------------

    def _product(self, a: Tensor, w: Tensor, out: Tensor) -> None:
        columns, depth = w.shape
        panels = pool.take((self.code.panels_size(columns, depth),), self.dtype)
        self.code.pack(_at(w), *w.stride(), _at(panels), columns, depth)
        given = _Product(*map(_at, (a, panels, out)), columns, depth, len(a))
        self._split("project", given, len(a), len(a) * columns * depth)
        pool.give(panels)

    def _outer(self, a: Tensor, b: Tensor) -> Tensor:
        grad = a.new_zeros(a.shape[-1], b.shape[-1])
        self._add_outer(a[None], b[None], grad)
        return grad

    def _add_outer(self, a: Tensor, b: Tensor, grad: Tensor) -> None:
        """Add a' b, summed over all rows; a may be some columns of an array."""
        (m, n), depth = grad.shape, a.shape[0] * a.shape[1]
        sizes = (a.stride(-2), n, n, m, n, depth)
        given = _Outer(*map(_at, (a, b, grad)), *sizes)
        self._split("outer", given, m, m * n * depth)

    def _run(self, way: str, **extra: Tensor | None) -> None:
        """Pack the weights and run one way over time; see kernel.c."""
        given = self._pass(extra)
        packed = [extra[name] for name in ("entry", "panels", "back") if name in extra]
        if any(array is not None for array in packed):
            self._split("ready", given, self.width, self.width * self.units)
        self._team(way, given)
        for array in (*packed, extra.get("through")):
            if array is not None:
                pool.give(array)

    def _pass(self, extra: dict[str, Tensor | None]) -> _Pass:
        s = self.setting
        arrays = {
            **{name: getattr(self, name) for name in _OWN},
            **{name: getattr(s, name) for name in _GIVEN},
            **extra,
        }
        if s.detached is not None:
            arrays[s.blind()] = s.detached
        sizes = (self.steps, self.batch, self.features, self.units)
        made = _Pass(*sizes, self.chunk, self.hold)
        for name, array in arrays.items():
            if array is not None:
                setattr(made, name, array.data_ptr())
        if s.detached is not None and s.detached.dim() == 2:
            made.blind_row = 1
        made.blind_step = self.batch if made.blind_row else 1
        made.held = arrays  # a pointer keeps nothing alive
        return made

    def _team(self, way: str, given: _Pass) -> None:
        """Run one way over time on all threads, apart or together; see kernel.c."""
        step = self.batch * self.width * self.units
        parts = threads.number(step * self.steps)
        together = self._large() or self.batch < parts
        if together and step < MEETING * parts:
            together, parts = False, 1
        parts = parts if together else min(parts, self.batch)
        size = self.code.scratch_size(self.units)
        scratch = pool.take((parts, size), self.dtype) if size else None
        given.scratch = None if scratch is None else scratch.data_ptr()
        meeting = threads.Meeting() if together and parts > 1 else None
        given.meeting = None if meeting is None else ctypes.addressof(meeting)
        threads.split(self.code, way, given, parts, meeting)
        if scratch is not None:
            pool.give(scratch)

    def _large(self) -> bool:
        """Whether the recurrent weight is too large for each thread to read it all."""
        return self.width * self.units * self.dtype.itemsize > LARGE

    def _split(self, name: str, what: ctypes.Structure, most: int, work: int) -> None:
        """A product's rows, at most ``most`` parts, over the threads.

        Arguments:
            name: the function of the C code.
            what: its argument.
            most: parts that there can be.
            work: its multiplications.
        """
        parts = min(threads.number(work), most)
        threads.split(self.code, name, what, parts)


_OWN = ("p", "r", "h0", "c0", "h_n", "c_n", "out", "hs", "cs")
_GIVEN = ("noise", "keep_h", "keep_c", "alive")


def _spans(core: Core, made: Kernel) -> list[tuple[slice, int]]:
    """Rows of the weights that each run covers, and its place apart or -1."""
    ends = [0, *itertools.accumulate(core.blocks().values())]
    return [(slice(ends[k], ends[k + n]), apart) for k, n, apart in made.runs]


def _at(array: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(0 if array is None else array.data_ptr())
