"""How forget gates start in linear-recurrent models: laws of f at zero input.

Each is a start like `gatebook.gates.Uniform`, and any module takes it:
``LSTM(2, 8, gate=Gate(LogUniform(2, 200)))``. A law is given by the logit of f,
whatever form the model writes its gate in; the model turns it into its own parameters.
The timescale of a gate is τ = -1 / log f steps, about 1 / (1 - f).
"""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.errors import check_count, check_finite, check_positive
from gatebook.gates import Constant


def logit_of_log(log_f: Float[Tensor, " H"]) -> Float[Tensor, " H"]:
    """The logit of f from log f, without loss where f is close to 1."""
    return log_f - torch.log(-torch.expm1(log_f))


def _check_range(low: float, high: float, least: float, most: float) -> None:
    check_positive("low", low)
    check_positive("high", high)
    if not least < low <= high < most:
        raise ValueError(
            f"low is {low!r} and high {high!r}; allowed: {least:g} < low <= high"
            + f" < {most:g}" * math.isfinite(most)
        )


@dataclass(frozen=True)
class LogUniform(Constant):
    """1 / (1 - f) is log-uniform: every scale has the same share of the units.

    The law of S4 and Mamba as one of timescales, with the ends chosen in steps.

    Arguments:
        low: the shortest timescale, more than 1 step.
        high: the longest, in steps.

    Raises:
        ValueError: unless 1 < low <= high.
    """

    bias: float = field(default=0.0, init=False, repr=False)
    low: float = 2.0
    high: float = 400.0
    mirrors_input = True

    def __post_init__(self):
        _check_range(self.low, self.high, 1, math.inf)

    def forget_bias(self, units: int, generator: torch.Generator | None) -> Tensor:
        """log(τ - 1), the logit of 1 - 1/τ; shape (units,)."""
        ends = math.log(self.low), math.log(self.high)
        log_tau = torch.empty(units).uniform_(*ends, generator=generator)
        return torch.expm1(log_tau).log()


@dataclass(frozen=True)
class Steps(Constant):
    """f = exp(-Δ) with a log-uniform step Δ, as Mamba's first state starts.

    S4 draws Δ by the same law, but its states decay by exp(-Δ / 2): its start is
    ``Steps(0.0005, 0.05)``, with timescales from 20 to 2,000 steps.

    Sources: state-spaces/mamba@e9594ce mamba_ssm/modules/mamba_simple.py,
    state-spaces/s4@e757cef models/s4/s4d.py.

    Arguments:
        low: the smallest Δ, above 0, in time per step.
        high: the largest.

    Raises:
        ValueError: unless 0 < low <= high.
    """

    bias: float = field(default=0.0, init=False, repr=False)
    low: float = 0.001
    high: float = 0.1
    mirrors_input = True

    def __post_init__(self):
        _check_range(self.low, self.high, 0, math.inf)

    def forget_bias(self, units: int, generator: torch.Generator | None) -> Tensor:
        """The logit of exp(-Δ), minus Mamba's bias of Δ; shape (units,)."""
        ends = math.log(self.low), math.log(self.high)
        step = torch.empty(units).uniform_(*ends, generator=generator).exp()
        return logit_of_log(-step)


@dataclass(frozen=True)
class Ring(Constant):
    """f = u^power with u uniform between two moduli: LRU and RG-LRU.

    With power 1 and ends 1/d and 1 - 1/d it is P2's uniform start.

    Arguments:
        low: least u, above 0.
        high: largest u, below 1.
        power: of u, positive.

    Raises:
        ValueError: unless 0 < low <= high < 1 and power > 0.
    """

    bias: float = field(default=0.0, init=False, repr=False)
    low: float = 0.9
    high: float = 0.999
    power: float = 1.0
    mirrors_input = True

    def __post_init__(self):
        _check_range(self.low, self.high, 0, 1)
        check_positive("power", self.power)

    def forget_bias(self, units: int, generator: torch.Generator | None) -> Tensor:
        """The logit of u^power, shape (units,)."""
        u = torch.empty(units, dtype=torch.float64)
        u.uniform_(self.low, self.high, generator=generator)
        return logit_of_log(self.power * u.log()).float()


@dataclass(frozen=True)
class Spaced(Constant):
    """Equally spaced biases: a grid of timescales for a few heads, as mLSTM starts.

    Source: NX-AI/xlstm@032a6fb xlstm/blocks/mlstm/cell.py.

    Arguments:
        low: the first head's bias.
        high: the last one's.

    Raises:
        ValueError: unless both are finite.
    """

    bias: float = field(default=0.0, init=False, repr=False)
    low: float = 3.0
    high: float = 6.0

    def __post_init__(self):
        check_finite("low", self.low)
        check_finite("high", self.high)

    def forget_bias(self, units: int, generator: torch.Generator | None) -> Tensor:
        """From ``low`` to ``high``, shape (units,)."""
        return torch.linspace(self.low, self.high, units)


@dataclass(frozen=True)
class Graded(Constant):
    """sLSTM's start: b = 5 - 12 (n / (d - 1))^p over a head's units, p by depth.

    p = 0.3 + 1.3 layer / (layers - 1), so that later layers start with longer memory.
    Source: NX-AI/xlstm@032a6fb xlstm/blocks/slstm/cell.py.

    Arguments:
        layer: the block's number, from 0.
        layers: how many blocks there are.
        heads: how many there are; each has the whole law.

    Raises:
        ValueError: for a layer that is not below ``layers``, or no head.
    """

    bias: float = field(default=0.0, init=False, repr=False)
    layer: int = 0
    layers: int = 1
    heads: int = 4

    def __post_init__(self):
        check_count("layer", self.layer, least=0)
        check_count("layers", self.layers, least=self.layer + 1)
        check_count("heads", self.heads)

    def forget_bias(self, units: int, generator: torch.Generator | None) -> Tensor:
        """The same in each head, shape (units,).

        Raises:
            ValueError: if the heads do not share the units evenly.
        """
        if units % self.heads:
            raise ValueError(
                f"heads of Graded is {self.heads} for {units} units; allowed: a number "
                "that divides it"
            )
        place = torch.linspace(0, 1, units // self.heads)
        power = 0.3 + 1.3 * self.layer / max(self.layers - 1, 1)
        return (5 - 12 * place**power).repeat(self.heads)
