"""The fused scan on a GPU: a product and one kernel a step, replayed as a CUDA graph.

The kernel is written in Triton from the lines of `trace`, as `build` writes C from
them. All steps of a pass go to the GPU at once: its second run records them as a CUDA
graph, which later runs replay. What is random enters through tensors, so one graph
serves all draws.

In the kernel's arrays every block has H columns. A master gate's values are repeated,
and a block kept apart is two blocks: one that the input feeds, one that h feeds. Each
array begins with an axis of K models, which run side by side.
"""

import contextlib
import functools
import hashlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.files import write_atomic
from gatebook.fused.cpu.build import NoCompiler, cache_folder, like
from gatebook.fused.cpu.function import options_of
from gatebook.fused.once import once_only
from gatebook.fused.trace import Options, Program, Step, Unprintable, downsize, trace
from gatebook.gates import CDetach, Full
from gatebook.recurrence.cells import Core, noise_blocks, with_gate
from gatebook.recurrence.scan import Draws, Pass, Result, Weights

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
        NoCompiler: if Triton is missing, or what it needs.
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
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return NoCompiler("no C compiler, which Triton needs; install gcc or clang")
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
    parts = {
        "settings": [
            f"G = tl.constexpr({len(core.blocks()) + len(step.apart)})",
            f"N = tl.constexpr({noises})",
            f"FEW = tl.constexpr({downsize(core.gate)})",
        ],
        "entry": [*step.entry.lines, f"return {step.entry.results[0][0]}"],
        "leave": [*step.leave.lines, f"return {step.leave.results[0][0]}"],
        "read": _reads(core, step, options),
        "forward": step.forward.lines,
        "store": _stores(step.forward, core, options),
        "backward": step.backward.lines,
        "gradients": _gradients(core, step, options),
    }
    text = (Path(__file__).parent / "kernel.triton").read_text()
    for mark, lines in parts.items():
        indent = "" if mark == "settings" else "    "
        text = text.replace(f"# FILL {mark}\n", f"\n{indent}".join(lines) + "\n")
    return text.replace("real_(", "(")


@functools.cache
def _module(text: str) -> ModuleType:
    """Import ``text`` from the cache folder; Triton reads its source from a file."""
    name = f"step_{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    file = cache_folder() / f"{name}.py"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(file, text.encode())
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
    lines += [_load("h0", "hs_ + before"), _load("c0", "cs_ + before"), "read0 = c0"]
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
    models: int
    steps: int
    batch: int
    dtype: torch.dtype
    device: torch.device
    stream: int


class _Loop:
    """The arrays of one pass and its two loops over time.

    ``p`` (K, T, B, W) holds the pre-activations, and after the backward loop their
    gradient; ``hs`` and ``cs`` (K, T + 1, B, H) the states from the first on.
    """

    def __init__(self, shape: _Shape):
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
        self.recorded = {name: _Recorded() for name in ("forward", "backward")}

    def _array(self, *sizes: int, dtype: torch.dtype | None = None) -> Tensor:
        kind = dtype or self.shape.dtype
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


class _Recorded:
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


class _Loops:
    """Loops that wait to be used again, the ones used longest ago dropped first.

    A collected lease may give its loop back at any moment, so there is no lock;
    appending to a list and removing from it are single operations.
    """

    def __init__(self, most: int = 8):
        self.most = most
        self.free: list[_Loop] = []

    def take(self, shape: _Shape) -> "_Lease":
        """A loop of this shape with any content."""
        for loop in reversed(tuple(self.free)):
            if loop.shape == shape:
                with contextlib.suppress(ValueError):  # another thread was faster
                    self.free.remove(loop)
                    return _Lease(loop, self)
        return _Lease(_Loop(shape), self)

    def give(self, loop: _Loop) -> None:
        """Keep a loop for later."""
        self.free.append(loop)
        if len(self.free) > self.most:
            self.free.pop(0)


class _Lease:
    """A loop in use, until it is released or nothing refers to the lease."""

    def __init__(self, loop: _Loop, owner: _Loops):
        self.loop, self.owner, self.held = loop, owner, True

    def release(self) -> None:
        """Give the loop back, once."""
        if self.held:
            self.held = False
            self.owner.give(self.loop)

    __del__ = release


loops = _Loops()


# --------------------------------------------------------------------------
# The operation
# --------------------------------------------------------------------------


def plain(core: Core) -> Core:
    """The core but for its gradient rule, which the draws carry out."""
    return with_gate(core, replace(core.gate, gradient=Full()))


def _arrays(given: Pass) -> dict[str, Tensor | None]:
    """What has no gradient, as the arrays of `_Loop` take it."""
    draws = given.draws or Draws()
    noise, seen = draws.noise, None
    if noise is not None:
        noise = spread(noise, list(noise_blocks(given.core).values()), -1)
    if draws.detached is not None:
        seen = ~draws.detached.view(len(draws.detached), -1)
    of_c = isinstance(given.core.gate.gradient, CDetach)
    return {
        "noise": noise,
        "keep_h": draws.keep_h,
        "keep_c": draws.keep_c,
        "alive": given.alive,
        "sees_h": None if of_c else seen,
        "sees_c": seen if of_c else None,
    }


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
    """One layer in one direction; arguments and results as `scan.layer`.

    Runs on a CPU too where ``TRITON_INTERPRET=1`` was set before Triton was imported.
    """
    return run_many([Pass(core, x, weights, h, c, draws, alive, zoneout)])[0]


def run_many(passes: Sequence[Pass]) -> list[Result]:
    """Several models at once, each as `run` would: one product and one kernel a step.

    All passes have the same shapes and options, and gates that differ at most in
    their gradient rule and in how they are initialised, so that one kernel is theirs.

    Raises:
        ValueError: if two of them need different kernels.
    """
    one = passes[0]
    core, options, x = plain(one.core), options_of(one), one.x
    made = kernel(core, options)
    for other in passes[1:]:
        if step_of(other) != step_of(one):
            raise ValueError(
                f"gates are {one.core.gate} and {other.core.gate}, with "
                f"{options} and {options_of(other)}; allowed: models with the same step"
            )
    cuda = x.device.type == "cuda"
    stream = torch.cuda.current_stream(x.device).cuda_stream if cuda else 0
    steps, batch, _ = x.shape
    k = len(passes)
    shape = _Shape(core, options, k, steps, batch, x.dtype, x.device, stream)
    weights = zip(*(widen(p.core, made.apart, p.weights) for p in passes), strict=True)
    states = ([p.h for p in passes], [p.c for p in passes])
    with torch.cuda.device_of(x):
        arrays = _stack_arrays(passes)
        tensors = (_stack(each) for each in ([p.x for p in passes], *weights, *states))
        results = _Scan.apply(shape, arrays, *tensors)
        return list(zip(*map(_unstack, results), strict=True))


def step_of(given: Pass) -> tuple[Any, ...]:
    """What two passes must have in common to run as one batch of models."""
    options, x = options_of(given), given.x
    return (kernel(given.core, options), options, x.shape, x.dtype, x.device)


def _stack(tensors: Sequence[Any]) -> Any:
    """With an axis of models; nothing is copied for one."""
    if tensors[0] is None:
        return None
    return tensors[0][None] if len(tensors) == 1 else torch.stack(list(tensors))


def _unstack(stacked: Tensor) -> Sequence[Tensor]:
    """One a model; as for `_stack`, one model's gradient is not copied."""
    return [stacked.squeeze(0)] if len(stacked) == 1 else stacked.unbind()


def _stack_arrays(passes: Sequence[Pass]) -> dict[str, Tensor | None]:
    """The arrays of all passes; without a mask of its own, a model sees everything."""
    each = [_arrays(p) for p in passes]
    for name in ("sees_h", "sees_c"):
        if any(a[name] is not None for a in each):
            for a, p in zip(each, passes, strict=True):
                seen = a[name]
                if seen is None:
                    seen = torch.ones(1, 1, dtype=torch.bool)
                # Waiting for the copy would mean waiting for all work before it.
                seen = seen.to(p.x.device, non_blocking=True)
                a[name] = seen.expand(p.x.shape[:2])
    return {name: _stack([a[name] for a in each]) for name in each[0]}


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
        views = loop.out, loop.hs[:, -1], loop.cs[:, -1]
        results = tuple(v.clone(memory_format=torch.contiguous_format) for v in views)
        if not any(ctx.needs_input_grad):
            lease.release()
        return results

    @staticmethod
    @once_only
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
