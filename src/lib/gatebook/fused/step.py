"""One step in evaluation: two products of torch's, and one call of C for the rest.

For those who have one step at a time, as in a stream. A whole sequence is a matter
for the fused scan, and so is a step with a gradient.
"""

import ctypes
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gatebook.fused.cache import NoCompiler
from gatebook.fused.cpu.build import kernel
from gatebook.fused.dispatch import loop_only, transformed, watched
from gatebook.fused.trace import Options, Unprintable
from gatebook.recurrence.cells import Core
from gatebook.recurrence.scan import Weights

_KINDS = (torch.float32, torch.float64)
_TYPES: Any = (*[ctypes.c_size_t] * 2, *[ctypes.c_void_p] * 6)


class Step:
    """The step of one core, laid out once for many calls.

    Arguments:
        core: its gate and its size.
        zoneout: probabilities (of c, of h), for the mean that evaluation takes.
        dtype: float32 or float64.
    """

    def __init__(self, core: Core, zoneout: tuple[float, float], dtype: torch.dtype):
        self.core, self.zoneout, self.dtype = core, zoneout, dtype
        self.width = sum(core.blocks().values())

    def __reduce__(self) -> tuple[Any, ...]:
        """Compiled code cannot be pickled or copied; a copy looks it up again."""
        return type(self), (self.core, self.zoneout, self.dtype)

    @cached_property
    def code(self) -> Callable[..., int] | None:
        """``step`` of kernel.c; ``None`` where it cannot be made."""
        if not self.core.one_product:
            return None
        options = Options(training=False, zoneout=self.zoneout)
        try:
            made = kernel(self.core, options, self.dtype).code.step
        except (Unprintable, NoCompiler):
            return None
        made.argtypes = _TYPES
        return made

    def applies(self, weights: Weights, x: Tensor, h: Tensor, c: Tensor) -> bool:
        """Whether the numbers can be read where they lie, and no gradient is asked."""
        if type(x) is not Tensor or not x.is_cpu or x.dtype not in _KINDS:
            return False
        if torch.is_grad_enabled():
            tensors = (x, h, c, *weights.all())
            if any(t is not None and t.requires_grad for t in tensors):
                return False
        return not (_traced() or loop_only()) and self.code is not None

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
        code, tied = self.code, self.core.tied
        assert code is not None, "ask `applies` first"
        h = h.contiguous()
        c = h if tied else c.contiguous()
        summed = F.linear(x, weights.ih, weights.bias_ih)
        rec = F.linear(h, weights.hh, weights.bias_hh)
        if not summed.shape[-1] == rec.shape[-1] == self.width:
            raise ValueError(
                f"the weights have {summed.shape[-1]} and {rec.shape[-1]} rows; "
                f"allowed: {self.width}"
            )
        new_h = torch.empty_like(h)
        new_c = new_h if tied else torch.empty_like(c)
        arrays = (summed, rec, h, c, new_h, new_c)
        rows = len(h) if h.dim() == 2 else 1
        if code(rows, h.shape[-1], *[a.data_ptr() for a in arrays]):
            raise MemoryError("no memory for a step")
        return new_h, new_c


def _traced() -> bool:
    """Whether something stands between the operations and the numbers."""
    return watched() or transformed() or torch.is_autocast_enabled("cpu")
