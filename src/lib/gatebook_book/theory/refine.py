"""The refine gate's band and gradient (P2 §2.3 and Appendix C)."""

import torch
from jaxtyping import Float
from torch import Tensor

Unit = Float[Tensor, "..."]


def band(f: Unit) -> tuple[Unit, Unit]:
    """The ends f² and 1 - (1 - f)² between which r moves g (P2 eq. 16)."""
    return f**2, 1 - (1 - f) ** 2


def refine_for(f: Unit, g: Unit) -> Unit:
    """The r with which f becomes g: r = (g - f²) / (2 f (1 - f)), Appendix C."""
    return (g - f**2) / (2 * f * (1 - f))


def gradient(f: Unit, r: Unit) -> tuple[Unit, Unit]:
    """∂g/∂x and ∂g/∂y, for the pre-activations x of f and y of r (Appendix C).

    ∂g/∂x = 2 f (1 - f) [r + (1 - 2r) f] and ∂g/∂y = 2 f (1 - f) r (1 - r).
    """
    slope = 2 * f * (1 - f)
    return slope * (r + (1 - 2 * r) * f), slope * r * (1 - r)


def gradient_norm(f: Unit, r: Unit) -> Unit:
    """‖∇g‖ by both pre-activations (P2 Appendix C, Figure 2d)."""
    return torch.hypot(*gradient(f, r))


def gradient_range(
    g: Float[Tensor, " N"], points: int = 2001
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Least and largest ‖∇g‖ among all (f, r) with the effective gate g.

    P2 Appendix C: f runs through [1 - √(1 - g), √g], where r lies in [0, 1].

    Arguments:
        g: effective gates in (0, 1).
        points: values of f that are tried for each g.
    """
    share = torch.linspace(0, 1, points, dtype=g.dtype)[:, None]
    low, high = 1 - (1 - g).sqrt(), g.sqrt()
    f = low + share * (high - low)
    norm = gradient_norm(f, refine_for(f, g).clamp(0, 1))
    return norm.min(0).values, norm.max(0).values


def largest_gradient(g: Unit) -> Unit:
    """The largest ‖∇g‖ in closed form: 2 g (1 - g) / (1 + √min(g, 1 - g)).

    It is taken at r = 1 for g ≥ 1/2, and at r = 0 for g ≤ 1/2. The page on the
    refine gate has the proof.
    """
    return 2 * g * (1 - g) / (1 + torch.minimum(g, 1 - g).sqrt())
