"""The law of the noisy gate, with samples and the bounds of P1's Proposition 3.1."""

import numpy as np
from jaxtyping import Float64

from gatebook_book.widgets.base import Seed, Slider, Widget, module, sheet, uniforms

SAMPLES = 400


class NoisyGate(Widget):
    """The noisy gate G(α, τ) of P1 §3.2 with the noise mask of its code.

    Left its density over a histogram of samples, right its distribution function over
    theirs; where only a share p of the gates gets noise, the others stand at
    σ(α / τ). Below, for the gates with noise, the probabilities of P1 eq. 8 and 9
    between their bounds. `gatebook_book.theory.gumbel` has the same formulas.

    Arguments:
        alpha: pre-activation α, from -6 to 6.
        tau: temperature τ, from 0.1 to 2.
        p: ρ, probability that a gate gets noise; 1 is the paper's text, 0.2 its code.
        epsilon: how near to 0 or 1 counts as shut or open, from 0.01 to 0.49.
        seed: seed of the samples; the button Redraw takes the next.

    Raises:
        ValueError: for a value outside its range, here or when it is set later.

    Example:
        >>> widget = NoisyGate(tau=0.5)
        >>> widget.alpha = 2.0  # moves the picture; a drag there sets it here
    """

    _esm = module("noisy_gate")
    _css = sheet()

    alpha = Slider(-6, 6, step=0.05)
    tau = Slider(0.1, 2)
    p = Slider(0, 1)
    epsilon = Slider(0.01, 0.49)
    seed = Seed()

    def __init__(
        self,
        *,
        alpha: float = 0.0,
        tau: float = 0.9,
        p: float = 1.0,
        epsilon: float = 0.1,
        seed: int = 0,
    ):
        super().__init__(alpha=alpha, tau=tau, p=p, epsilon=epsilon, seed=seed)

    def draws(self) -> Float64[np.ndarray, "2 samples"]:
        """Two numbers per sample: U makes the noise, V < p lets it in."""
        return uniforms(self.seed, 2 * SAMPLES).reshape(2, SAMPLES)
