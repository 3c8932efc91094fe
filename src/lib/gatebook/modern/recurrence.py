"""The linear recurrence h_t = a_t h_{t-1} + b_t, with a backward pass of its own.

The backward pass is the same recurrence in reversed time: with g the gradient of the
outputs, d_t = g_t + a_{t+1} d_{t+1}, and then db_t = d_t, da_t = d_t h_{t-1} and
dh_0 = a_1 d_1. On a CPU recurrence.c runs both, on a GPU recurrence.triton; elsewhere a
loop of in-place operations does.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.library import custom_op

from gatebook.fused.cpu import threads
from gatebook.fused.dispatch import HALF, loop_only, transformed, watched
from gatebook.fused.once import once_only
from gatebook.modern import compiled, gpu
from gatebook.rnn.checks import check_tensor

COST = 40
"""One step of a channel takes as long as this many multiplications in a product."""


def linear_recurrence(
    a: Float[Tensor, "..."],
    b: Float[Tensor, "..."],
    h0: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "T *C"]:
    """All states of h_t = a_t ∘ h_{t-1} + b_t, t = 1 … T.

    It is differentiable in all three. Channels do not touch each other, so that a NaN
    stays in its own. Half precision goes in and comes out; the recurrence is worked out
    in float32. Under `gatebook.reference`, and in transforms of ``torch.func``, a loop
    of plain operations runs, which has second derivatives.

    Arguments:
        a: factors of the state before, (T, …), time first.
        b: what is added, of the same shape.
        h0: the state before the first step, (…); zeros if ``None``.

    Returns:
        h_1 … h_T, of the shape of ``a``.

    Raises:
        TypeError: for anything but tensors.
        ValueError: for shapes, dtypes or devices that differ, a dtype that is not of
            real floating-point numbers, or without a step.

    Example:
        >>> import torch
        >>> a, b = torch.full((3, 1), 0.5), torch.ones(3, 1)
        >>> linear_recurrence(a, b).flatten()
        tensor([1.0000, 1.5000, 1.7500])
    """
    check(a, b, h0)
    if a.dtype in HALF:
        wide = None if h0 is None else h0.float()
        return linear_recurrence(a.float(), b.float(), wide).to(a.dtype)
    if loop_only() or transformed():
        return loop(a, b, h0)
    if watched():
        return torch.ops.gatebook.linear_recurrence(a, b, h0)
    return _Recur.apply(a, b, h0)


def check(a: Any, b: Any, h0: Any = None) -> None:
    """Raise unless the three are tensors that fit each other; ``h0`` may be missing."""
    check_tensor(a, "a")
    if a.dim() == 0 or len(a) == 0:
        raise ValueError(
            f"a has shape {tuple(a.shape)}; allowed: at least one step, time first"
        )
    check_real("a", a)
    given = {"b": (b, a.shape), "h0": (h0, a.shape[1:])}
    for name, (tensor, shape) in given.items():
        if tensor is None and name == "h0":
            continue
        check_tensor(tensor, name)
        if tensor.shape != shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}; allowed: {tuple(shape)}, "
                "that of a" + " without time" * (name == "h0")
            )
        check_alike(name, tensor, "a", a)


def check_real(name: str, x: Tensor) -> None:
    """Raise unless a tensor has real floating-point numbers."""
    if not x.is_floating_point():
        raise ValueError(
            f"{name} has dtype {x.dtype}; allowed: a floating-point dtype such as "
            "torch.float32, since gradients are worked out for real numbers"
        )


def check_alike(name: str, x: Tensor, first_name: str, first: Tensor) -> None:
    """Raise unless ``x`` has dtype and device of ``first``."""
    if (x.dtype, x.device) != (first.dtype, first.device):
        raise ValueError(
            f"{name} has dtype {x.dtype} on {x.device}; allowed: {first.dtype} on "
            f"{first.device}, as {first_name}"
        )


def loop(
    a: Float[Tensor, "T *C"], b: Float[Tensor, "T *C"], h0: Float[Tensor, "*C"] | None
) -> Float[Tensor, "T *C"]:
    """The reference: one step after the other, in plain operations."""
    h = torch.zeros_like(b[0]) if h0 is None else h0
    states = []
    for a_t, b_t in zip(a.unbind(), b.unbind(), strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states)


# --------------------------------------------------------------------------
# Forward and backward, on every device
# --------------------------------------------------------------------------


def _forward(a: Tensor, b: Tensor, h0: Tensor | None) -> Tensor:
    a, b, h0 = a.contiguous(), b.contiguous(), None if h0 is None else h0.contiguous()
    h = torch.empty_like(b)
    if a.device.type == "cuda" and gpu.usable():
        gpu.forward(a, b, h0, h)
    elif compiled.usable("recurrence", a):
        _call("recur", {"a": a, "b": b, "h0": h0, "h": h})
    else:
        _forward_in_place(a, b, h0, h)
    return h


def _forward_in_place(a: Tensor, b: Tensor, h0: Tensor | None, h: Tensor) -> None:
    before = torch.zeros_like(b[0]) if h0 is None else h0
    for t in range(len(a)):
        before = torch.addcmul(b[t], a[t], before, out=h[t])


def _backward(
    a: Tensor, h: Tensor, h0: Tensor | None, g: Tensor, of_a: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients of a, where it is asked for, and of b."""
    a, g, h0 = a.contiguous(), g.contiguous(), None if h0 is None else h0.contiguous()
    da, d = torch.empty_like(a) if of_a else None, torch.empty_like(a)
    if a.device.type == "cuda" and gpu.usable():
        gpu.backward(a, h, h0, g, da, d)
    elif compiled.usable("recurrence", a):
        arrays = {"a": a, "h0": h0, "h": h, "g": g, "da": da, "db": d}
        _call("unrecur", arrays)
    else:
        _backward_in_place(a, h, h0, g, da, d)
    return da, d


def _backward_in_place(
    a: Tensor, h: Tensor, h0: Tensor | None, g: Tensor, da: Tensor | None, d: Tensor
) -> None:
    d[-1].copy_(g[-1])
    for t in reversed(range(len(a) - 1)):
        torch.addcmul(g[t], a[t + 1], d[t + 1], out=d[t])
    if da is not None:
        torch.mul(d[1:], h[:-1], out=da[1:])
        da[0] = 0 if h0 is None else d[0] * h0


def _call(function: str, arrays: dict[str, Tensor | None]) -> None:
    a = arrays["a"]
    assert a is not None
    every = {name: arrays.get(name) for name in ("a", "b", "h0", "h", "g", "da", "db")}
    sizes = {"T": len(a), "M": a[0].numel()}
    parts = max(threads.number(COST * a.numel()), 1)
    compiled.call("recurrence", function, sizes, every, parts)


class _Recur(torch.autograd.Function):
    """The recurrence as one node of autograd."""

    @staticmethod
    def forward(ctx, a, b, h0):
        h = _forward(a, b, h0)
        ctx.save_for_backward(a, h, h0)
        return h

    @staticmethod
    @once_only
    def backward(ctx, g):
        a, h, h0 = ctx.saved_tensors
        of_a, _, of_h0 = ctx.needs_input_grad
        da, db = _backward(a, h, h0, g, of_a)
        return da, db, db[0] * a[0] if of_h0 else None


# --------------------------------------------------------------------------
# For compilers, exporters and tracers, which cannot look into C
# --------------------------------------------------------------------------


@custom_op("gatebook::linear_recurrence", mutates_args=())
def _operator(a: Tensor, b: Tensor, h0: Tensor | None) -> Tensor:
    return _forward(a, b, h0)


@custom_op("gatebook::linear_recurrence_backward", mutates_args=())
def _operator_back(
    a: Tensor, h: Tensor, h0: Tensor | None, g: Tensor
) -> tuple[Tensor, Tensor]:
    da, d = _backward(a, h, h0, g, of_a=True)
    assert da is not None
    return da, d


@_operator.register_fake
def _(a, b, h0):
    return torch.empty_like(b, memory_format=torch.contiguous_format)


@_operator_back.register_fake
def _(a, h, h0, g):
    return torch.empty_like(h), torch.empty_like(h)


def _save(ctx, inputs, output):
    a, _, h0 = inputs
    ctx.save_for_backward(a, output, h0)


def _differentiate(ctx, g):
    a, h, h0 = ctx.saved_tensors
    da, db = torch.ops.gatebook.linear_recurrence_backward(a, h, h0, g)
    return da, db, None if h0 is None else db[0] * a[0]


_operator.register_autograd(_differentiate, setup_context=_save)
