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


def gradient_norm(f: Unit, r: Unit) -> Unit:
    """‖∇g‖ by the two pre-activations of f and r (P2 Appendix C).

    ∂g/∂x = 2 f (1 - f) [r + (1 - 2r) f] and ∂g/∂y = 2 f (1 - f) r (1 - r).
    """
    by_forget = 2 * f * (1 - f) * (r + (1 - 2 * r) * f)
    by_refine = 2 * f * (1 - f) * r * (1 - r)
    return torch.hypot(by_forget, by_refine)
