"""Cells for one time step, shaped like `torch.nn.LSTMCell` and `torch.nn.GRUCell`."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatebook.gates import Gate
from gatebook.recurrence.cells import GRUCore, LSTMCore
from gatebook.recurrence.scan import Weights
from gatebook.rnn import checks, interop, stack
from gatebook.rnn.gated import Gated

State = tuple[Tensor, Tensor]


class Cell(Gated):
    """What `LSTMCell` and `GRUCell` share.

    Parameters are ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh``, with the
    rows of `gatebook.LSTM` and `gatebook.GRU`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        gate: str | Gate = "LSTM",
        h_detach: float = 0.0,
        c_detach: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        seed: int | None = None,
    ):
        super().__init__(
            input_size,
            hidden_size,
            bias,
            gate=gate,
            h_detach=h_detach,
            c_detach=c_detach,
            zoneout=zoneout,
            seed=seed,
        )
        self._make_weights("l0", "", self.input_size, device, dtype)
        self.reset_parameters()

    def _run(
        self, x: Tensor, h: Tensor | None, c: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The new h and c; shapes as in `LSTMCell.forward`."""
        checks.check_step(x, self.input_size)
        weights = self._weights("l0")
        checks.check_place(x, "input", weights.hh)
        h, c = self._state(h, x, "h_0", weights), self._state(c, x, "c_0", weights)
        short = self._step(x.dtype)
        if not self.training and short.applies(weights, x, h, c):
            return short(weights, x, h, c)
        return self._by_the_stack(weights, x, h, c)

    def _by_the_stack(
        self, weights: Weights, x: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same as a sequence of one step."""
        spec = stack.Spec(self.core, ("l0",), False, 0.0, self.zoneout, 0.0)
        layers = stack.Layers(spec, (weights,), self.streams if self.training else None)
        flat = x.dim() == 1
        xs, hs, cs = ([t[None, None] if flat else t[None]] for t in (x, h, c))
        _, h, c = stack.run([layers], xs, hs, cs)[0]
        return (h[0, 0], c[0, 0]) if flat else (h[0], c[0])

    def _state(
        self, given: Tensor | None, x: Tensor, name: str, weights: Weights
    ) -> Tensor:
        """The state before, zeros by default; (B, H), or (H,) without a batch."""
        shape = (*x.shape[:-1], self.hidden_size)
        if given is None:
            return x.new_zeros(shape)
        checks.check_state(given, shape, ("batch", "hidden_size"), name)
        checks.check_place(given, name, weights.hh)
        return given

    @classmethod
    def from_torch(cls, module: nn.RNNCellBase) -> "Cell":
        """The same cell as this library's, weights copied; see `RNN.from_torch`.

        Raises:
            TypeError: if ``module`` is not torch's counterpart.
        """
        interop.check_counterpart(module, cls.torch_type)
        ours = cls(**interop.cell_arguments(module), gate="LSTM0")
        interop.copy_weights(ours, module)
        return ours.train(module.training)

    def to_torch(self) -> nn.RNNCellBase:
        """Torch's own cell with the same weights; see `RNN.to_torch`.

        Raises:
            ValueError: if the gate computes what torch's cell cannot, or with zoneout.
        """
        interop.check_evaluates_as_torch(self.core, self.zoneout)
        theirs: Any = self.torch_type(**interop.cell_arguments(self))
        interop.copy_weights(theirs, self)
        return theirs.train(self.training)

    def extra_repr(self) -> str:
        """Sizes, the gate, and the options that were set."""
        words = [f"{self.input_size}, {self.hidden_size}", f"gate={self.gate}"]
        words += [] if self.bias else ["bias=False"]
        words += [f"zoneout={self.zoneout}"] if any(self.zoneout) else []
        return ", ".join(words)


class LSTMCell(Cell):
    """One step of a long short-term memory, called as `torch.nn.LSTMCell`.

    Arguments:
        input_size: features of the input.
        hidden_size: H, the number of units.
        bias: two bias vectors, as torch has them; ``False`` needs a gate whose bias
            starts at 0.
        device: where the parameters live.
        dtype: their dtype.
        gate: a paper's name (`gatebook.GATES`) or a `Gate` of the four axes.
        h_detach: probability of detaching h in a training step (P3).
        c_detach: probability of detaching c in a training step (P3 §4.3).
        zoneout: probabilities (of c, of h) to keep a unit's old value.
        seed: as for `gatebook.LSTM`.

    Example:
        >>> import torch
        >>> cell = LSTMCell(10, 20, gate="UR")
        >>> h, c = cell(torch.zeros(3, 10))
        >>> h, c = cell(torch.ones(3, 10), (h, c))
        >>> h.shape, c.shape
        (torch.Size([3, 20]), torch.Size([3, 20]))
    """

    core_type = LSTMCore
    torch_type = nn.LSTMCell
    _zoneout = staticmethod(checks.pair_of_zoneouts)

    def forward(
        self, input: Tensor, hx: State | None = None
    ) -> tuple[Float[Tensor, "*B H"], Float[Tensor, "*B H"]]:
        """Run one step.

        Arguments:
            input: (B, input_size), or (input_size,) without a batch.
            hx: (h, c) of the step before, each (B, H) or (H,); zeros if ``None``.

        Returns:
            the new h and c.
        """
        return self._run(input, *checks.pair_of_states(hx))


class GRUCell(Cell):
    """One step of a gated recurrent unit, called as `torch.nn.GRUCell`.

    Arguments as for `LSTMCell`, but ``zoneout`` is one probability; the gate is the
    update gate, as in `gatebook.GRU`.

    Example:
        >>> import torch
        >>> GRUCell(10, 20, gate="UR")(torch.zeros(3, 10)).shape
        torch.Size([3, 20])
    """

    core_type = GRUCore
    torch_type = nn.GRUCell
    _zoneout = staticmethod(checks.one_zoneout)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Float[Tensor, "*B H"]:
        """Run one step; shapes as in `LSTMCell.forward`, with one state."""
        checks.check_one_state(hx)
        return self._run(input, hx, hx)[0]
