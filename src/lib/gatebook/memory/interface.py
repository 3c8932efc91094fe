"""What the controller of a differentiable neural computer asks of its memory.

Graves et al. 2016, "interface parameters"; and, as our own extension, a gate of the
grid instead of the erase vector.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gatebook.gates import (
    Blocks,
    Chrono,
    Full,
    Gate,
    Master,
    Ordered,
    Uniform,
    resolve,
)
from gatebook.recurrence.cells import split
from gatebook.rnn import checks, names


class Asked(NamedTuple):
    """What the controller asks of the memory in one step.

    Arguments:
        read_keys: what each head looks for.
        read_strengths: β ≥ 1, how sharply.
        write_key: what the write head looks for.
        write_strength: β ≥ 1.
        erase: e, what a write takes from the row; 1 - f, if a gate of the grid writes.
        vector: v, what it adds; times the gate's i, if a gate of the grid writes.
        free: φ, whether what a head has read is no longer needed.
        allocation_gate: g_a, to a free row (1) or to one found by content (0).
        write_gate: g_w, whether to write at all.
        modes: π, the weights of backward, content and forward; they sum to 1.
    """

    read_keys: Float[Tensor, "B R W"]
    read_strengths: Float[Tensor, "B R"]
    write_key: Float[Tensor, "B 1 W"]
    write_strength: Float[Tensor, "B 1"]
    erase: Float[Tensor, "B W"]
    vector: Float[Tensor, "B W"]
    free: Float[Tensor, "B R"]
    allocation_gate: Float[Tensor, "B 1"]
    write_gate: Float[Tensor, "B 1"]
    modes: Float[Tensor, "B R 3"]


@dataclass(frozen=True)
class WriteCore:
    """The gate of the grid that says how a row is overwritten.

    Arguments:
        gate: the point of the grid.
        hidden_size: W, the numbers of a row, each of which has a gate.
    """

    gate: Gate
    hidden_size: int
    tied = False

    def blocks(self) -> dict[str, int]:
        """The gate's blocks and their sizes, K rows in all."""
        return self._blocks

    @cached_property
    def _blocks(self) -> dict[str, int]:
        return self.gate.blocks(self.hidden_size)


@dataclass(frozen=True)
class Layout:
    """What the numbers of an interface mean.

    Arguments:
        width: W, numbers in a row of the memory.
        reads: R, read heads.
        core: overwrites rows; ``None`` for the paper's erase vector.
    """

    width: int
    reads: int
    core: WriteCore | None

    def blocks(self) -> dict[str, int]:
        """How many numbers each thing has, by name and in the paper's order."""
        return self._blocks

    @cached_property
    def _blocks(self) -> dict[str, int]:
        return {
            "read_keys": self.reads * self.width,
            "read_strengths": self.reads,
            "write_key": self.width,
            "write_strength": 1,
            **({"erase": self.width} if self.core is None else self.core.blocks()),
            "vector": self.width,
            "free": self.reads,
            "allocation_gate": 1,
            "write_gate": 1,
            "modes": 3 * self.reads,
        }

    def ask(
        self,
        xi: Float[Tensor, "B X"],
        noise: Float[Tensor, "B K"] | None = None,
        training: bool = False,
    ) -> tuple[Asked, Blocks]:
        """What is asked in one step, and the gate that overwrites.

        Strengths are 1 + softplus as in the paper; the published code leaves the 1 out.

        Arguments:
            xi: ξ, the numbers before they are squashed.
            noise: of the gate, for its blocks side by side.
            training: whether it acts.
        """
        pre = split(xi, self._blocks)
        heads = (self.reads, -1)
        erase, vector, gates = self._overwrite(pre, noise, training)
        asked = Asked(
            read_keys=pre["read_keys"].unflatten(-1, heads),
            read_strengths=1 + F.softplus(pre["read_strengths"]),
            write_key=pre["write_key"][:, None],
            write_strength=1 + F.softplus(pre["write_strength"]),
            erase=erase,
            vector=vector,
            free=pre["free"].sigmoid(),
            allocation_gate=pre["allocation_gate"].sigmoid(),
            write_gate=pre["write_gate"].sigmoid(),
            modes=pre["modes"].unflatten(-1, heads).softmax(-1),
        )
        return asked, gates

    def _overwrite(
        self, pre: Blocks, noise: Tensor | None, training: bool
    ) -> tuple[Float[Tensor, "B W"], Float[Tensor, "B W"], Blocks]:
        """What a write erases and adds: e and v, or 1 - f and i ∘ v of a gate."""
        vector = pre["vector"]
        if self.core is None:
            erase = pre["erase"].sigmoid()
            return erase, vector, {"effective_forget": 1 - erase}
        sizes = self.core.blocks()
        drawn = None if noise is None else split(noise, sizes)
        own = {name: pre[name] for name in sizes}
        gates = self.core.gate.effective(own, drawn, training)
        erase = 1 - gates["effective_forget"]
        return erase, gates["effective_input"] * vector, gates


class Interface(names.Named, nn.Linear):
    """The layer from the controller's h to what it asks.

    Arguments:
        hidden_size: H, of the controller.
        width: W, numbers in a row of the memory.
        reads: R, read heads.
        gate: overwrites rows; ``None`` for the paper's erase vector.
        device: where the parameters live.
        dtype: their dtype.
    """

    layout: Layout | None = None

    def __init__(
        self,
        hidden_size: int,
        width: int,
        reads: int,
        gate: str | Gate | None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        core = None if gate is None else WriteCore(write_gate(gate, width), width)
        layout = Layout(width, reads, core)
        rows = sum(layout.blocks().values())
        super().__init__(hidden_size, rows, device=device, dtype=dtype)
        self.layout, self.core = layout, core
        if core is not None:
            self._name_gate()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights from U(-1/√H, 1/√H), biases 0 except by the gate's law."""
        if self.layout is None:  # torch's own start, before there is a gate
            return
        bound = 1 / math.sqrt(self.in_features)
        with torch.no_grad():
            self.weight.uniform_(-bound, bound)
            self.bias.zero_()
            if self.core is None:
                return
            with torch.device("cpu"):  # the default may have no numbers
                law = self.core.gate.initial_biases(self.core.hidden_size)
            own = split(self.bias, self.layout.blocks())
            for name, value in law.items():
                own[name].copy_(value)


def write_gate(given: str | Gate, width: int) -> Gate:
    """The gate that overwrites rows, if it can.

    Raises:
        ValueError: for one that detaches, whose masters do not divide the width, or
            which has too few units to spread or to order.
    """
    gate = resolve(given)
    if gate.gradient != Full():
        raise ValueError(
            f"memory_gate is {given!r}, which detaches; allowed: the gradient rule "
            "Full(), since a row has no h and no c; detach in the controller's gate"
        )
    checks.check_downsize(gate, width, given, "width")
    share = gate.auxiliary.downsize if isinstance(gate.auxiliary, Master) else 1
    units = width // share
    least = _least_units(gate)
    if units < least:
        raise ValueError(
            f"memory_gate is {given!r} and width is {width}, which leaves it {units} "
            f"units to differ in; allowed: {least} or more"
        )
    return gate


def _least_units(gate: Gate) -> int:
    """Below this, cumax is 1 for ever, or U and C start all units with one bias."""
    kind = gate.activation
    if isinstance(kind, Ordered):
        return 2
    spread = kind.d if isinstance(kind, Uniform) else 0
    spread = kind.t_max if isinstance(kind, Chrono) else spread
    return 3 if spread is None else 1
