"""The fused scan on a CPU as a differentiable operation of PyTorch."""

import torch
from torch import Tensor

from gatebook.fused.cpu.build import kernel
from gatebook.fused.cpu.work import Setting, Work
from gatebook.fused.once import once_only
from gatebook.fused.trace import options_of
from gatebook.recurrence.scan import Draws, Pass, Result


def run(given: Pass) -> Result:
    """One layer in one direction.

    Raises:
        Unprintable: if the gate is not pointwise.
        NoCompiler: if it cannot be compiled here.
    """
    core, x, draws = given.core, given.x, given.draws or Draws()
    noise = None if draws.noise is None else draws.noise.contiguous()
    tensors = (x, *given.weights.all(), given.h, given.c)
    setting = Setting(
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


def _mask(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.contiguous().view(torch.uint8)


class _Scan(torch.autograd.Function):
    """Projection and recurrence of one layer in one direction."""

    @staticmethod
    def forward(ctx, setting, x, w_ih, w_hh, b_ih, b_hh, h0, c0):
        work = Work(setting, x, w_hh, h0, c0)
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
            work = Work(ctx.setting, x, w_hh, h0, c0)
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
