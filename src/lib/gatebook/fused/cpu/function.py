"""The fused scan on a CPU as a differentiable operation of PyTorch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gatebook.fused.cpu.arrays import pool
from gatebook.fused.cpu.build import Kernel, kernel
from gatebook.fused.cpu.work import Kept, Setting, Work
from gatebook.fused.once import once_only
from gatebook.fused.trace import operands_of, options_of
from gatebook.recurrence.cells import Core
from gatebook.recurrence.scan import Pass, Result

Operands = Sequence[Tensor | None]
"""A pass's tensors in the order of `trace.operands_of`."""

Grads = list[Tensor | None]


def run(given: Pass) -> Result:
    """One layer in one direction.

    Raises:
        Unprintable: if the gate is not pointwise.
        NoCompiler: if it cannot be compiled here.
    """
    made = kernel(given.core, options_of(given), given.x.dtype)
    operands = operands_of(given)
    keep = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in operands
    )
    return _Scan.apply(given.core, made, keep, *operands)


def forward(
    core: Core, made: Kernel, keep: bool, operands: Operands
) -> tuple[Result, Kept]:
    """The results, and what the backward pass reads.

    Arguments:
        core: LSTM or GRU around a gate.
        made: its kernel.
        keep: whether a backward pass may follow; without, some steps are held at once.
        operands: contiguous.
    """
    x, w_ih, w_hh, b_ih, b_hh, h0, c0, *rest = operands
    assert x is not None and w_ih is not None and w_hh is not None
    assert h0 is not None and c0 is not None
    work = Work(_setting(core, made, keep, rest), x, w_hh, h0, c0)
    work.forward(x, w_ih, w_hh, b_ih, b_hh)
    assert work.out is not None
    if not keep:
        work.release()
    return (work.out, *work.last()), work.kept()


def backward(
    core: Core,
    made: Kernel,
    operands: Operands,
    kept: Kept | None,
    gradients: Result,
    needs: Sequence[bool],
) -> Grads:
    """Gradients of the first seven operands where ``needs`` says so.

    Arguments:
        core: as for `forward`.
        made: as for `forward`.
        operands: as for `forward`.
        kept: by `forward`; used up. ``None`` makes it again.
        gradients: of the three results.
        needs: one for each operand that can have a gradient.
    """
    x, w_ih, w_hh, b_ih, b_hh, h0, c0, *rest = operands
    assert x is not None and w_ih is not None and w_hh is not None
    assert h0 is not None and c0 is not None
    if kept is None:
        kept = forward(core, made, True, operands)[1]
    work = Work(_setting(core, made, True, rest), x, w_hh, h0, c0, kept)
    dout, dh, dc = gradients
    dh, dc = work.backward(w_hh, dout, dh + dc if core.tied else dh, dc)
    makers = (
        lambda: work.input_gradient(x, w_ih),
        lambda: work.weight_gradient(x),
        work.recurrent_gradient,
        lambda: work.bias_gradient(recurrent=False),
        lambda: work.bias_gradient(recurrent=True),
        lambda: dh,
        lambda: None if core.tied else dc,
    )
    grads = [make() if need else None for make, need in zip(makers, needs, strict=True)]
    work.release()
    return grads


def _setting(core: Core, made: Kernel, keep: bool, rest: Operands) -> Setting:
    noise, detached, keep_h, keep_c, alive = rest
    return Setting(core, made, keep, keep_h, keep_c, alive, noise, detached)


def hooked() -> bool:
    """Whether hooks will see the tensors that are saved now, and may hold them."""
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return top is None or top(True) is not None  # torch 2.5 does not say: they may


class _Scan(torch.autograd.Function):
    """Projection and recurrence of one layer in one direction.

    What the backward pass reads is saved as autograd saves tensors, so that hooks for
    saved tensors, and activation checkpointing by them, see all of it.
    """

    @staticmethod
    def forward(ctx, core, made, keep, *operands):
        results, kept = forward(core, made, keep, operands)
        if keep:
            if hooked():
                for array in kept:
                    pool.let_go(array)
            ctx.core, ctx.made, ctx.used = core, made, False
            ctx.save_for_backward(*operands, *kept)
        return results

    @staticmethod
    @once_only
    def backward(ctx, *gradients):
        *operands, hs, p, r, cs = ctx.saved_tensors
        # With a retained graph this is the second time: the arrays are used up.
        kept = None if ctx.used else (hs, p, r, cs)
        ctx.used = True
        needs = ctx.needs_input_grad[3:10]
        grads = backward(ctx.core, ctx.made, operands, kept, gradients, needs)
        return None, None, None, *grads, *[None] * 5
