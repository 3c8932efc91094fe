"""One step in evaluation: two products of torch's, and one call of C for the rest."""

import ctypes
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gatebook.fused.cpu.build import kernel
from gatebook.fused.trace import Options
from gatebook.recurrence.cells import Core
from gatebook.recurrence.scan import Weights

_SIZES, _ARRAYS = [ctypes.c_size_t] * 2, [ctypes.c_void_p] * 6


class Step:
    """The step of one core, laid out once for many calls.

    Arguments:
        core: its gate and its size.
        zoneout: probabilities (of c, of h), for the mean that evaluation takes.
        dtype: float32 or float64.

    Raises:
        Unprintable: when called, if the gate is not pointwise.
        NoCompiler: when called, if it cannot be compiled here.
    """

    def __init__(self, core: Core, zoneout: tuple[float, float], dtype: torch.dtype):
        self.core, self.zoneout, self.dtype = core, zoneout, dtype

    def __reduce__(self) -> tuple[Any, ...]:
        """Compiled code cannot be pickled or copied; a copy looks it up again."""
        return type(self), (self.core, self.zoneout, self.dtype)

    @cached_property
    def _code(self) -> Callable[..., int]:
        options = Options(training=False, zoneout=self.zoneout)
        code = kernel(self.core, options, self.dtype).code.step
        code.argtypes = _SIZES + _ARRAYS
        return code

    def __call__(
        self, weights: Weights, x: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The new h and c.

        Arguments:
            weights: one layer's.
            x: (B, I), or (I,) without a batch.
            h: (B, H), or (H,).
            c: the same; a GRU's is its h.
        """
        code, tied = self._code, self.core.tied
        h = h.contiguous()
        c = h if tied else c.contiguous()
        summed = F.linear(x, weights.ih, weights.bias_ih)
        rec = F.linear(h, weights.hh, weights.bias_hh)
        new_h = torch.empty_like(h)
        new_c = new_h if tied else torch.empty_like(c)
        arrays = (summed, rec, h, c, new_h, new_c)
        rows = len(h) if h.dim() == 2 else 1
        if code(rows, h.shape[-1], *[a.data_ptr() for a in arrays]):
            raise MemoryError("no memory for a step")
        return new_h, new_c
