"""Where a differentiable neural computer writes and reads: a function per equation.

Graves et al. 2016 (Methods); details from google-deepmind/dnc @f5981c6, dnc/. Shapes: B
examples, N rows of the memory, W numbers per row, R read heads, one write head. All
weights over rows are non-negative and sum to at most 1.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-6
"""Keeps a square root and a product off 0, where they have no gradient."""


def content(
    memory: Float[Tensor, "B N W"],
    keys: Float[Tensor, "B R W"],
    strengths: Float[Tensor, "B R"],
) -> Float[Tensor, "B R N"]:
    """Rows that resemble a key: softmax over rows of strength · cosine.

    The length of x is √(Σ x² + ε), as in the published code: at the start all rows are
    zero, and the cosine of the paper is 0/0.
    """
    lengths = _length(keys)[..., None] * _length(memory)[:, None]
    return (strengths[..., None] * (keys @ memory.mT) / lengths).softmax(-1)


def _length(x: Float[Tensor, "B K W"]) -> Float[Tensor, "B K"]:
    return ((x * x).sum(-1) + EPSILON).sqrt()


def usage(
    u: Float[Tensor, "B N"],
    w: Float[Tensor, "B N"],
    read_weights: Float[Tensor, "B R N"],
    free: Float[Tensor, "B R"],
) -> Float[Tensor, "B N"]:
    """u' = (u + w - u ∘ w) ∘ Π_heads (1 - φ ρ): rows written, rows freed.

    Arguments:
        u: the usage before.
        w: the write weights of the last step. No gradient goes through them, as in
            the published code; the paper does not say so.
        read_weights: ρ of the last step.
        free: the free gates φ.
    """
    w = w.detach()
    kept = math.prod((1 - free[..., None] * read_weights).unbind(1))
    return (u + w - u * w) * kept


def allocation(u: Float[Tensor, "B N"]) -> Float[Tensor, "B N"]:
    """Rows that are free: a = (1 - u) · the product of all smaller usages.

    The sum of a is 1 minus the product of all usages. At the start all usages are
    equal: a stable sort takes the first row, on every device. The gradient takes the
    order as fixed, as the paper does.
    """
    wide = torch.promote_types(u.dtype, torch.float32)  # in half precision 1 - ε is 1
    ordered, order = (EPSILON + (1 - EPSILON) * u.to(wide)).sort(dim=-1, stable=True)
    logs = ordered.log()  # a running sum has a simpler derivative than a product
    a = (1 - ordered) * (logs.cumsum(-1) - logs).exp()
    return torch.zeros_like(a).scatter(-1, order, a).to(u.dtype)


def write_weights(
    a: Float[Tensor, "B N"],
    found: Float[Tensor, "B N"],
    allocation_gate: Float[Tensor, "B 1"],
    write_gate: Float[Tensor, "B 1"],
) -> Float[Tensor, "B N"]:
    """w' = g_w (g_a a + (1 - g_a) c): to a free row, or to one found by content."""
    return write_gate * (allocation_gate * a + (1 - allocation_gate) * found)


def write(
    memory: Float[Tensor, "B N W"],
    w: Float[Tensor, "B N"],
    erase: Float[Tensor, "B W"],
    vector: Float[Tensor, "B W"],
) -> Float[Tensor, "B N W"]:
    """M' = M ∘ (1 - w e) + w v, written as a change of M."""
    change = vector[:, None] - erase[:, None] * memory
    return memory + w[..., None] * change


def links(
    before: Float[Tensor, "B N N"],
    precedence: Float[Tensor, "B N"],
    w: Float[Tensor, "B N"],
) -> Float[Tensor, "B N N"]:
    """L'_ij = (1 - w_i - w_j) L_ij + w_i p_j, and L'_ii = 0: i was written after j."""
    i, j = w[:, :, None], w[:, None]
    new = (1 - i - j) * before + i * precedence[:, None]
    itself = torch.eye(w.shape[-1], dtype=torch.bool, device=w.device)
    return new.masked_fill(itself, 0)


def precedence(
    before: Float[Tensor, "B N"], w: Float[Tensor, "B N"]
) -> Float[Tensor, "B N"]:
    """p' = (1 - Σ w) p + w: to what degree each row is the one written last."""
    return (1 - w.sum(-1, keepdim=True)) * before + w


def read_weights(
    links: Float[Tensor, "B N N"],
    before: Float[Tensor, "B R N"],
    found: Float[Tensor, "B R N"],
    modes: Float[Tensor, "B R 3"],
) -> Float[Tensor, "B R N"]:
    """ρ' = π_b L'ᵀρ + π_c c + π_f L'ρ: a step back, by content, or forward.

    Arguments:
        links: L', after this step's write.
        before: ρ of the last step.
        found: c, by content, on the memory after the write.
        modes: π, in the paper's order: backward, content, forward. The published code
            has forward before content.
    """
    back, by_content, on = modes[..., None].unbind(2)
    return back * (before @ links) + by_content * found + on * (before @ links.mT)


def read(
    memory: Float[Tensor, "B N W"], read_weights: Float[Tensor, "B R N"]
) -> Float[Tensor, "B R W"]:
    """r = Mᵀρ, a mean of the rows."""
    return read_weights @ memory
