"""Axis 3 of the grid: noise and temperature on the pre-activations (P1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gatebook.errors import check_choice, check_positive, check_probability


@dataclass(frozen=True)
class Silent:
    """No noise."""

    draws = False  # whether training asks for random numbers

    def sample(
        self, shape: tuple[int, ...], like: Tensor, generator: torch.Generator
    ) -> Tensor | None:
        """Draws nothing."""
        return None

    def apply(self, pre: Tensor, noise: Tensor | None, training: bool) -> Tensor:
        """The pre-activation as it is."""
        return pre


_PART = 2**16
"""How many noise values are made at a time; the draws do not depend on it."""


@dataclass(frozen=True)
class Gumbel:
    """G2-LSTM noise: training gates are σ((α + B·(log U - log(1 - U))) / τ).

    P1 eqs. 11-12 and Prop. 3.1, with the mask B ~ Bernoulli(p) and the guard eps
    of the published code; the paper mentions neither. A new U and B is drawn for
    each step, example and unit.

    Arguments:
        tau: temperature τ > 0, applied to every unit, masked or not. P1: 0.9.
        p: probability that a unit gets noise. Published code: 0.2; the paper's
            text means 1. With p = 0 the code drops the temperature, too.
        eps: keeps the logarithms finite: the noise lies between -6.91 and 6.91.
        evaluation: ``"code"`` gives σ(α), without noise and without temperature,
            as the published code does; ``"paper"`` gives σ(α / τ), the training
            gate's median.
    """

    tau: float = 0.9
    p: float = 0.2
    eps: float = 1e-3
    evaluation: str = "code"
    draws = True

    def __post_init__(self):
        check_positive("tau", self.tau)
        check_probability("p", self.p)
        check_positive("eps", self.eps)
        check_choice("evaluation", self.evaluation, ("code", "paper"))

    def sample(
        self, shape: tuple[int, ...], like: Tensor, generator: torch.Generator
    ) -> Tensor:
        """B·(log(U + eps) - log(1 + eps - U)), of the dtype and device of ``like``."""
        # In half precision eps would be lost beside 1, and the logarithm infinite.
        wide = torch.promote_types(like.dtype, torch.float32)
        noise = torch.empty(shape, device=like.device, dtype=wide)
        # On a CPU a part stays in the cache while all operations pass over it.
        size = _PART if like.device.type == "cpu" else max(noise.numel(), 1)
        for u in noise.view(-1).split(size):
            u.uniform_(generator=generator)
            self._transform(u)
        return noise.to(like.dtype)

    def _transform(self, u: Tensor) -> None:
        """In place: uniform numbers become masked logistic ones."""
        mask = u < self.p
        # Given that u < p, u / p is uniform: one number serves mask and noise.
        u.div_(max(self.p, torch.finfo(u.dtype).tiny)).clamp_(max=1)
        odds = (u + self.eps).div_(u.neg_().add_(1 + self.eps))
        torch.mul(odds.log_(), mask, out=u)

    def apply(self, pre: Tensor, noise: Tensor | None, training: bool) -> Tensor:
        """What goes into the sigmoid."""
        if self.p == 0:
            return pre
        if training and noise is not None:
            return (pre + noise) / self.tau
        return pre if self.evaluation == "code" else pre / self.tau


@dataclass(frozen=True)
class Sharpened:
    """Sharpened sigmoid σ(α / τ), in training and in evaluation (P1 §3.2).

    Arguments:
        tau: temperature τ > 0. P1's baseline: 0.2.
    """

    tau: float = 0.2
    draws = False

    def __post_init__(self):
        check_positive("tau", self.tau)

    def sample(
        self, shape: tuple[int, ...], like: Tensor, generator: torch.Generator
    ) -> Tensor | None:
        """Draws nothing."""
        return None

    def apply(self, pre: Tensor, noise: Tensor | None, training: bool) -> Tensor:
        """What goes into the sigmoid."""
        return pre / self.tau


Noise = Silent | Gumbel | Sharpened
"""Any noise: `Silent`, `Gumbel` or `Sharpened`."""
