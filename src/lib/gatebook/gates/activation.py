"""Axis 1 of the grid: the gates' activation, and the bias they start with."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.errors import check_count, check_finite


def cumax(pre: Float[Tensor, "*B H"]) -> Float[Tensor, "*B H"]:
    """cumsum(softmax(pre)): a vector that rises from above 0 to 1 (P2 §2.5)."""
    # Rounding may carry the sum past 1 by an ulp or two; a gate must not exceed 1.
    return pre.softmax(-1).cumsum(-1).clamp(max=1.0)


@dataclass(frozen=True)
class Constant:
    """Sigmoid gates; every forget unit starts with the same bias (P2 §2.2).

    Arguments:
        bias: initial forget bias. P2 takes 1.0 for its vanilla LSTM, P1 and P3
            have none (0.0).
    """

    bias: float = 1.0

    def __post_init__(self):
        check_finite("bias", self.bias)

    def forget(self, pre: Tensor) -> Tensor:
        """P2 eq. 2: f = σ(L_f)."""
        return pre.sigmoid()

    def input(self, pre: Tensor) -> Tensor:
        """P2 eq. 3: i = σ(L_i)."""
        return pre.sigmoid()

    def forget_bias(self, units: int, generator: torch.Generator | None) -> Tensor:
        """Initial forget bias of each unit, shape (units,)."""
        return torch.full((units,), float(self.bias))

    mirrors_input = False  # the input bias keeps the core's own initialisation


@dataclass(frozen=True)
class Chrono(Constant):
    """Chrono initialisation, P2 eq. 17: b_f ~ log U[1, T_max - 1], eq. 18: b_i = -b_f.

    Arguments:
        t_max: longest dependency expected, in steps (at least 2); ``None`` takes
            the number of units, as P2 §3 does when it is not tuned.
    """

    bias: float = field(default=0.0, init=False, repr=False)
    t_max: int | None = None

    def __post_init__(self):
        if self.t_max is not None:
            check_count("t_max", self.t_max, least=2)

    def forget_bias(self, units: int, generator: torch.Generator | None) -> Tensor:
        """Log of a uniform draw from [1, T_max - 1], shape (units,)."""
        t_max = max(self.t_max or units, 2)
        return torch.empty(units).uniform_(1, t_max - 1, generator=generator).log()

    mirrors_input = True


@dataclass(frozen=True)
class Uniform(Constant):
    """Uniform gate initialisation, P2 eq. 9: b_f = logit(u), u ~ U[1/d, 1 - 1/d].

    The bounds 1/d are those of P2 D.5, where b_i = -b_f as in eq. 18.

    Arguments:
        d: at least 2; ``None`` takes the number of values drawn. P2 says the hidden
            size, which for master gates is C times as large as that number.
    """

    bias: float = field(default=0.0, init=False, repr=False)
    d: int | None = None

    def __post_init__(self):
        if self.d is not None:
            check_count("d", self.d, least=2)

    def __repr__(self) -> str:
        # Stored runs and checkpoints know a gate by this; d came later.
        return "Uniform()" if self.d is None else f"Uniform(d={self.d})"

    def forget_bias(self, units: int, generator: torch.Generator | None) -> Tensor:
        """Logit of a uniform draw, shape (units,)."""
        low = 1 / (self.d or max(units, 2))
        return torch.empty(units).uniform_(low, 1 - low, generator=generator).logit()

    mirrors_input = True


@dataclass(frozen=True)
class Ordered(Constant):
    """Ordered gates, P2 eq. 28: f = cumax(L_f), eq. 29: i = 1 - cumax(L_i)."""

    bias: float = field(default=0.0, init=False, repr=False)

    def forget(self, pre: Tensor) -> Tensor:
        """P2 eq. 28: f = cumax(L_f)."""
        return cumax(pre)

    def input(self, pre: Tensor) -> Tensor:
        """P2 eq. 29: i = 1 - cumax(L_i)."""
        return 1 - cumax(pre)


Activation = Constant | Chrono | Uniform | Ordered
"""Any activation: `Constant`, `Chrono`, `Uniform` or `Ordered`."""
