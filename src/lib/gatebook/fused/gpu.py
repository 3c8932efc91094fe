"""The fused scan on a GPU: a product and one kernel a step, replayed as a CUDA graph.

The kernel is written in Triton from the lines of `trace`, as `build` writes C from
them. All steps of a pass go to the GPU at once: its second run records them as a CUDA
graph, which later runs replay. What is random enters through tensors, so one graph
serves all draws.

In the kernel's arrays every block has H columns. A master gate's values are repeated,
and a block kept apart is two blocks: one that the input feeds, one that h feeds.
"""

import functools
import hashlib
import importlib.util
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from gatebook.cells import Core, noise_blocks, with_gate
from gatebook.fused.build import HERE, NoCompiler, cache_folder, like
from gatebook.fused.function import options_of
from gatebook.fused.trace import Options, Program, Step, Unprintable, trace
from gatebook.gates import CDetach, Full, Master
from gatebook.scan import Draws, Result, Weights

# --------------------------------------------------------------------------
# The kernel
# --------------------------------------------------------------------------


@dataclass(frozen=True)
class Kernel:
    """A step's two kernels, and what the arrays must look like for them."""

    module: ModuleType
    apart: tuple[int, ...]
    blocks: int
    whole_rows: bool


def kernel(core: Core, options: Options) -> Kernel:
    """The step of a core; it serves every size, precision and gradient rule.

    Raises:
        Unprintable: if the gate is not pointwise.
        NoCompiler: if Triton is missing.
    """
    made = _kernel(like(core), options)
    if isinstance(made, Exception):
        raise made
    return made


@functools.cache
def _kernel(core: Core, options: Options) -> Kernel | Unprintable | NoCompiler:
    """The kernel, or why there is none: what failed once is not tried again."""
    if importlib.util.find_spec("triton") is None:
        return NoCompiler("no Triton; `pip install triton`")
    try:
        step = trace(core, options)
    except Unprintable as error:
        return error
    blocks = len(core.blocks()) + len(step.apart)
    whole = any(stage.kind == "cumax" for stage in step.stages)
    return Kernel(_module(source(core, step, options)), step.apart, blocks, whole)


def source(core: Core, step: Step, options: Options) -> str:
    """``kernel.triton`` with the step put in."""
    noises = len(noise_blocks(core)) if options.noise else 0
    few = core.gate.auxiliary.downsize if isinstance(core.gate.auxiliary, Master) else 1
    parts = {
        "settings": [
            f"G = tl.constexpr({len(core.blocks()) + len(step.apart)})",
            f"N = tl.constexpr({noises})",
            f"FEW = tl.constexpr({few})",
        ],
        "entry": [*step.entry.lines, f"return {step.entry.results[0][0]}"],
        "leave": [*step.leave.lines, f"return {step.leave.results[0][0]}"],
        "read": _reads(core, step, options),
        "forward": step.forward.lines,
        "store": _stores(step.forward, core, options),
        "backward": step.backward.lines,
        "gradients": _gradients(core, step, options),
    }
    text = (HERE / "kernel.triton").read_text()
    for mark, lines in parts.items():
        indent = "" if mark == "settings" else "    "
        text = text.replace(f"# FILL {mark}\n", f"\n{indent}".join(lines) + "\n")
    return text.replace("real_(", "(")


def _module(text: str) -> ModuleType:
    """Import ``text`` from the cache folder; Triton reads its source from a file."""
    name = f"step_{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    file = cache_folder() / f"{name}.py"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as made:
            made.write(text)
        os.replace(made.name, file)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _reads(core: Core, step: Step, options: Options) -> list[str]:
    """Load what a step reads, and activate the staged blocks."""
    names, noisy = list(core.blocks()), list(noise_blocks(core))
    lines = [_load(f"x{k}", f"x_ + {k} * H") for k in range(len(names))]
    for place, k in enumerate(step.apart, len(names)):
        lines.append(_load(f"rec{k}", f"x_ + {place} * H"))
    if options.noise:
        lines += [_load(f"noise{k}", f"n_ + {k} * H") for k in range(len(noisy))]
    lines += [_load("h0", "hs_ + at"), _load("c0", "cs_ + at"), "read0 = c0"]
    for name in ("keep_h", "keep_c"):
        if getattr(options, name):
            lines.append(_load(f"{name}0", f"{name}_ + at") + " != 0")
    lines += ["alive0 = tl.load(alive_ + row) != 0"] if options.alive else []
    for stage in step.stages:
        k = stage.block
        noise = f"noise{noisy.index(names[k])}" if options.noise else "0"
        lines += [f"raw{k}, own{k} = x{k}, {noise}", f"x{k} = enter(raw{k}, own{k})"]
        if stage.kind == "cumax":
            lines += [f"soft{k} = softmax_(x{k}, first)", f"x{k} = cumax_(soft{k})"]
        else:
            lines += [f"x{k} = sigmoid_(x{k})"]
    return lines


def _load(name: str, place: str) -> str:
    return f"{name} = tl.load({place}, here, 0)"


def _store(place: str, value: str) -> str:
    return f"tl.store({place}, {value}, here)"


def _stores(program: Program, core: Core, options: Options) -> list[str]:
    names = [result[0] for result in program.results]
    places = ("out_ + at", "hs_ + after", "cs_ + after")
    lines = [_store(p, n) for p, n in zip(places, names, strict=False)]
    return lines if options.alive else lines[1:]  # else the output is h itself


def _gradients(core: Core, step: Step, options: Options) -> list[str]:
    """Where the results of the backward step go; see `trace.trace` for their order."""
    x, rec, (h,), (c,), (read,) = step.backward.results[:5]
    kinds = {stage.block: stage.kind for stage in step.stages}
    lines = []
    for k, name in enumerate(x):
        if kinds.get(k) == "cumax":
            name = f"leave(cumax_back_({name}, soft{k}, here), raw{k}, own{k})"
        elif k in kinds:
            name = f"leave(({name}) * x{k} * (1 - x{k}), raw{k}, own{k})"
        lines.append(_store(f"x_ + {k} * H", name))
    for place, k in enumerate(step.apart, len(x)):
        lines.append(_store(f"x_ + {place} * H", rec[k]))
    seen = f"where_(sees, {read}, 0.0)"
    if core.tied:  # one state: what its two readers send back is added up
        return [*lines, _store("dh_ + one", f"{h} + {c} + {seen}")]
    return [*lines, _store("dh_ + one", h), _store("dc_ + one", f"{c} + {seen}")]


# --------------------------------------------------------------------------
# The loop over time
# --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shape:
    """What two passes must share to run in the same arrays, on the same stream."""

    core: Core
    options: Options
    steps: int
    batch: int
    dtype: torch.dtype
    device: torch.device
    stream: int


class _Loop:
    """The arrays of one pass and its two loops over time.

    ``p`` (T, B, G, H) holds the pre-activations, and after the backward loop their
    gradient; ``hs`` and ``cs`` (T + 1, B, H) the states from the first on.
    """

    def __init__(self, shape: _Shape):
        self.shape, self.kernel = shape, kernel(shape.core, shape.options)
        self.steps, self.batch = shape.steps, shape.batch
        o, self.units = shape.options, shape.core.hidden_size
        state, n = (self.batch, self.units), len(noise_blocks(shape.core))
        real, byte = shape.dtype, torch.uint8

        def make(dtype: torch.dtype, *sizes: int, when: bool = True) -> Tensor:
            sizes = sizes if when else (0,)
            return torch.empty(sizes, dtype=dtype, device=shape.device)

        width = self.kernel.blocks * self.units
        self.p = make(real, self.steps, self.batch, width)
        self.w = make(real, width, self.units)
        self.hs = make(real, self.steps + 1, *state)
        tied = shape.core.tied
        self.cs = self.hs if tied else make(real, self.steps + 1, *state)
        self.out = make(real, self.steps, *state) if o.alive else self.hs[1:]
        self.noise = make(real, self.steps, self.batch, n * self.units, when=o.noise)
        self.keep_h = make(byte, self.steps, *state, when=o.keep_h)
        self.keep_c = make(byte, self.steps, *state, when=o.keep_c)
        self.alive = make(byte, self.steps, self.batch, when=o.alive)
        self.sees_h = make(byte, self.steps + 1, self.batch)
        self.sees_c = make(byte, self.steps + 1, self.batch)
        self.dout = make(real, self.steps, *state)
        self.dh, self.dc, self.through = (make(real, *state) for _ in range(3))
        self.run_forward = _Recorded(self._forward, shape.device)
        self.run_backward = _Recorded(self._backward, shape.device)

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
        rows, p = x.reshape(-1, x.shape[-1]), self._rows(self.p)
        if bias is None:
            torch.mm(rows, w_ih.t(), out=p)
        else:
            torch.addmm(bias, rows, w_ih.t(), out=p)
        self.w.copy_(w_hh)
        self.cs[0].copy_(c0)
        self.hs[0].copy_(h0)  # last, since a GRU's two states are one
        for name, value in given.items():
            if value is not None:
                getattr(self, name)[: self.steps].copy_(value)
            elif name in ("sees_h", "sees_c"):
                getattr(self, name).fill_(1)

    @staticmethod
    def _rows(array: Tensor) -> Tensor:
        return array.view(-1, array.shape[-1])

    def _grid(self) -> tuple[tuple[int, int], int]:
        """Programs, and units of each."""
        block = 1 << (self.units - 1).bit_length()
        block = block if self.kernel.whole_rows else min(block, 256)
        return (self.batch, -(-self.units // block)), block

    def _forward(self) -> None:
        grid, block = self._grid()
        step = self.kernel.module.forward[grid]
        w = self.w.t()
        for t in range(self.steps):
            self.p[t].addmm_(self.hs[t], w)
            arrays = (self.p, self.hs, self.cs, self.out, *self._given())
            step(*arrays, t, self.units, BLOCK=block)

    def _given(self) -> tuple[Tensor, ...]:
        return self.noise, self.keep_h, self.keep_c, self.alive

    def _backward(self) -> None:
        grid, block = self._grid()
        step = self.kernel.module.backward[grid]
        grads = (self.dout, self.dh, self.dc, self.through)
        self.through.zero_()
        for t in reversed(range(self.steps)):
            states = (self.p, self.hs, self.cs, *self._given())
            masks = (self.sees_h, self.sees_c)
            step(*states, *masks, *grads, t, self.units, BLOCK=block)
            torch.mm(self.p[t], self.w, out=self.through)

    def gradients(
        self, x: Tensor, w_ih: Tensor
    ) -> dict[str, Callable[[], Tensor | None]]:
        """Each input's gradient after the backward loop, made when asked for."""
        dp, rows = self._rows(self.p), x.reshape(-1, x.shape[-1])
        seen = self.sees_h[0, :, None] != 0
        return {
            "x": lambda: (dp @ w_ih).view_as(x),
            "w_ih": lambda: dp.t() @ rows,
            "w_hh": lambda: dp.t() @ self._rows(self.hs[:-1]),
            "bias": lambda: dp.sum(0),
            "h0": lambda: self.dh + torch.where(seen, self.through, 0),
            "c0": lambda: None if self.shape.core.tied else self.dc.clone(),
        }


class _Recorded:
    """Work on fixed arrays: the second run records it, and later ones replay it.

    The first run compiles the kernels, which is not allowed while recording.
    """

    def __init__(self, work: Callable[[], None], device: torch.device):
        self.work, self.device, self.ran = work, device, False
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self.graph is None and (self.device.type != "cuda" or not self.ran):
            self.work()
            self.ran = True
            return
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            # Other threads, such as a data loader's, may go on meanwhile.
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.work()
        self.graph.replay()


class _Loops:
    """Loops that wait to be used again, the ones used longest ago dropped first."""

    def __init__(self, most: int = 8):
        self.most, self.lock = most, threading.Lock()
        self.free: list[_Loop] = []

    def take(self, shape: _Shape) -> "_Lease":
        """A loop of this shape with any content."""
        with self.lock:
            for k in reversed(range(len(self.free))):
                if self.free[k].shape == shape:
                    return _Lease(self.free.pop(k), self)
        return _Lease(_Loop(shape), self)

    def give(self, loop: _Loop) -> None:
        """Keep a loop for later."""
        with self.lock:
            self.free = [*self.free, loop][-self.most :]


class _Lease:
    """A loop in use, until it is released or nothing refers to the lease."""

    def __init__(self, loop: _Loop, owner: _Loops):
        self.loop, self.owner = loop, owner
        self.lock, self.held = threading.Lock(), True

    def release(self) -> None:
        """Give the loop back, once."""
        with self.lock:
            held, self.held = self.held, False
        if held:
            self.owner.give(self.loop)

    __del__ = release


loops = _Loops()


# --------------------------------------------------------------------------
# The operation
# --------------------------------------------------------------------------


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
    """One layer in one direction; arguments and results as `gatebook.scan.layer`.

    Runs on a CPU too where ``TRITON_INTERPRET=1`` was set before Triton was imported.
    """
    options = options_of(draws, alive, zoneout)
    cuda = x.device.type == "cuda"
    stream = torch.cuda.current_stream(x.device).cuda_stream if cuda else 0
    steps, batch, _ = x.shape
    plain = with_gate(core, replace(core.gate, gradient=Full()))
    shape = _Shape(plain, options, steps, batch, x.dtype, x.device, stream)
    w_ih, w_hh, bias = widen(core, kernel(core, options).apart, weights)
    with torch.cuda.device_of(x):
        arrays = _arrays(core, draws or Draws(), alive)
        return _Scan.apply(shape, arrays, x, w_ih, w_hh, bias, h, c)


def _arrays(core: Core, draws: Draws, alive: Tensor | None) -> dict[str, Tensor | None]:
    """What a pass needs that has no gradient, as the arrays of `_Loop` take it."""
    noise, seen = draws.noise, None
    if noise is not None:
        noise = spread(noise, list(noise_blocks(core).values()), -1)
    if draws.detached is not None:
        seen = ~draws.detached.view(len(draws.detached), -1)
    of_c = isinstance(core.gate.gradient, CDetach)
    return {
        "noise": noise,
        "keep_h": draws.keep_h,
        "keep_c": draws.keep_c,
        "alive": alive,
        "sees_h": None if of_c else seen,
        "sees_c": seen if of_c else None,
    }


def spread(array: Tensor, sizes: list[int], axis: int) -> Tensor:
    """Repeat the entries of smaller blocks, so that all are as large as the largest."""
    most = max(sizes)
    if set(sizes) == {most}:
        return array
    parts = zip(array.split(sizes, axis), sizes, strict=True)
    return torch.cat([p.repeat_interleave(most // n, axis) for p, n in parts], axis)


def widen(
    core: Core, apart: tuple[int, ...], weights: Weights
) -> tuple[Float[Tensor, "W I"], Float[Tensor, "W H"], Float[Tensor, " W"] | None]:
    """Weights and the sum of the biases as the kernel's columns have them.

    PyTorch differentiates this: gradients of repeated rows add up by themselves.
    """
    sizes, h = list(core.blocks().values()), core.hidden_size
    ih, hh, b_ih, b_hh = (
        None if w is None else spread(w, sizes, 0) for w in weights.all()
    )
    assert ih is not None and hh is not None
    if apart:
        ih = torch.cat([ih, ih.new_zeros(len(apart) * h, ih.shape[1])])
        hh = _move(hh, apart, h)
        b_hh = None if b_hh is None else _move(b_hh, apart, h)
        if b_ih is not None:
            b_ih = torch.cat([b_ih, b_ih.new_zeros(len(apart) * h)])
    biases = [b for b in (b_ih, b_hh) if b is not None]
    return ih, hh, sum(biases[1:], biases[0]) if biases else None


def _move(rows: Tensor, apart: tuple[int, ...], h: int) -> Tensor:
    """Blocks kept apart go to the end and leave zeros behind."""
    blocks = list(rows.split(h))
    stay = (torch.zeros_like(b) if k in apart else b for k, b in enumerate(blocks))
    return torch.cat([*stay, *(blocks[k] for k in apart)])


class _Scan(torch.autograd.Function):
    """Projection and recurrence of one layer in one direction."""

    @staticmethod
    def forward(ctx, shape, given, *tensors):
        lease = loops.take(shape)
        loop = lease.loop
        loop.load(given, *tensors)
        loop.run_forward()
        ctx.lease, ctx.shape, ctx.given = lease, shape, given
        ctx.save_for_backward(*tensors)
        results = tuple(a.clone() for a in (loop.out, loop.hs[-1], loop.cs[-1]))
        if not any(ctx.needs_input_grad):
            lease.release()
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx, dout, dh, dc):
        lease, ctx.lease = ctx.lease, None
        shape, tensors = ctx.shape, ctx.saved_tensors
        if lease is None:  # a retained graph: what the first pass used up is made again
            lease = loops.take(shape)
            lease.loop.load(ctx.given, *tensors)
            lease.loop.run_forward()
        loop = lease.loop
        loop.dout.copy_(dout)
        loop.dh.copy_(dh + dc if shape.core.tied else dh)
        loop.dc.copy_(dc)
        loop.run_backward()
        makers = loop.gradients(*tensors[:2]).values()
        wanted = zip(makers, ctx.needs_input_grad[2:], strict=True)
        made = [make() if need else None for make, need in wanted]
        lease.release()
        return None, None, *made
