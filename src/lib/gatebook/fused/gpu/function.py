"""The fused scan on a GPU as a differentiable operation of PyTorch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.fused.gpu.build import kernel
from gatebook.fused.gpu.loop import Shape, loops
from gatebook.fused.once import once_only
from gatebook.fused.trace import options_of
from gatebook.gates import CDetach, Full
from gatebook.recurrence.cells import Core, noise_blocks, with_gate
from gatebook.recurrence.scan import Draws, Pass, Result, Weights


def plain(core: Core) -> Core:
    """The core without its gradient rule, which the draws carry out."""
    return with_gate(core, replace(core.gate, gradient=Full()))


def _arrays(given: Pass) -> dict[str, Tensor | None]:
    """What has no gradient, as the arrays of `Loop` take it."""
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


def run_many(passes: Sequence[Pass]) -> list[Result]:
    """Several models at once: one product and one kernel per step.

    Runs on a CPU too where ``TRITON_INTERPRET=1`` was set before Triton was imported.

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
    shape = Shape(core, options, k, steps, batch, x.dtype, x.device, stream)
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
    """One per model; as for `_stack`, one model's gradient is not copied."""
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
