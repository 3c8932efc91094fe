"""Cells whose state is a vector: minGRU, minLSTM, HGRN and RG-LRU.

Each is h_t = f_t ∘ h_{t-1} + i_t ∘ v_t with gates that read the input alone. Gates and
candidates of all steps come from one product each; `linear_recurrence` does the rest.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatebook.gates import Gate
from gatebook.modern import gates
from gatebook.modern.cell import Cell, wide
from gatebook.modern.recurrence import linear_recurrence


def positive(v: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """minGRU's g: v + 1/2 for v ≥ 0, else σ(v). Above 0, so that logarithms exist."""
    return torch.where(v >= 0, v + 0.5, torch.sigmoid(v))


class _Vector(Cell):
    """A value for each unit, and gates that are as many."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        gate: str | Gate | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(input_size, hidden_size, gate, seed, bias)
        place: Any = {"device": device, "dtype": dtype}
        self.value = nn.Linear(self.input_size, self.hidden_size, bias, **place)
        self._make(place)
        self.reset_parameters()

    def _make(self, place: dict[str, Any]) -> None:
        self._make_gates(self.input_size, self.hidden_size, place)

    def _recur(self, f: Tensor, b: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self._note(effective_forget=f)
        states = linear_recurrence(f, b, h)
        return states, states[-1]


class MinGRU(_Vector):
    """minGRU (Feng et al. 2024): h = f h + (1 - f) g(v), with f = σ(z).

    Tied, linear in h. z and v are products of the input; g(v) = v + 1/2 for v ≥ 0,
    else σ(v). The code has no biases, so that every gate starts at 1/2; here there is
    one, which starts at 0, and takes any law. Its code calls 1 - f the gate.

    Source: arXiv 2410.01201; lucidrains/minGRU-pytorch@38b26e1
    minGRU_pytorch/minGRU.py.

    Arguments:
        input_size: I, features of the input.
        hidden_size: H, the number of units.
        bias: of gate and value; ``False`` is the published form, which takes no law.
        gate: the start, refine gate and noise: a paper's name (`gatebook.GATES`) or a
            `Gate`; ``None`` is the published start, f = 1/2.
        seed: of the gate's noise, as for `gatebook.LSTM`.
        device: where the parameters live.
        dtype: their dtype.

    Raises:
        ValueError: for a gate that detaches, orders or shares its units, and for a law
            without a bias.

    Example:
        >>> import torch
        >>> from gatebook.gates import Gate
        >>> from gatebook.modern import LogUniform
        >>> cell = MinGRU(10, 20, gate=Gate(LogUniform(2, 200)))
        >>> output, h = cell(torch.zeros(7, 3, 10))
        >>> output.shape, h.shape
        (torch.Size([7, 3, 20]), torch.Size([3, 20]))
    """

    def _log_forget(self, x):
        return gates.log_forget(self._pre(x, noisy=False))

    def _sequence(self, x, state):
        f, i = gates.pair(self._pre(x))
        return self._recur(f, i * positive(wide(self.value(x))), state)
