"""The law of the decay period D = 1 / (1 - f) at the start (P2 Table 4).

Each function gives the survival function P(D > x): the share of units that remember
for longer than x steps. On two logarithmic axes a power law is a straight line.
"""

import math
from functools import cache

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
    # D_j > x means d - j < d / x; the small number keeps exact ties from rounding up.
    above = torch.ceil(units / x * (1 - 1e-9))
    return (above / units).clamp(0, 1)


def uniform_mean(units: int) -> float:
    """E D = d ln(d - 1) / (d - 2) under UGI with the bounds 1/d and 1 - 1/d."""
    return units * math.log(units - 1) / (units - 2)


def uniform_quantile(share: Periods, units: int) -> Periods:
    """The D that a share q of the units stays below under UGI: d / (d - 1 - q(d - 2)).

    Arguments:
        share: q in [0, 1]; one half gives 2 for every d.
        units: d, the number of units, at least 3.
    """
    return units / (units - 1 - share * (units - 2))


def unrefine(g: Periods) -> Periods:
    """The f that becomes g when the refine gate starts at r = 1 - f (P2 Listing 2).

    With s = f - 1/2 the gate is g = 1/2 + s/2 + 2s³, and s = sinh(t)/√3 turns the
    cubic into sinh(3t) = 6√3 (g - 1/2). For uniform f this is P(effective gate ≤ g).
    """
    third = torch.asinh(6 * math.sqrt(3) * (g - 0.5)) / 3
    return 0.5 + torch.sinh(third) / math.sqrt(3)


def refined(x: Periods, units: int) -> Periods:
    """UR of the listing: f as in `uniform` and r = 1 - f, so that the tail is halved.

    Arguments:
        x: decay periods of the effective gate, at least 1.
        units: d, the number of units, at least 3.
    """
    return uniform(1 / unrefine(1 / x), units)


# Chrono with unknown T_max (P2 B.3): P(T = k) ∝ 1 / (k ln²(k + 1)), b_f = ln T.
# The sum over all k ≥ m lies between 1 / ln(m + 1) and 1 / ln(m - 1): for this m,
# 1 / ln m is right to 1e-7.
_SUMMED = 100_000


@cache
def _heavy_tails() -> Float[Tensor, " K"]:
    """Sums of 1 / (k ln²(k + 1)) over all k ≥ m, for m = 1 .. K."""
    k = torch.arange(1, _SUMMED, dtype=torch.float64)
    weights = 1 / (k * torch.log(k + 1) ** 2)
    rest = torch.tensor([1 / math.log(_SUMMED)], dtype=torch.float64)
    return torch.cat([weights, rest]).flip(0).cumsum(0).flip(0)


def heavy_total() -> float:
    """Z, the sum of 1 / (k ln²(k + 1)) over all k ≥ 1."""
    return _heavy_tails()[0].item()


def heavy(x: Periods) -> Periods:
    """Chrono with unknown T_max: D = 1 + T, so P(D > x) = P(T ≥ ⌊x⌋) ~ 1/(Z ln x).

    Arguments:
        x: decay periods in steps, at least 1.
    """
    m = x.double().floor().clamp(min=1)
    known = _heavy_tails()[m.clamp(max=_SUMMED).long() - 1]
    tail = torch.where(m < _SUMMED, known, 1 / m.log())
    return (tail / heavy_total()).to(x.dtype)


def heavy_biases(
    units: int, generator: torch.Generator | None = None
) -> Float[Tensor, " d"]:
    """Forget biases b = ln T of chrono with unknown T_max, shape (units,).

    Inverts the survival function. Beyond 100,000 steps T is not rounded to a whole
    number: there b = 1 / (Z v) for uniform v, which may be too large for exp(b).
    """
    # 1 - rand lies in (0, 1].
    v = 1 - torch.rand(units, dtype=torch.float64, generator=generator)
    survival = _heavy_tails()[1:] / heavy_total()  # P(T > k), k = 1 .. K - 1
    steps = 1 + torch.searchsorted(-survival, -v, right=True)
    far = v <= survival[-1]
    return torch.where(far, 1 / (heavy_total() * v), steps.double().log()).float()
