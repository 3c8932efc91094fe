"""Mamba's cell: a diagonal of states for each channel."""

from typing import Any

import torch
from torch import nn

from gatebook.errors import check_count
from gatebook.gates import Gate
from gatebook.modern import gates
from gatebook.modern.cell import Cell, masked, wide
from gatebook.modern.starts import Steps
from gatebook.modern.states import selective_recurrence


class Mamba(Cell):
    """Mamba (Gu and Dao 2023): h_n = f_n h_n + Δ B_n u, y = Σ C_n h_n + D u.

    f_n = exp(-Δ A_n) with A_n = n at the start. Linear in h; the input's share is Δ B,
    not 1 - f. u, B, C and Δ are products of the input, Δ through a low rank. The step
    is Δ = -log g of a gate g = σ(z), which is softplus(-z): with A = 1 Mamba's decay
    *is* a sigmoid forget gate, and this z is minus Mamba's. So a law is one of f_1, and
    a refine gate acts on g. ``Constant(-1.0)`` is the start with Δ = softplus(1) that
    wrappers have left behind.

    Source: arXiv 2312.00752; state-spaces/mamba@e9594ce
    mamba_ssm/modules/mamba_simple.py. Its convolution, the SiLU behind it and the
    output gate are left out.

    Arguments:
        input_size: I, features of the input.
        hidden_size: H, the number of channels u.
        states: N, the states of a channel.
        rank: of Δ's product; ``None`` takes H / 16, rounded up. Mamba's is a 16th of
            the network's width, and its channels are twice that width.
        batch_first: as for `MinGRU`.
        gate: as for `MinGRU`; ``None`` starts with log-uniform steps, `Steps`.
        seed: as for `MinGRU`.
        device: as for `MinGRU`.
        dtype: as for `MinGRU`.

    Raises:
        ValueError: as for `MinGRU`.

    Example:
        >>> import torch
        >>> output, h = Mamba(10, 20, states=4)(torch.zeros(7, 3, 10))
        >>> output.shape, h.shape
        (torch.Size([7, 3, 20]), torch.Size([3, 20, 4]))
    """

    published = Gate(Steps())

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        states: int = 16,
        rank: int | None = None,
        batch_first: bool = False,
        gate: str | Gate | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(input_size, hidden_size, gate, seed, batch_first=batch_first)
        rank = -(-self.hidden_size // 16) if rank is None else rank
        check_count("states", states)
        check_count("rank", rank)
        self.states, width = int(states), self.hidden_size
        place: Any = {"device": device, "dtype": dtype}
        self.value = nn.Linear(self.input_size, width, bias=False, **place)
        self.low = nn.Linear(width, int(rank), bias=False, **place)
        self.enter_leave = nn.Linear(width, 2 * self.states, bias=False, **place)
        self._make_gates(int(rank), width, place)
        self.log_rates = nn.Parameter(torch.empty(width, self.states, **place))
        self.skip = nn.Parameter(torch.empty(width, **place))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Rates 1 … N, D = 1, the step's law in its bias; else as `torch.nn.Linear`."""
        super().reset_parameters()
        with torch.no_grad():
            self.log_rates.copy_(torch.arange(1, self.states + 1).log())
        nn.init.ones_(self.skip)

    def _shapes(self):
        return {"h": (self.hidden_size, self.states)}

    def _log_forget(self, x):
        step = -gates.log_forget(self._pre(self.low(self.value(x)), noisy=False))
        return -step.unsqueeze(-1) * wide(self.log_rates).exp()

    def _sequence(self, x, state, real):
        u = self.value(x)
        step = -gates.log_forget(self._pre(self.low(u)))
        enter, leave = wide(self.enter_leave(u)).chunk(2, -1)
        u, rates = wide(u), wide(self.log_rates).exp()
        if self.recorder is not None:
            self._note(effective_forget=torch.exp(-step.unsqueeze(-1) * rates))
        step = masked(step, real, 0)  # the state stays, and nothing enters
        y, last = selective_recurrence(step, step * u, rates, enter, leave, state)
        return y + wide(self.skip) * u, last
