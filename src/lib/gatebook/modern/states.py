"""Recurrences whose state is larger than what goes in and out at a step.

Both are the linear recurrence on products that nothing else needs. On a CPU C makes the
products as it goes (matrix.c, selective.c) and keeps one state in sixteen for the way
back. Elsewhere, and under `gatebook.reference`, `linear_recurrence` gets them whole.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.fused.cpu import threads
from gatebook.fused.dispatch import loop_only, transformed, watched
from gatebook.fused.once import once_only
from gatebook.modern import compiled
from gatebook.modern.recurrence import check_alike, check_real, linear_recurrence
from gatebook.rnn.checks import check_tensor

EVERY = 16
"""Steps from one state that is kept to the next, as the C files have it."""


def fast(name: str, *tensors: Tensor) -> bool:
    """Whether the C of a name may run for these tensors."""
    if loop_only() or transformed() or watched():
        return False
    return compiled.usable(name, *tensors)


def check_axes(given: Mapping[str, tuple[Any, str]]) -> None:
    """Raise unless tensors of equal letters have equal sizes, and a step.

    Arguments:
        given: by name a tensor and a letter for each of its axes, "T" of the first one
            for time; of each letter the first tensor decides the size.

    Raises:
        TypeError: for anything but tensors.
        ValueError: for another shape, dtype or device.
    """
    (first_name, (first, _)), *_ = given.items()
    sizes: dict[str, int] = {}
    for name, (x, axes) in given.items():
        check_tensor(x, name)
        _check_shape(name, x, axes, sizes)
        check_real(name, x)
        check_alike(name, x, first_name, first)
        sizes = dict(zip(axes, x.shape, strict=True)) | sizes
    if sizes["T"] == 0:
        raise ValueError(
            f"{first_name} has shape {tuple(first.shape)}; allowed: at least one step"
        )


def _check_shape(name: str, x: Tensor, axes: str, sizes: Mapping[str, int]) -> None:
    """Raise unless a tensor has these axes, those in ``sizes`` with their sizes."""
    known = {axis: sizes[axis] for axis in axes if axis in sizes}
    found = dict(zip(axes, x.shape, strict=False))
    if x.dim() != len(axes) or any(found[axis] != n for axis, n in known.items()):
        words = ", ".join(f"{axis} = {n}" for axis, n in known.items())
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}; allowed: ({', '.join(axes)})"
            + f" with {words}" * bool(known)
        )


def matrix_recurrence(
    f: Float[Tensor, "T B N K"],
    k: Float[Tensor, "T B N K"],
    v: Float[Tensor, "T B N V"],
    q: Float[Tensor, "T B N K"],
    state: Float[Tensor, "B N K V"],
) -> tuple[Float[Tensor, "T B N V"], Float[Tensor, "B N K V"]]:
    """S_t = Diag(f_t) S_{t-1} + k_t v_tᵀ and y_t = S_tᵀ q_t, for each of N heads.

    Arguments:
        f: factors of the rows of the state before.
        k: keys.
        v: values.
        q: queries.
        state: before the first step.

    Returns:
        all y, and the last state.

    Raises:
        TypeError: for anything but tensors.
        ValueError: for shapes, dtypes or devices that do not fit, or without a step.
    """
    given = {"f": (f, "TBNK"), "k": (k, "TBNK"), "v": (v, "TBNV"), "q": (q, "TBNK")}
    check_axes(given | {"state": (state, "BNKV")})
    if fast("matrix", f, k, v, q, state):
        return _Matrix.apply(*(x.contiguous() for x in (f, k, q, v, state)))
    factors = f.unsqueeze(-1).expand(*f.shape, v.shape[-1])
    states = linear_recurrence(factors, k.unsqueeze(-1) * v.unsqueeze(-2), state)
    return torch.einsum("tbnkv,tbnk->tbnv", states, q), states[-1].clone()


def selective_recurrence(
    step: Float[Tensor, "T B D"],
    u: Float[Tensor, "T B D"],
    a: Float[Tensor, "D N"],
    b: Float[Tensor, "T B N"],
    c: Float[Tensor, "T B N"],
    state: Float[Tensor, "B D N"],
) -> tuple[Float[Tensor, "T B D"], Float[Tensor, "B D N"]]:
    """h_n = exp(-step a_n) h_n + b_n u and y = Σ_n c_n h_n, for each of D channels.

    Arguments:
        step: Δ, at least 0.
        u: what goes in, times Δ.
        a: rates, at least 0.
        b: how it enters the states.
        c: how they come out.
        state: before the first step.

    Returns:
        all y, and the last state.

    Raises:
        TypeError: for anything but tensors.
        ValueError: for shapes, dtypes or devices that do not fit, or without a step.
    """
    given = {"step": (step, "TBD"), "u": (u, "TBD"), "a": (a, "DN")}
    given |= {"b": (b, "TBN"), "c": (c, "TBN"), "state": (state, "BDN")}
    check_axes(given)
    if fast("selective", step, u, a, b, c, state):
        turned = a.t().contiguous(), state.transpose(1, 2).contiguous()
        rest = [x.contiguous() for x in (step, u, b, c)]
        y, last = _Selective.apply(*rest, *turned)
        return y, last.transpose(1, 2)
    factors = torch.exp(-step.unsqueeze(-1) * a)
    states = linear_recurrence(factors, u.unsqueeze(-1) * b.unsqueeze(-2), state)
    return torch.einsum("tbdn,tbn->tbd", states, c), states[-1].clone()


# --------------------------------------------------------------------------
# The compiled ways
# --------------------------------------------------------------------------


def _kept(steps: int, state: Tensor, keep: bool) -> Tensor | None:
    return state.new_empty(-(-steps // EVERY), *state.shape) if keep else None


def _keeps(ctx: Any) -> bool:
    return any(ctx.needs_input_grad)


class _Matrix(torch.autograd.Function):
    """`matrix_recurrence` as one node of autograd."""

    names = ("f", "k", "q", "v", "s0")
    out = ("y", "last", "kept", "dy", "df", "dk", "dq", "dv", "ds", "scratch")

    @staticmethod
    def run(function: str, arrays: dict[str, Any]) -> None:
        f, v = arrays["f"], arrays["v"]
        (steps, batch, heads, keys), values = f.shape, v.shape[-1]
        work = 8 * f.numel() * values
        parts = max(threads.number(work), 1)
        room = (EVERY + 1) * keys * values
        arrays["scratch"] = f.new_empty(parts, room)
        sizes = {"T": steps, "rows": batch * heads, "K": keys, "V": values}
        every = {k: arrays.get(k) for k in (*_Matrix.names, *_Matrix.out)}
        compiled.call("matrix", function, sizes | {"parts_room": room}, every, parts)

    @staticmethod
    def forward(ctx, *given):
        arrays: dict[str, Any] = dict(zip(_Matrix.names, given, strict=True))
        arrays["y"], arrays["last"] = (
            torch.empty_like(given[3]),
            torch.empty_like(given[4]),
        )
        arrays["kept"] = _kept(len(given[0]), given[4], _keeps(ctx))
        _Matrix.run("remember", arrays)
        ctx.save_for_backward(*given, arrays["kept"])
        return arrays["y"], arrays["last"]

    @staticmethod
    @once_only
    def backward(ctx, dy, ds):
        *given, kept = ctx.saved_tensors
        arrays: dict[str, Any] = dict(zip(_Matrix.names, given, strict=True))
        grads = {f"d{name}": torch.empty_like(arrays[name]) for name in "fkqv"}
        arrays |= grads | {"kept": kept, "dy": dy.contiguous()}
        arrays["ds"] = ds.clone(memory_format=torch.contiguous_format)
        _Matrix.run("unremember", arrays)
        return *grads.values(), arrays["ds"]


class _Selective(torch.autograd.Function):
    """`selective_recurrence` as one node of autograd; rates and state turned."""

    names = ("step", "u", "b", "c", "a", "h0")
    fields = (
        *("step", "u", "a", "b", "c", "h0", "y", "last", "kept"),
        *("dy", "dstep", "du", "da", "db", "dc", "dh", "scratch"),
    )

    @staticmethod
    def parts(step: Tensor, states: int) -> int:
        return max(min(threads.number(40 * step.numel() * states), step.shape[1]), 1)

    @staticmethod
    def run(function: str, arrays: dict[str, Any], parts: int) -> None:
        (steps, batch, width), states = arrays["step"].shape, len(arrays["a"])
        room = (2 * EVERY + 1) * states * width
        arrays["scratch"] = arrays["step"].new_empty(parts, room)
        sizes = {"T": steps, "B": batch, "D": width, "N": states, "parts_room": room}
        every = {k: arrays.get(k) for k in _Selective.fields}
        compiled.call("selective", function, sizes, every, parts)

    @staticmethod
    def forward(ctx, *given):
        arrays: dict[str, Any] = dict(zip(_Selective.names, given, strict=True))
        step, h0 = given[0], given[5]
        arrays["y"], arrays["last"] = torch.empty_like(step), torch.empty_like(h0)
        arrays["kept"] = _kept(len(step), h0, _keeps(ctx))
        _Selective.run("select_on", arrays, _Selective.parts(step, len(given[4])))
        ctx.save_for_backward(*given, arrays["kept"])
        return arrays["y"], arrays["last"]

    @staticmethod
    @once_only
    def backward(ctx, dy, dh):
        *given, kept = ctx.saved_tensors
        arrays: dict[str, Any] = dict(zip(_Selective.names, given, strict=True))
        parts = _Selective.parts(given[0], len(given[4]))
        grads = {f"d{k}": torch.empty_like(arrays[k]) for k in ("step", "u", "b", "c")}
        da = given[4].new_zeros(parts, *given[4].shape)
        arrays |= grads | {"kept": kept, "dy": dy.contiguous(), "da": da}
        arrays["dh"] = dh.clone(memory_format=torch.contiguous_format)
        _Selective.run("unselect", arrays, parts)
        return *grads.values(), da.sum(0), arrays["dh"]
