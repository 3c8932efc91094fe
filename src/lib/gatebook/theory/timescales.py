"""The law of the decay period D = 1 / (1 - f) at the start (P2 Table 4).

Each function gives the survival function P(D > x): the share of units that remember
for longer than x steps. On two logarithmic axes a power law is a straight line.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

Periods = Float[Tensor, "..."]


def constant(x: Periods, bias: float) -> Periods:
    """A forget bias b: every unit has D = 1 + e^b."""
    return (x < 1 + math.exp(bias)).to(x.dtype)


def chrono(x: Periods, t_max: float) -> Periods:
    """Chrono with known T_max: D is uniform on [2, T_max] (P2 eq. 17)."""
    return ((t_max - x) / (t_max - 2)).clamp(0, 1)


def uniform(x: Periods, units: int) -> Periods:
    """UGI: f is uniform on [1/d, 1 - 1/d], so the density of D is ∝ x⁻² (P2 Prop. 1).

    Arguments:
        x: decay periods in steps, at least 1.
        units: d, the number of units, at least 3.
    """
    return ((1 / x - 1 / units) / (1 - 2 / units)).clamp(0, 1)


def cumax(x: Periods, units: int) -> Periods:
    """Ordered gates of equal pre-activations: f_j = j/d, so D_j = d / (d - j)."""
    # j/d > 1 - 1/x; the small number keeps exact ties from rounding up.
    above = units - torch.floor(units * (1 - 1 / x) + 1e-9)
    return (above / units).clamp(0, 1)
