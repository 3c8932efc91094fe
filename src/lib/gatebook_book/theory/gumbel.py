"""The law of the noisy gate G(α, τ) (P1 §3.2, Proposition 3.1)."""

from dataclasses import dataclass

from gatebook.errors import check_positive
from jaxtyping import Float
from torch import Tensor

Reals = Float[Tensor, "..."]


def cdf(g: Reals, alpha: Reals, tau: float, eps: float = 0.0) -> Reals:
    """P(G ≤ g) = σ(τ logit g - α), for g in (0, 1).

    With the guard eps of the published code, U is replaced by
    V = (U + eps) / (1 + 2 eps), which is uniform on a shorter interval.

    Arguments:
        g: values of the gate, in (0, 1).
        alpha: pre-activation α.
        tau: temperature τ > 0.
        eps: 0 is the paper's text, 1e-3 its code.
    """
    check_positive("tau", tau)
    s = (tau * g.logit() - alpha).sigmoid()
    return ((1 + 2 * eps) * s - eps).clamp(0, 1)


def pdf(g: Reals, alpha: Reals, tau: float) -> Reals:
    """The density of G(α, τ): τ s (1 - s) / (g (1 - g)) with s = P(G ≤ g)."""
    s = cdf(g, alpha, tau)
    return tau * s * (1 - s) / (g * (1 - g))


@dataclass(frozen=True)
class Bounds:
    """One line of Proposition 3.1: lower ≤ exact ≤ upper."""

    lower: Reals
    exact: Reals
    upper: Reals


def open_bounds(alpha: Reals, tau: float, epsilon: float) -> Bounds:
    """P(G ≥ 1 - ε) between its bounds, P1 eq. 8.

    Arguments:
        alpha: pre-activation α; P(D = 1) = σ(α) is the upper bound.
        tau: temperature τ > 0.
        epsilon: how near to 1 counts as open, in (0, 1/2).

    Raises:
        ValueError: if ε is not in (0, 1/2), where the upper bound fails.
    """
    check_positive("tau", tau)
    if not 0 < epsilon < 0.5:
        raise ValueError(f"epsilon is {epsilon!r}; allowed: above 0 and below 1/2")
    near = alpha.new_tensor(1 / epsilon - 1).log()  # logit(1 - ε)
    upper = alpha.sigmoid()
    slack = tau / 4 * alpha.new_tensor(1 / epsilon).log()
    return Bounds(upper - slack, (alpha - tau * near).sigmoid(), upper)


def shut_bounds(alpha: Reals, tau: float, epsilon: float) -> Bounds:
    """P(G ≤ ε) between its bounds, P1 eq. 9; by symmetry, eq. 8 at -α."""
    return open_bounds(-alpha, tau, epsilon)
