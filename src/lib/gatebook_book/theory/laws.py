"""Laws of the timescale τ = -1 / log f at the start, in models after the LSTM.

Each survival function gives P(τ > x), the share of gates that remember for longer
than x steps, at zero input. All follow from how a public code draws the parameter that
decides f; the sources stand beside the laws in `LAWS`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Steps = Float[Tensor, "..."]
Survival = Callable[[Steps], Steps]


def uniform(x: Steps, low: float, high: float, power: float = 1.0) -> Steps:
    """f = u^power with u uniform on [low, high]: UGI, and RG-LRU of its paper."""
    return ((high - torch.exp(-1 / (power * x))) / (high - low)).clamp(0, 1)


def chrono(x: Steps, t_max: float) -> Steps:
    """f = σ(ln U) with U uniform on [1, T - 1]."""
    odds = 1 / torch.expm1(1 / x)
    return ((t_max - 1 - odds) / (t_max - 2)).clamp(0, 1)


def log_step(x: Steps, low: float, high: float) -> Steps:
    """f = exp(-Δ) with log Δ uniform between log low and log high."""
    share = torch.log(1 / (low * x)) / torch.log(torch.tensor(high / low))
    return share.clamp(0, 1)


def states(x: Steps, low: float, high: float, count: int) -> Steps:
    """f = exp(-n Δ), n = 1 .. count as often as each other: Mamba's states."""
    several = [log_step(n * x, low, high) for n in range(1, count + 1)]
    return torch.stack(several).mean(0)


def head_rates(x: Steps, low: float, high: float, least: float, most: float) -> Steps:
    """f = exp(-A Δ) with A uniform on [least, most], Δ as in `log_step`.

    The mean of the survival at A x over A is a difference of its integrals.
    """
    ends = (_area(most * x, low, high), _area(least * x, low, high))
    return (ends[0] - ends[1]) / ((most - least) * x)


def _area(y: Steps, low: float, high: float) -> Steps:
    """The integral of `log_step` from 0 to y: y up to 1/high, then with the log."""
    first, last = 1 / high, 1 / low
    ratio = torch.log(torch.tensor(high / low))
    z = y.clamp(first, last)
    part = (z * (1 + torch.log(last / z)) - first * (1 + ratio)) / ratio
    return y.clamp(max=first) + part


def graded(x: Steps, start: float, slope: float, power: float) -> Steps:
    """f = σ(start - slope u^power), u uniform: sLSTM, by depth."""
    needed = -torch.log(torch.expm1(1 / x))
    return ((start - needed) / slope).clamp(0, 1) ** (1 / power)


def double_exponential(x: Steps, start: float, slope: float, power: float) -> Steps:
    """f = exp(-exp(start + slope u^power)), u uniform: RWKV-6, by depth."""
    return ((-start - torch.log(x)) / slope).clamp(0, 1) ** (1 / power)


def grid(x: Steps, periods: list[float]) -> Steps:
    """Some fixed timescales, as often as each other: heads, layers, or one for all."""
    several = [(x < period).to(x.dtype) for period in periods]
    return torch.stack(several).mean(0)


def sigmoid_periods(biases: list[float]) -> list[float]:
    """τ of gates with these biases."""
    logs = torch.nn.functional.logsigmoid(torch.tensor(biases, dtype=torch.float64))
    return (-1 / logs).tolist()


@dataclass(frozen=True)
class Law:
    """A model's start: its words, the code that draws it, and P(τ > x)."""

    words: str
    source: str
    survival: Survival

    def served(self, horizon: Steps) -> Steps:
        """The share of gates with τ between half a horizon and twice one."""
        return self.survival(horizon / 2) - self.survival(horizon * 2)


UNITS, T_MAX, LEAST, MOST = 512, 1000, 0.001, 0.1
"""Of UGI and chrono, and the ends of a step."""

RETNET = [2.0 ** (5 + head) for head in range(8)]
HEADS = [3.0, 4.0, 5.0, 6.0]
BOUNDS = [(1 + layer / 6) / 2 for layer in range(6)]

LAWS: dict[str, Law] = {
    "UGI": Law(
        "P2's uniform start, d = 512",
        "P2 eq. 9, D.5",
        lambda x: uniform(x, 1 / UNITS, 1 - 1 / UNITS),
    ),
    "chrono": Law("chrono, T = 1000", "P2 eq. 17", lambda x: chrono(x, T_MAX)),
    "S4": Law(
        "S4D, whose states decay by exp(-Δ / 2)",
        "state-spaces/s4@e757cef models/s4/s4d.py",
        lambda x: log_step(x, LEAST / 2, MOST / 2),
    ),
    "Mamba": Law(
        "Mamba, all 16 states",
        "state-spaces/mamba@e9594ce mamba_ssm/modules/mamba_simple.py",
        lambda x: states(x, LEAST, MOST, 16),
    ),
    "Mamba-2": Law(
        "Mamba-2, a value for each head",
        "state-spaces/mamba@e9594ce mamba_ssm/modules/mamba2.py",
        lambda x: head_rates(x, LEAST, MOST, 1, 16),
    ),
    "GDN": Law(
        "Gated DeltaNet, a value for each head",
        "fla-org/flash-linear-attention@bc3b101d fla/layers/gated_deltanet.py",
        lambda x: head_rates(x, LEAST, MOST, 0, 16),
    ),
    "LRU": Law(
        "LRU, moduli on the whole disc",
        "NicolasZucchet/minimal-LRU@bbd71b1 lru/model.py",
        lambda x: uniform(x, 0, 1, 0.5),
    ),
    "RG-LRU": Law(
        "RG-LRU, DeepMind's code",
        "google-deepmind/recurrentgemma@2efa84d recurrentgemma/torch/layers.py",
        lambda x: uniform(x, 0.9**2, 0.999**2, 2.0),
    ),
    "RG-LRU paper": Law(
        "RG-LRU, its paper",
        "De et al. 2024, section 2.4",
        lambda x: uniform(x, 0.9, 0.999, 0.5),
    ),
    "sLSTM": Law(
        "sLSTM, the first block of several",
        "NX-AI/xlstm@032a6fb xlstm/blocks/slstm/cell.py",
        lambda x: graded(x, 5, 12, 0.3),
    ),
    "sLSTM last": Law(
        "sLSTM, the last block",
        "NX-AI/xlstm@032a6fb xlstm/blocks/slstm/cell.py",
        lambda x: graded(x, 5, 12, 1.6),
    ),
    "RWKV-6": Law(
        "RWKV-6, the first layer",
        "BlinkDL/RWKV-LM@524481d RWKV-v5/src/model.py",
        lambda x: double_exponential(x, -6, 5, 0.7),
    ),
    "RWKV-6 last": Law(
        "RWKV-6, the last layer",
        "BlinkDL/RWKV-LM@524481d RWKV-v5/src/model.py",
        lambda x: double_exponential(x, -6, 5, 2.0),
    ),
    "mLSTM": Law(
        "mLSTM, 4 heads",
        "NX-AI/xlstm@032a6fb xlstm/blocks/mlstm/cell.py",
        lambda x: grid(x, sigmoid_periods(HEADS)),
    ),
    "RetNet": Law(
        "RetNet, 8 heads, for good",
        "fla-org/flash-linear-attention@bc3b101d fla/ops/retention/naive.py",
        lambda x: grid(x, [-1 / _log1m(1 / period) for period in RETNET]),
    ),
    "HGRN": Law(
        "HGRN, 6 layers, a value for each",
        "fla-org/flash-linear-attention@bc3b101d fla/models/hgrn/modeling_hgrn.py",
        lambda x: grid(x, [-1 / _log1m(1 - f) for f in BOUNDS]),
    ),
    "GLA": Law(
        "GLA, all units alike",
        "fla-org/flash-linear-attention@bc3b101d fla/layers/gla.py, its bias set to 0 "
        "by fla/models/gla/modeling_gla.py",
        lambda x: grid(x, [-16 / _log1m(0.5)]),
    ),
    "minGRU": Law(
        "minGRU, all units alike",
        "lucidrains/minGRU-pytorch@38b26e1 minGRU_pytorch/minGRU.py",
        lambda x: grid(x, [-1 / _log1m(0.5)]),
    ),
}
"""The starts, by the names that pages and the widget use."""


def _log1m(share: float) -> float:
    return torch.log1p(torch.tensor(-share, dtype=torch.float64)).item()
