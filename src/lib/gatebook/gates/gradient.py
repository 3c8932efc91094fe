"""Axis 4 of the grid: where the gradient is blocked in training (P3)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from gatebook.errors import check_choice, check_probability
from gatebook.random import uniform


@dataclass(frozen=True)
class Full:
    """The gradient as it is."""

    p = 0.0
    draws = False  # whether training asks for random numbers

    def sample(
        self, steps: int, batch: int, generator: torch.Generator
    ) -> Bool[Tensor, "T *B"] | None:
        """Draws nothing."""
        return None

    def h(self, h: Tensor, detached: Tensor | None) -> Tensor:
        """The hidden state that the cell reads."""
        return h

    def c(self, c: Tensor, detached: Tensor | None) -> Tensor:
        """The cell state that the cell reads."""
        return c


@dataclass(frozen=True)
class _Detach(Full):
    """Shared by h-detach and c-detach: when to block the gradient.

    Arguments:
        p: probability of DETACHING, in [0, 1].
        per: ``"step"`` draws once per time step for the batch, as the authors'
            code does; ``"example"`` draws for each sequence of the batch.
    """

    p: float = 0.25
    per: str = "step"
    draws = True

    def __post_init__(self):
        check_probability("p", self.p)
        check_choice("per", self.per, ("step", "example"))

    def sample(
        self, steps: int, batch: int, generator: torch.Generator
    ) -> Bool[Tensor, "T *B"]:
        """True where the gradient is blocked: (T,) per step, (T, B) per example."""
        shape = (steps,) if self.per == "step" else (steps, batch)
        return uniform(generator, *shape) < self.p


def _blocked(state: Tensor, detached: Tensor | None) -> Tensor:
    if detached is None:
        return state
    if detached.dim() == 0:
        return state.detach() if detached else state
    return torch.where(detached[:, None], state.detach(), state)


@dataclass(frozen=True)
class HDetach(_Detach):
    """h-detach, P3 Algorithm 1: at random steps the cell reads stop_gradient(h).

    The output head sees h undetached, and c is never detached.
    """

    def h(self, h: Tensor, detached: Tensor | None) -> Tensor:
        """h, or stop_gradient(h) where drawn."""
        return _blocked(h, detached)


@dataclass(frozen=True)
class CDetach(_Detach):
    """c-detach, the ablation of P3 §4.3: the same rule on the cell state."""

    def c(self, c: Tensor, detached: Tensor | None) -> Tensor:
        """c, or stop_gradient(c) where drawn."""
        return _blocked(c, detached)


GradientRule = Full | HDetach | CDetach
"""Any gradient rule: `Full`, `HDetach` or `CDetach`."""
