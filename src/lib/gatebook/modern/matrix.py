"""Cells whose state is a matrix: gated linear attention and mLSTM."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gatebook.errors import check_count
from gatebook.gates import Constant, Gate
from gatebook.modern import gates
from gatebook.modern.cell import Cell, check_divides, held, masked, wide
from gatebook.modern.recurrence import linear_recurrence
from gatebook.modern.starts import Spaced, logit_of_log
from gatebook.modern.states import matrix_recurrence

SHARPNESS = 16
"""GLA's gate is a sigmoid to the power of 1/16."""

HALF = -torch.log(torch.expm1(torch.log(torch.tensor(2.0).double()) / SHARPNESS)).item()
"""The logit of (1/2)^(1/16), which is GLA's forget gate at bias 0."""


class GLA(Cell):
    """Gated linear attention (Yang et al. 2023): S = Diag(f) S + k vᵀ, y = Sᵀ q.

    f = σ(z)^(1/16), one for each key of each head, z through a low rank; linear in S,
    not tied. A law is one of f, whose bias is the logit of f¹⁶. A refine gate acts on
    σ(z). q is divided by the root of a head's keys.

    Source: arXiv 2312.06635; fla-org/flash-linear-attention@bc3b101d fla/layers/gla.py,
    where the layer alone draws the bias as `torch.nn.Linear` does and the model sets it
    to 0. Its output gate and norm are left out.

    Arguments:
        input_size: I, features of the input.
        hidden_size: H, the values of all heads.
        heads: a divisor of H and of ``keys``.
        keys: of all heads; ``None`` takes half of H.
        rank: of z's product.
        batch_first: as for `MinGRU`.
        gate: as for `MinGRU`; ``None`` starts at bias 0, τ = 23 steps for all.
        seed: as for `MinGRU`.
        device: as for `MinGRU`.
        dtype: as for `MinGRU`.

    Raises:
        ValueError: as for `MinGRU`, and for heads that do not divide H or ``keys``.

    Example:
        >>> import torch
        >>> output, s = GLA(10, 32, heads=2)(torch.zeros(7, 3, 10))
        >>> output.shape, s.shape
        (torch.Size([7, 3, 32]), torch.Size([3, 2, 8, 16]))
    """

    published = Gate(Constant(HALF))
    named = ("heads",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 4,
        keys: int | None = None,
        rank: int = 16,
        batch_first: bool = False,
        gate: str | Gate | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(input_size, hidden_size, gate, seed, batch_first=batch_first)
        keys = max(self.hidden_size // 2, 1) if keys is None else keys
        check_count("keys", keys)
        check_count("rank", rank)
        self.heads = check_divides(heads, self.hidden_size)
        self.keys = int(keys)
        check_divides(heads, self.keys, "keys")
        place: Any = {"bias": False, "device": device, "dtype": dtype}
        self.query = nn.Linear(self.input_size, self.keys, **place)
        self.key = nn.Linear(self.input_size, self.keys, **place)
        self.value = nn.Linear(self.input_size, self.hidden_size, **place)
        self.low = nn.Linear(self.input_size, int(rank), **place)
        del place["bias"]
        self._make_gates(int(rank), self.keys, place)
        self.reset_parameters()

    def _shapes(self):
        return {"s": (self.heads, self.keys // self.heads, self._width())}

    def _width(self) -> int:
        return self.hidden_size // self.heads

    def _biases(self, fixed):
        log_f = F.logsigmoid(fixed["forget"].double())
        forget = logit_of_log(SHARPNESS * log_f).float()
        mirrored = fixed.get("refine", forget).any()
        return {k: -forget * mirrored for k in fixed} | {"forget": forget}

    def _log_forget(self, x):
        return gates.log_forget(self._pre(self.low(x), noisy=False)) / SHARPNESS

    def _sequence(self, x, state, real):
        f = (gates.log_forget(self._pre(self.low(x))) / SHARPNESS).exp()
        self._note(effective_forget=f)
        q, k, v = (wide(part(x)) for part in (self.query, self.key, self.value))
        f, k = held(f, k, real)
        q = q * (self.keys // self.heads) ** -0.5
        f, k, v, q = (t.unflatten(-1, (self.heads, -1)) for t in (f, k, v, q))
        y, last = matrix_recurrence(f, k, v, q, state)
        return y.flatten(-2), last


class MLSTM(Cell):
    """mLSTM (Beck et al. 2024): C = f C + i k vᵀ, n = f n + i k, h = Cᵀq/max(∣nᵀq∣, 1).

    f = σ(z_f) and i = exp(z_i), one number for each head, not tied; linear in the
    state. All of it is scaled by exp(-m) with m = max(log f + m, z_i), which changes no
    output, so that m has no gradient and an exponential cannot overflow.

    A law would be drawn for a few heads only, so that only `Constant` and `Spaced` are
    taken. A refine gate acts on f. Noise does, too: exp(z_i) has no ends to reach.

    Source: arXiv 2405.04517; NX-AI/xlstm@032a6fb xlstm/blocks/mlstm/cell.py and
    backends.py, whose gates read q, k and v, here the input that all three come from.
    Its convolution, norm and output gate are left out. q, k and v are dense products,
    there in blocks of four features.

    Arguments:
        input_size: I, features of the input.
        hidden_size: H, the values of all heads.
        heads: a divisor of H.
        batch_first: as for `MinGRU`.
        gate: as for `MinGRU`; ``None`` starts with forget biases from 3 to 6.
        seed: as for `MinGRU`.
        device: as for `MinGRU`.
        dtype: as for `MinGRU`.

    Raises:
        ValueError: as for `MinGRU`, for a law that draws, and for heads that do not
            divide H.

    Example:
        >>> import torch
        >>> output, (c, n, m) = MLSTM(10, 32, heads=2)(torch.zeros(7, 3, 10))
        >>> c.shape, n.shape, m.shape
        (torch.Size([3, 2, 16, 16]), torch.Size([3, 2, 16]), torch.Size([3, 2]))
    """

    published = Gate(Spaced(3.0, 6.0))
    takes = gates.Takes(draws="a draw for a few heads is no law")
    named = ("heads",)
    quiet = ("input",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 4,
        batch_first: bool = False,
        gate: str | Gate | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(input_size, hidden_size, gate, seed, batch_first=batch_first)
        self.heads = check_divides(heads, self.hidden_size)
        place: Any = {"device": device, "dtype": dtype}
        rows = 3 * self.hidden_size
        self.qkv = nn.Linear(self.input_size, rows, bias=False, **place)
        self._make_gates(self.input_size, self.heads, place, "input")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The gates' weights at 0, to start as constants; b_i ~ N(0, 0.1²)."""
        super().reset_parameters()
        nn.init.zeros_(self.gate_weight)

    def _biases(self, fixed):
        return fixed | {"input": torch.randn(self.heads) * 0.1}

    def _shapes(self):
        width = self.hidden_size // self.heads
        return {
            "c": (self.heads, width, width),
            "n": (self.heads, width),
            "m": (self.heads,),
        }

    def _log_forget(self, x):
        return gates.log_forget(self._pre(x, noisy=False))

    def _sequence(self, x, state, real):
        c, n, m = state
        pre = self._pre(x)
        log_f = gates.log_forget(pre)
        self._note(effective_forget=log_f.exp())
        z = masked(pre["input"], real, -torch.inf)
        f, i, m = stabilised(masked(log_f, real, 0), z, m)
        parts = wide(self.qkv(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in parts)
        k = k * (i.unsqueeze(-1) * k.shape[-1] ** -0.5)
        f = f.unsqueeze(-1).expand_as(k)
        y, c = matrix_recurrence(f, k, v, q, c)
        n = linear_recurrence(f, k, n)
        least = torch.exp(-m)
        size = torch.maximum((n * q).sum(-1).abs(), least)
        return (y / size.unsqueeze(-1)).flatten(-2), (c, n[-1].clone(), m[-1].clone())


def stabilised(
    log_f: Float[Tensor, "T B N"],
    z: Float[Tensor, "T B N"],
    m: Float[Tensor, "B N"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Factors exp(log f + m' - m) and exp(z - m), and m = max(log f + m', z).

    m' is m of the step before. With L the sum of log f up to a step, m - L is a running
    maximum of z - L: no loop. Any m gives the same outputs, so that it needs neither
    all its digits nor a gradient.

    Arguments:
        log_f: logarithms of the forget gates.
        z: logarithms of the input gates.
        m: before the first step.
    """
    with torch.no_grad():
        total = log_f.cumsum(0)
        most = torch.cummax(torch.cat([m[None], z - total]), 0).values
        found = most[1:] + total
        before = torch.cat([m[None], found[:-1]])
    return torch.exp(log_f + before - found), torch.exp(z - found), found
