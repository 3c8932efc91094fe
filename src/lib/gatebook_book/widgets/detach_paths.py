"""The gradient paths that h-detach leaves."""

import numpy as np
from jaxtyping import Float64

from gatebook_book.widgets.base import Seed, Slider, Widget, module, sheet, uniforms


class DetachPaths(Widget):
    """Gradient paths from c_0 to c_T under h-detach (P3).

    Above, the states c and h of each time step. The edges out of h_(t-1) are cut
    where a uniform number u_t lies below p, so that a larger p cuts more and never
    other steps. Below, the share of the expected paths by their visits to h, and in
    grey the same without detaching. `theory.detach` has the same formulas.

    Arguments:
        p: probability of DETACHING, from 0 to 1.
        steps: T, from 2 to 32.
        seed: seed of the numbers u_t; the button Redraw takes the next.

    Raises:
        ValueError: for a value outside its range, here or when it is set later.

    Example:
        >>> DetachPaths(p=0.5)
        DetachPaths(p=0.5, steps=20, seed=0)
    """

    _esm = module("detach_paths")
    _css = sheet()

    p = Slider(0, 1)
    steps = Slider(2, 32, whole=True)
    seed = Seed()

    def __init__(self, *, p: float = 0.25, steps: int = 20, seed: int = 0):
        super().__init__(p=p, steps=steps, seed=seed)

    def draws(self) -> Float64[np.ndarray, " n"]:
        """The numbers u_t of the picture, for the steps t = 2 .. T."""
        return uniforms(self.seed, self.steps - 1)
