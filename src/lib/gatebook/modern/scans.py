"""Other ways to h_t = a_t h_{t-1} + b_t, to read and to compare; autograd goes through.

They do more work than the loop in fewer sequential steps, which pays on machines with
far more arithmetic than a CPU. The cells themselves run `linear_recurrence`.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.errors import check_count
from gatebook.modern.recurrence import check


def chunked(
    a: Float[Tensor, "T *C"], b: Float[Tensor, "T *C"], chunk: int | None = None
) -> Float[Tensor, "T *C"]:
    """All chunks side by side, step by step; then the carry from chunk to chunk.

    Within a chunk that starts at s, h_t = h'_t + (a_s … a_t) h_{s-1}, with h' from
    zero. With chunks of √T there are 2 √T steps in a row, and twice the work.

    Arguments:
        a: factors of the state before, time first; the first state is zero.
        b: what is added.
        chunk: steps in a chunk; ``None`` takes √T, rounded up.

    Raises:
        TypeError: for anything but tensors.
        ValueError: for a chunk that is not a positive integer, shapes that differ, or
            no step.
    """
    check(a, b)
    size = math.isqrt(len(a) - 1) + 1 if chunk is None else chunk
    check_count("chunk", size)
    count = -(-len(a) // size)
    pad = count * size - len(a)
    shape = (count, size, *a.shape[1:])
    a_k, b_k = (
        torch.cat([x, x.new_zeros(pad, *x.shape[1:])]).view(shape) for x in (a, b)
    )
    h, product = torch.zeros_like(b_k[:, 0]), torch.ones_like(a_k[:, 0])
    states, products = [], []
    for a_t, b_t in zip(a_k.unbind(1), b_k.unbind(1), strict=True):
        h, product = a_t * h + b_t, a_t * product
        states.append(h)
        products.append(product)
    carry = [torch.zeros_like(h[0])]
    for last, whole in zip(h[:-1].unbind(), product[:-1].unbind(), strict=True):
        carry.append(last + whole * carry[-1])
    every = (
        torch.stack(states, 1) + torch.stack(products, 1) * torch.stack(carry)[:, None]
    )
    return every.flatten(0, 1)[: len(a)]


def associative(
    a: Float[Tensor, "T *C"], b: Float[Tensor, "T *C"]
) -> Float[Tensor, "T *C"]:
    """Doubling: (a, b) after (a', b') is (a a', a b' + b), and that is associative.

    After k rounds each place knows its last 2ᵏ steps (Hillis and Steele 1986):
    log₂ T rounds, T log₂ T work. Arguments and errors as for `chunked`.
    """
    check(a, b)
    width = 1
    while width < len(a):
        before_a, before_b = a[:-width], b[:-width]
        later_a, later_b = a[width:], b[width:]
        b = torch.cat([b[:width], later_a * before_b + later_b])
        a = torch.cat([a[:width], later_a * before_a])
        width *= 2
    return b


def log_space(
    log_a: Float[Tensor, "T *C"], log_b: Float[Tensor, "T *C"]
) -> Float[Tensor, "T *C"]:
    """exp(L + logcumsumexp(log b - L)) with L the running sum of log a.

    Heinsen (arXiv 2311.06281), and the training mode of minGRU and minLSTM
    (arXiv 2410.01201). It needs a, b > 0 and no loop. Its values are stable. Its
    gradient is not: it is a difference of sums that grow with L, and loses the digits
    that L has before the point.

    Arguments:
        log_a: logarithms of the factors, time first; the first state is zero.
        log_b: logarithms of what is added.
    """
    total = log_a.cumsum(0)
    return torch.exp(total + torch.logcumsumexp(log_b - total, 0))
