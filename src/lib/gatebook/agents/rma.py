"""The memory of the reconstructive memory agent (RMA) of Hung et al. (2018).

At each step a code z of what is seen, of the controller's last output and of what was
last read is formed; an LSTM, the controller, follows; it asks the memory for rows that
resemble its keys; then z is written below the others. What is stored takes no gradient:
z learns from the losses of its own step, and one of them is that it must give back what
was seen (`Network` has the decoder).

Differences from the published code (``deepmind-research/tvt/rma.py``): one layer of
controller for two, one code of the picture by `Network`'s encoder for a convolutional
net, smaller sizes, heads as for any other core, no cost of strong reads, no empty rows:
what has not been written cannot be read.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gatebook.errors import check_count
from gatebook.gates import Gate
from gatebook.random import Streams
from gatebook.rnn import LSTMCell, checks


class RMAState(NamedTuple):
    """What a step hands to the next one.

    Attributes:
        h: the controller's output (B, H).
        c: its cell (B, H).
        read: what was last read (B, heads · W).
        memory: the codes of the steps before, the oldest first (B, n, W).
    """

    h: Float[Tensor, "B H"]
    c: Float[Tensor, "B H"]
    read: Float[Tensor, "B K"]
    memory: Float[Tensor, "B n W"]


AXES: dict[str, tuple[str, ...]] = {
    "h": ("batch", "hidden_size"),
    "c": ("batch", "hidden_size"),
    "read": ("batch", "heads * width"),
    "memory": ("batch", "rows", "width"),
}
"""The axes of each part of a state, in the order of `RMAState`."""


class RMA(nn.Module):
    """The RMA's memory and controller with any gate, called as `gatebook.LSTM` is.

    The output holds z, the controller's output and what was read.

    Arguments:
        input_size: features of the input.
        hidden_size: H, units of the controller.
        width: W, the length of z and of a row.
        heads: how many keys the controller has.
        best: how many rows a key reads at most.
        rows: how many steps are kept; then the oldest is dropped.
        gate: of the controller, a paper's name or a `Gate`.
        seed: of its random streams.

    Raises:
        ValueError: for a size below 1, or a gate that an `LSTMCell` refuses.

    Example:
        >>> core = RMA(10, 16, gate="UR")
        >>> out, state = core(torch.zeros(7, 3, 10))
        >>> out.shape, state.memory.shape
        (torch.Size([7, 3, 208]), torch.Size([3, 7, 64]))
    """

    batch_first = False
    bidirectional = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        width: int = 64,
        heads: int = 2,
        best: int = 50,
        rows: int = 1000,
        *,
        gate: str | Gate = "LSTM",
        seed: int | None = None,
    ):
        super().__init__()
        sizes = {"width": width, "heads": heads, "best": best, "rows": rows}
        for name, value in (sizes | {"input_size": input_size}).items():
            check_count(name, value)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.width, self.heads, self.best, self.rows = width, heads, best, rows
        self.controller = LSTMCell(width, hidden_size, gate=gate, seed=seed)
        seen = input_size + hidden_size + heads * width
        self.code = nn.Sequential(
            nn.Linear(seen, 2 * width), nn.Tanh(), nn.Linear(2 * width, width)
        )
        self.keys = nn.Linear(hidden_size, heads * (width + 1))
        self.output_width = width + hidden_size + heads * width

    @property
    def gate(self) -> Gate:
        """The controller's gate."""
        return self.controller.gate

    @property
    def streams(self) -> Streams:
        """The controller's random streams."""
        return self.controller.streams

    def forward(
        self, input: Tensor, state: RMAState | None = None
    ) -> tuple[Float[Tensor, "T B O"], RMAState]:
        """Run over a sequence.

        Arguments:
            input: (T, B, input_size).
            state: of the step before the first; empty by default.

        Returns:
            z, the controller's output and the reads of each step, and the last state.

        Raises:
            TypeError: for anything but a tensor and an `RMAState`.
            ValueError: for another shape, dtype or device, or an input without steps.
        """
        checks.check_tensor(input)
        checks.check_input(input, 3, self.input_size, self.batch_first)
        checks.check_place(input, "input", self.keys.weight)
        state, outs = self._state(state, input[0]), []
        for x in input:
            out, state = self._step(x, state)
            outs.append(out)
        return torch.stack(outs), state

    def step(
        self, input: Tensor, state: RMAState | None = None
    ) -> tuple[Float[Tensor, "B O"], RMAState]:
        """Run one step, whose z is written below the rows of ``state``.

        Arguments:
            input: (B, input_size).
            state: of the step before; empty by default.

        Returns:
            as for `forward`.

        Raises:
            TypeError: as for `forward`.
            ValueError: as for `forward`.
        """
        checks.check_step(input, self.input_size, alone=False)
        checks.check_place(input, "input", self.keys.weight)
        return self._step(input, self._state(state, input))

    def _step(
        self, x: Float[Tensor, "B I"], state: RMAState
    ) -> tuple[Float[Tensor, "B O"], RMAState]:
        h, c, read, memory = state
        z = self.code(torch.cat([x, h, read], -1))
        h, c = self.controller(z, (h, c))
        read = self._read(h, memory)
        written = torch.cat([memory, z.detach()[:, None]], 1)[:, -self.rows :]
        return torch.cat([z, h, read], -1), RMAState(h, c, read, written)

    def _read(
        self, h: Float[Tensor, "B H"], memory: Float[Tensor, "B n W"]
    ) -> Float[Tensor, "B K"]:
        """For each key a mean of the rows that resemble it best.

        The weights are a softmax of strength · cosine over those rows.
        """
        batch = len(h)
        if memory.shape[1] == 0:
            return h.new_zeros(batch, self.heads * self.width)
        asked = self.keys(h).unflatten(-1, (self.heads, self.width + 1))
        keys, strength = asked[..., :-1], F.softplus(asked[..., -1:])
        likeness = F.normalize(keys, dim=-1) @ F.normalize(memory, dim=-1).mT
        score = strength * likeness
        best, rows = score.topk(min(self.best, score.shape[-1]), -1)
        weights = torch.zeros_like(score).scatter(-1, rows, best.softmax(-1))
        return (weights @ memory).flatten(1)

    def _state(self, given: Any, x: Float[Tensor, "B I"]) -> RMAState:
        """The state before the first step, checked; empty by default."""
        if given is None:
            shapes = self._shapes(len(x), 0)
            return RMAState(*(x.new_zeros(shape) for shape in shapes))
        if not isinstance(given, RMAState):
            raise TypeError(
                f"state is a {type(given).__name__}; allowed: an RMAState, or None"
            )
        self._check_state(given, len(x))
        return given

    def _check_state(self, given: RMAState, batch: int) -> None:
        """Raise unless a state is of this module, after any number of steps."""
        for name, value in given._asdict().items():
            checks.check_tensor(value, f"state.{name}")
        held = given.memory.shape[1] if given.memory.dim() == 3 else self.rows
        shapes = self._shapes(batch, min(held, self.rows))
        for value, shape, (name, axes) in zip(given, shapes, AXES.items(), strict=True):
            checks.check_state(value, shape, axes, f"state.{name}")
            checks.check_place(value, f"state.{name}", self.keys.weight)

    def _shapes(self, batch: int, rows: int) -> tuple[tuple[int, ...], ...]:
        """Of each part of a state that holds ``rows`` codes."""
        one, read = (batch, self.hidden_size), (batch, self.heads * self.width)
        return one, one, read, (batch, rows, self.width)

    def latent(self, out: Float[Tensor, "*T O"]) -> Float[Tensor, "*T W"]:
        """z, which must give back what was seen."""
        return out[..., : self.width]

    def extra_repr(self) -> str:
        """What no part says."""
        return f"heads={self.heads}, best={self.best}, rows={self.rows}"
