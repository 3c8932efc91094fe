"""Do draws follow a law? The distance of Kolmogorov, and how large it may be.

``scipy.stats.kstest`` gives the distance to a continuous law. One law of the pages has
steps and is compared halfway between them.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def distance(
    draws: Float[Tensor, " N"],
    cdf: Callable[[Tensor], Tensor],
    points: Float[Tensor, " P"] | None = None,
) -> float:
    """Largest gap between a distribution function and the share of draws below.

    Arguments:
        draws: N values.
        cdf: the law, P(X ≤ x).
        points: where to look; by default at the draws, on both sides of each step,
            which finds the largest gap to a continuous law.
    """
    ordered = draws.sort().values
    count = len(ordered)
    if points is not None:
        share = torch.searchsorted(ordered, points, right=True) / count
        return (cdf(points) - share).abs().max().item()
    above = torch.arange(1, count + 1, dtype=ordered.dtype) / count
    law = cdf(ordered)
    return torch.maximum(above - law, law - above + 1 / count).max().item()


def allowed(count: int) -> float:
    """A distance that N independent draws exceed with a probability below 10⁻⁵.

    The inequality of Dvoretzky, Kiefer and Wolfowitz (with Massart's constant):
    P(distance > t) ≤ 2 exp(-2 N t²), here with t = 2.5 / √N.
    """
    return 2.5 / count**0.5
