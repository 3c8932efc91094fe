"""What every module around a gate has: a core, weights and their start, streams."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gatebook.errors import check_count, check_flag
from gatebook.fused.step import Step
from gatebook.gates import Gate, resolve, with_detach, with_probability
from gatebook.random import Streams
from gatebook.recurrence.cells import (
    Core,
    initial_bias,
    main_block,
    split,
    spread,
    with_gate,
)
from gatebook.recurrence.scan import Weights
from gatebook.rnn import checks, interop, names


class Gated(names.Named, nn.Module):
    """What the modules for sequences and the cells for one step share.

    Arguments as for `gatebook.LSTM`.
    """

    core_type: type[Core]
    torch_type: type[nn.Module]
    bias_start = "gate"
    single_bias = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        *,
        gate: str | Gate,
        h_detach: float,
        c_detach: float,
        zoneout: float | tuple[float, float],
        seed: int | None,
        gate_bias: str = "inside",
        reset: str = "after",
    ):
        super().__init__()
        check_count("input_size", input_size)
        check_count("hidden_size", hidden_size)
        check_flag("bias", bias)
        self.input_size, self.hidden_size = int(input_size), int(hidden_size)
        self.bias, self.zoneout = bias, self._zoneout(zoneout)
        self.gate_bias = gate_bias
        self.core = self._core(with_detach(resolve(gate), h_detach, c_detach), reset)
        checks.check_downsize(self.gate, self.hidden_size, gate)
        if not bias:
            checks.check_bias_is_zero(self.core, gate)
        self.streams = Streams(seed)
        self._laid_out: Step | None = None
        self._named: dict[str, tuple[str, ...]] = {}  # each layer's weights and biases
        self._name_gate()

    def _core(self, gate: Gate, reset: str) -> Core:
        """The core around a gate; ``reset`` is a GRU's alone."""
        if reset != "after":
            raise ValueError(
                f"reset is {reset!r}; allowed: 'after', since an LSTM has no reset gate"
            )
        return self.core_type(gate, self.hidden_size)

    @staticmethod
    def _zoneout(given: Any) -> tuple[float, float]:
        """The probabilities of c and of h, which an LSTM and a GRU take differently."""
        raise NotImplementedError

    def weight_names(self) -> list[str]:
        """Names of the weights and biases, in torch's order."""
        own = {layer: f"gate_bias_{layer}" for layer in self._named}
        if self.gate_bias == "inside":
            return [name for names in self._named.values() for name in names]
        return [n for layer in own for n in (*self._named[layer], own[layer])]

    @property
    def gate(self) -> Gate:
        """The point of the grid that this module runs."""
        return self.core.gate

    def _make_weights(
        self,
        layer: str,
        suffix: str,
        columns: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        """Room for one layer's weights, not yet filled."""
        blocks = self.core.blocks()
        rows = sum(blocks.values())
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, columns),
            "weight_hh": (rows, self.hidden_size),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        self._named[layer] = tuple(name + suffix for name in shapes)
        if self.gate_bias != "inside":
            shapes |= {"gate_bias": (blocks[main_block(self.core)],)}
        frozen = ["bias_hh"] * self.single_bias
        frozen += ["gate_bias"] * (self.gate_bias == "fixed")
        for name, shape in shapes.items():
            empty = torch.empty(shape, device=device, dtype=dtype)
            parameter = nn.Parameter(empty, requires_grad=name not in frozen)
            self.register_parameter(name + suffix, parameter)

    def _weights(self, layer: str) -> Weights:
        """One layer's weights as they act, the gate's own bias included."""
        weights = Weights(*(getattr(self, name) for name in self._named[layer]))
        if self.gate_bias == "inside" or weights.bias_ih is None:
            return weights
        own = spread(self.core, getattr(self, f"gate_bias_{layer}"))
        return replace(weights, bias_ih=weights.bias_ih + own)

    def _step(self, dtype: torch.dtype) -> Step:
        """The fast path for one step, set up again if gate or dtype changed."""
        laid_out = self._laid_out
        if (
            laid_out is None
            or laid_out.core is not self.core
            or laid_out.dtype != dtype
            or laid_out.zoneout != self.zoneout
        ):
            self._laid_out = laid_out = Step(self.core, self.zoneout, dtype)
        return laid_out

    def reset_parameters(self) -> None:
        """Weights from U(-1/√H, 1/√H) as in `torch.nn.LSTM`; biases by the gate.

        The gate's initial bias goes into ``bias_ih``; every other bias is 0, or with
        ``bias_start="uniform"`` drawn as the weights are, and the gate's law added. The
        law goes into ``gate_bias`` instead where there is one.
        The papers differ here, and P2 gives no weight initialisation at all. A weight
        with a parametrization, such as weight norm's, is started through it.
        """
        with torch.no_grad():
            for name in self.weight_names():
                self._restart(name)

    def _restart(self, name: str) -> None:
        """Draw one weight or bias again."""
        value = getattr(self, name)
        through = is_parametrized(self, name)
        value = torch.empty_like(value) if through else value
        self._fill(name, value)
        if through:
            interop.assign(self, name, value)

    def _fill(self, name: str, value: Tensor) -> None:
        bound = 1 / math.sqrt(self.hidden_size)
        none = name.startswith("gate_bias") or (
            self.single_bias and name.startswith("bias_hh")
        )
        if name.startswith("weight") or (self.bias_start == "uniform" and not none):
            value.uniform_(-bound, bound)
        else:
            value.zero_()
        if name.startswith(self._law_is_in):
            value.add_(self._law().to(value.device))

    @property
    def _law_is_in(self) -> str:
        """The parameter that starts by the gate's law."""
        return "bias_ih" if self.gate_bias == "inside" else "gate_bias"

    def _law(self) -> Tensor:
        """A draw of the gate's own bias."""
        with torch.device("cpu"):  # the default may have no numbers
            law = initial_bias(self.core)
        if self.gate_bias == "inside":
            return law
        return split(law, self.core.blocks())[main_block(self.core)]

    def set_detach(self, p: float) -> None:
        """Change the detaching probability, as P3's code anneals it to 0 at the end.

        Raises:
            ValueError: for a probability outside [0, 1], or a gate that does not
                detach at all.
        """
        self.core = with_gate(self.core, with_probability(self.gate, p))
