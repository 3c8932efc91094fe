"""sLSTM's steps on a CPU, as one node of autograd; slstm.c runs them."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gatebook.fused.cpu import threads
from gatebook.fused.once import once_only
from gatebook.modern import compiled
from gatebook.modern.states import fast

STATE = ("h", "c", "n", "m")
FIELDS = (
    *("entered", "weight", "turned", "scale", *(f"{name}0" for name in STATE)),
    *("pre", "h", "c", "n", "m", "f", "i"),
    *("dh_out", "blind", "dpre", "dh", "dc", "dn"),
)
"""The arrays of slstm.c, in its order."""

Parts = tuple[Tensor, ...]


def usable(*tensors: Tensor) -> bool:
    """Whether the C serves these tensors."""
    return fast("slstm", *tensors)


def run(
    entered: Float[Tensor, "T B Z"],
    weight: Float[Tensor, "heads D R"],
    scale: Float[Tensor, ""],
    detached: Bool[Tensor, "T *B"] | None,
    state: Parts,
) -> tuple[Float[Tensor, "T B H"], Parts]:
    """All outputs, and the last state.

    Arguments:
        entered: the input's share of the pre-activations, with their noise.
        weight: recurrent, each head's units to their blocks.
        scale: of the gate's pre-activations, 1 / τ.
        detached: where h is not to have a gradient; by step or by example.
        state: h, c, n and m before the first step.
    """
    blind = None
    if detached is not None:
        blind = detached.view(len(detached), -1).expand(entered.shape[:2]).contiguous()
    outputs, *last = _Run.apply(scale, blind, entered, weight, *state)
    return outputs, (outputs[-1].clone(), *last)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scale, blind, entered, weight, *state):
        given = [t.contiguous() for t in (entered, weight, *state)]
        names = ("entered", "weight", *(f"{name}0" for name in STATE))
        arrays: dict[str, Any] = dict(zip(names, given, strict=True))
        arrays |= {"scale": scale, "blind": blind, "pre": torch.empty_like(given[0])}
        shape = (*entered.shape[:2], state[0].shape[-1])
        made = {name: entered.new_empty(shape) for name in (*STATE, "f", "i")}
        _call("slstm", arrays | made)
        ctx.names = [*names, "scale", "blind", "pre", *made]
        ctx.save_for_backward(*given, scale, blind, arrays["pre"], *made.values())
        last = [made[name][-1].clone() for name in ("c", "n", "m")]
        ctx.mark_non_differentiable(last[-1])
        return made["h"], *last

    @staticmethod
    @once_only
    def backward(ctx, dh_out, dc, dn, _):
        arrays: dict[str, Any] = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        arrays |= {"dh_out": dh_out.contiguous(), "dh": torch.zeros_like(dc)}
        arrays |= {"dc": dc.clone(), "dn": dn.clone()}
        heads, width, _ = arrays["weight"].shape
        blocks = arrays["weight"].view(heads, width, -1, width)
        arrays["turned"] = blocks.permute(0, 2, 3, 1).contiguous()
        arrays["dpre"] = torch.empty_like(arrays["pre"])
        _call("unslstm", arrays)
        first = arrays["dh"], arrays["dc"], arrays["dn"], None
        return None, None, arrays["dpre"], _of_weight(arrays), *first


def _of_weight(arrays: dict[str, Any]) -> Float[Tensor, "heads D R"]:
    """The recurrent weight's gradient, in one product for each head."""
    heads, width, rows = arrays["weight"].shape
    before = torch.cat([arrays["h0"][None], arrays["h"][:-1]]).flatten(0, 1)
    before = before.unflatten(-1, (heads, width)).permute(1, 2, 0)
    d = arrays["dpre"].flatten(0, 1).unflatten(-1, (rows // width, heads, width))
    return torch.bmm(before, d.permute(2, 0, 1, 3).flatten(2))


def _call(function: str, arrays: dict[str, Any]) -> None:
    (steps, batch, rows), heads = arrays["entered"].shape, len(arrays["weight"])
    units = arrays["h0"].shape[-1]
    sizes = {"T": steps, "B": batch, "H": units, "heads": heads, "G": rows // units}
    work = steps * batch * (arrays["weight"].numel() + 200 * units)
    parts = max(min(threads.number(work), batch), 1)
    every = {name: arrays.get(name) for name in FIELDS}
    compiled.call("slstm", function, sizes, every, parts)
