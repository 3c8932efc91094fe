"""What a constant forget gate keeps, and its gradient: the page *What a gate is*."""

import math

from jaxtyping import Float
from torch import Tensor


def share_left(bias: Float[Tensor, "*n"], steps: float) -> Float[Tensor, "*n"]:
    """f^k: what is left of an input after k steps, at f = σ(b).

    Arguments:
        bias: b, the gate's constant pre-activation.
        steps: k, at least 0.
    """
    return bias.sigmoid() ** steps


def gradient(bias: Float[Tensor, "*n"], steps: float) -> Float[Tensor, "*n"]:
    """k f^k (1 - f): the derivative of f^k by the pre-activation.

    Arguments:
        bias: b, the gate's constant pre-activation.
        steps: k, at least 0.
    """
    return steps * share_left(bias, steps) * (-bias).sigmoid()


def largest_gradient(steps: int) -> tuple[float, float]:
    """The timescale D = k + 1 at which `gradient` is largest, and its value there.

    Arguments:
        steps: k, at least 1.
    """
    return steps + 1, math.exp(-(steps + 1) * math.log1p(1 / steps))
