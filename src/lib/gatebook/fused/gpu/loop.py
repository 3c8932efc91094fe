"""The loop over time on a GPU: one product and one kernel per step, as a graph.

All steps of a pass go to the GPU at once: its second run records them as a CUDA graph,
which later runs replay. What is random enters through tensors, so one graph serves
all draws.

In the kernel's arrays every block has H columns. A master gate's values are repeated,
and a block kept apart is two blocks: one that the input feeds, one that h feeds. Each
array begins with an axis of K models, which run side by side.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gatebook.fused.gpu.build import kernel
from gatebook.fused.trace import Options
from gatebook.recurrence.cells import Core, noise_blocks


@dataclass(frozen=True)
class Shape:
    """What two passes must share to run in the same arrays, on the same stream."""

    core: Core
    options: Options
    models: int
    steps: int
    batch: int
    dtype: torch.dtype
    device: torch.device
    stream: int


class Loop:
    """The arrays of one pass and its two loops over time.

    ``p`` (K, T, B, W) holds the pre-activations, and after the backward loop their
    gradient; ``hs`` and ``cs`` (K, T + 1, B, H) the states from the first on.
    """

    def __init__(self, shape: Shape):
        self.shape, self.kernel = shape, kernel(shape.core, shape.options)
        k, t, b, h = shape.models, shape.steps, shape.batch, shape.core.hidden_size
        o, tied, width = shape.options, shape.core.tied, self.kernel.blocks * h
        make, masks = self._array, {"dtype": torch.uint8}
        self.p, self.w = make(k, t, b, width), make(k, width, h)
        self.hs = make(k, t + 1, b, h)
        self.cs = self.hs if tied else make(k, t + 1, b, h)
        self.out = make(k, t, b, h) if o.alive else self.hs[:, 1:]
        n = len(noise_blocks(shape.core)) if o.noise else 0
        self.noise = make(k, t, b, n * h)
        self.keep_h = make(k, t * o.keep_h, b, h, **masks)
        self.keep_c = make(k, t * o.keep_c, b, h, **masks)
        self.alive = make(k, t * o.alive, b, **masks)
        self.sees_h, self.sees_c = (make(k, t + 1, b, **masks) for _ in range(2))
        self.dout = make(k, t, b, h)
        self.dh, self.dc, self.through = (make(k, b, h) for _ in range(3))
        self.recorded = {name: Recorded() for name in ("forward", "backward")}

    def _array(self, *sizes: int, dtype: torch.dtype | None = None) -> Tensor:
        kind = dtype or self.shape.dtype
        # One of inference mode could not be written by a later pass outside of it.
        with torch.inference_mode(False):
            return torch.empty(sizes, dtype=kind, device=self.shape.device)

    def load(
        self,
        given: dict[str, Tensor | None],
        x: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        bias: Tensor | None,
        h0: Tensor,
        c0: Tensor,
    ) -> None:
        """Fill the arrays for the forward loop; P = x W' + b."""
        x, p, w = x.flatten(1, 2), self.p.flatten(1, 2), w_ih.transpose(1, 2)
        if bias is None:
            torch.bmm(x, w, out=p)
        else:
            torch.baddbmm(bias[:, None], x, w, out=p)
        self.w.copy_(w_hh)
        self.cs[:, 0].copy_(c0)
        self.hs[:, 0].copy_(h0)  # last, since a GRU's two states are one
        for name, value in given.items():
            if value is not None:
                array = getattr(self, name)[:, : self.shape.steps]
                array.copy_(value, non_blocking=True)
            elif name in ("sees_h", "sees_c"):
                getattr(self, name).fill_(1)

    def run_forward(self) -> None:
        """States and outputs of all steps."""
        self.recorded["forward"].run(self._forward, self.shape.device)

    def run_backward(self) -> None:
        """Gradients of all steps; ``dout``, ``dh`` and ``dc`` hold those that come."""
        self.recorded["backward"].run(self._backward, self.shape.device)

    def _launch(self, step: Any, *arrays: Tensor) -> Callable[[int], None]:
        """The kernel ``step`` on these arrays, to be called with the time."""
        s, units = self.shape, self.shape.core.hidden_size
        block = 1 << (units - 1).bit_length()
        block = block if self.kernel.whole_rows else min(block, 256)
        grid = s.models * s.batch, -(-units // block)
        sizes, warps = (s.steps, s.batch, units), max(4, min(16, block // 128))
        return lambda t: step[grid](*arrays, t, *sizes, BLOCK=block, num_warps=warps)

    def _forward(self) -> None:
        masks = self.noise, self.keep_h, self.keep_c, self.alive
        states = self.p, self.hs, self.cs, self.out
        step = self._launch(self.kernel.module.forward, *states, *masks)
        w = self.w.transpose(1, 2)
        for t in range(self.shape.steps):
            self.p[:, t].baddbmm_(self.hs[:, t], w)
            step(t)

    def _backward(self) -> None:
        masks = self.noise, self.keep_h, self.keep_c, self.alive
        arrays = self.p, self.hs, self.cs, *masks, self.sees_h, self.sees_c
        grads = self.dout, self.dh, self.dc, self.through
        step = self._launch(self.kernel.module.backward, *arrays, *grads)
        self.through.zero_()
        for t in reversed(range(self.shape.steps)):
            step(t)
            torch.bmm(self.p[:, t], self.w, out=self.through)

    def gradients(
        self, x: Tensor, w_ih: Tensor
    ) -> dict[str, Callable[[], Tensor | None]]:
        """Each input's gradient after the backward loop, made when asked for."""
        dp = self.p.flatten(1, 2)
        of_weight = dp.transpose(1, 2)
        seen = self.sees_h[:, 0, :, None] != 0
        return {
            "x": lambda: torch.bmm(dp, w_ih).view(x.shape),
            "w_ih": lambda: torch.bmm(of_weight, x.flatten(1, 2)),
            "w_hh": lambda: torch.bmm(of_weight, self.hs[:, :-1].flatten(1, 2)),
            "bias": lambda: dp.sum(1),
            "h0": lambda: self.dh + torch.where(seen, self.through, 0),
            "c0": lambda: None if self.shape.core.tied else self.dc.clone(),
        }


class Recorded:
    """Work on fixed arrays: the second run records it, and later ones replay it.

    The first run compiles the kernels, which is not allowed while recording. The work
    is not kept: a loop that refers to itself would hold its memory for too long.
    """

    def __init__(self) -> None:
        self.ran = False
        self.graph: torch.cuda.CUDAGraph | None = None

    def run(self, work: Callable[[], None], device: torch.device) -> None:
        """Do the work, which must be the same each time."""
        if device.type != "cuda" or not self.ran:
            work()
            self.ran = True
            return
        if self.graph is None:
            graph = torch.cuda.CUDAGraph()
            # Other threads, such as a data loader's, may go on meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                work()
            self.graph = graph
        self.graph.replay()


class Loops:
    """Loops that wait to be used again, the ones used longest ago dropped first.

    A collected lease may give its loop back at any moment, so there is no lock;
    appending to a list and removing from it are single operations.
    """

    def __init__(self, most: int = 8):
        self.most = most
        self.free: list[Loop] = []

    def take(self, shape: Shape) -> "Lease":
        """A loop of this shape with any content."""
        for loop in reversed(tuple(self.free)):
            if loop.shape == shape:
                with contextlib.suppress(ValueError):  # another thread was faster
                    self.free.remove(loop)
                    return Lease(loop, self)
        return Lease(Loop(shape), self)

    def give(self, loop: Loop) -> None:
        """Keep a loop for later."""
        self.free.append(loop)
        if len(self.free) > self.most:
            self.free.pop(0)

    def clear(self) -> None:
        """Free all that waits."""
        self.free.clear()


class Lease:
    """A loop in use, until it is released or nothing refers to the lease."""

    def __init__(self, loop: Loop, owner: Loops):
        self.loop, self.owner, self.held = loop, owner, True

    def release(self) -> None:
        """Give the loop back, once."""
        if self.held:
            self.held = False
            self.owner.give(self.loop)

    __del__ = release


loops = Loops()
