"""The cores: one step of an LSTM and of a GRU around any gate of the grid.

A core gets the input's share of the pre-activations (hoisted out of the loop) and
the hidden state's share, and returns the new state. Both are split by block name.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.gates import Blocks, Gate

Step = tuple[Tensor, Tensor, Blocks]
"""New h and c of shape (B, H), and the gates' activations by name."""


@dataclass(frozen=True)
class LSTMCore:
    """The long short-term memory update with a gate of the grid.

    Arguments:
        gate: the point of the grid.
        hidden_size: H, the number of units.
    """

    gate: Gate
    hidden_size: int
    tied = False

    def blocks(self) -> dict[str, int]:
        """Rows of the weights by block; `torch.nn.LSTM`'s order, then masters."""
        return self._blocks

    @cached_property
    def _blocks(self) -> dict[str, int]:
        units = self.hidden_size
        own = self.gate.blocks(units)
        first = {name: own.pop(name) for name in list(own)[:2]}
        return first | {"update": units, "output": units} | own

    def step(
        self,
        x: Float[Tensor, "B G"],
        rec: Float[Tensor, "B G"],
        h: Float[Tensor, "B H"],
        c: Float[Tensor, "B H"],
        noise: Blocks | None,
        training: bool,
    ) -> Step:
        """P2 eqs. 4-7 with the effective gates; P1 eqs. 4-7, P3 eqs. 1-2."""
        pre = split(x + rec, self.blocks())
        o = pre.pop("output").sigmoid()
        u = pre.pop("update").tanh()
        gates = self.gate.effective(pre, noise, training)
        c = gates["effective_forget"] * c + gates["effective_input"] * u
        h = o * c.tanh()
        return h, c, gates | {"output": o}


@dataclass(frozen=True)
class GRUCore:
    """The gated recurrent unit with a gate of the grid as its update gate.

    The effective forget gate is what `torch.nn.GRU` calls z. The input gate is
    tied, i = 1 - f, on every level of the gate, as a GRU has it.

    Arguments:
        gate: the point of the grid.
        hidden_size: H, the number of units.
    """

    gate: Gate
    hidden_size: int
    tied = True

    def blocks(self) -> dict[str, int]:
        """Rows of the weights by block; `torch.nn.GRU`'s order, then the rest."""
        return self._blocks

    @cached_property
    def _blocks(self) -> dict[str, int]:
        units = self.hidden_size
        own = self.gate.blocks(units, tied=True)
        own.pop("forget")
        return {"reset": units, "forget": units, "update": units} | own

    def step(
        self,
        x: Float[Tensor, "B G"],
        rec: Float[Tensor, "B G"],
        h: Float[Tensor, "B H"],
        c: Float[Tensor, "B H"],
        noise: Blocks | None,
        training: bool,
    ) -> Step:
        """H' = f ∘ h + i ∘ tanh(x_u + s ∘ rec_u) with the reset gate s.

        ``c`` is the state that the linear path reads, ``h`` the one that the gates
        read: they are one tensor but for h-detach and c-detach. The new state is
        returned twice.
        """
        sizes = self.blocks()
        pre_x, pre_h = split(x, sizes), split(rec, sizes)
        s = (pre_x.pop("reset") + pre_h.pop("reset")).sigmoid()
        u = (pre_x.pop("update") + s * pre_h.pop("update")).tanh()
        pre = {name: pre_x[name] + pre_h[name] for name in pre_x}
        gates = self.gate.effective(pre, noise, training, tied=True)
        h = gates["effective_forget"] * c + gates["effective_input"] * u
        return h, h, gates | {"reset": s}


Core = LSTMCore | GRUCore


def split(rows: Float[Tensor, "*B G"], sizes: dict[str, int]) -> Blocks:
    """Cut the last axis into named blocks."""
    return dict(zip(sizes, rows.split(list(sizes.values()), -1), strict=True))


def noise_blocks(core: Core) -> dict[str, int]:
    """The blocks that training noise enters: all of the gate's, not the core's."""
    own = core.gate.blocks(core.hidden_size, core.tied)
    return {name: size for name, size in core.blocks().items() if name in own}


def starts_with_bias(core: Core) -> bool:
    """Whether the gate's law starts any bias elsewhere than at 0."""
    activation = core.gate.activation
    return activation.mirrors_input or activation.bias != 0


def with_gate(core: Core, gate: Gate) -> Core:
    """The same core around another gate."""
    return replace(core, gate=gate)


def initial_bias(core: Core) -> Float[Tensor, " G"]:
    """The input bias at the start: the gate's law, zero for the other blocks."""
    fixed = core.gate.initial_biases(core.hidden_size, core.tied)
    return torch.cat(
        [fixed.get(name, torch.zeros(size)) for name, size in core.blocks().items()]
    )
