"""The cores: one step of an LSTM and of a GRU around any gate of the grid.

A core gets the input's share of the pre-activations (hoisted out of the loop) and
the hidden state's share, and returns the new state. Both are split by block name.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gatebook.errors import check_choice
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
    words: str = field(init=False, repr=False, compare=False)
    tied = False
    one_product = True

    def __post_init__(self) -> None:
        _note_words(self)

    def recurrent(
        self,
        x: Float[Tensor, "B G"],
        h: Float[Tensor, "B H"],
        weight: Float[Tensor, "G H"],
        bias: Float[Tensor, " G"] | None,
    ) -> Float[Tensor, "B G"]:
        """The hidden state's share of the pre-activations."""
        return F.linear(h, weight, bias)

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
        reset: where the reset gate s acts on the candidate: ``"after"`` its product,
            s ∘ (W h), as `torch.nn.GRU` has it; ``"before"``, W (s ∘ h), as in Cho et
            al. (2014) and in the later code of P2's gates (S4 ``gate.py``, reset G);
            ``"none"`` leaves it out (S4, reset N). Before the product it needs a
            second one, and runs in the reference loop.
    """

    gate: Gate
    hidden_size: int
    reset: str = "after"
    words: str = field(init=False, repr=False, compare=False)
    tied = True

    def __post_init__(self) -> None:
        check_choice("reset", self.reset, ("after", "before", "none"))
        _note_words(self)

    @property
    def one_product(self) -> bool:
        """Whether a step needs no recurrent product except that of the old state."""
        return self.reset != "before"

    def recurrent(
        self,
        x: Float[Tensor, "B G"],
        h: Float[Tensor, "B H"],
        weight: Float[Tensor, "G H"],
        bias: Float[Tensor, " G"] | None,
    ) -> Float[Tensor, "B G"]:
        """The hidden state's share; the update block reads s ∘ h if s acts before."""
        rec = F.linear(h, weight, bias)
        if self.one_product:
            return rec
        parts, sizes = split(rec, self._blocks), list(self._blocks.values())
        s = (split(x, self._blocks)["reset"] + parts["reset"]).sigmoid()
        place = list(self._blocks).index("update")
        rows = weight.split(sizes)[place]
        own = None if bias is None else bias.split(sizes)[place]
        parts["update"] = F.linear(s * h, rows, own)
        return torch.cat(list(parts.values()), -1)

    def blocks(self) -> dict[str, int]:
        """Rows of the weights by block; `torch.nn.GRU`'s order, then the rest."""
        return self._blocks

    @cached_property
    def _blocks(self) -> dict[str, int]:
        units = self.hidden_size
        own = self.gate.blocks(units, tied=True)
        own.pop("forget")
        first = {} if self.reset == "none" else {"reset": units}
        return first | {"forget": units, "update": units} | own

    def step(
        self,
        x: Float[Tensor, "B G"],
        rec: Float[Tensor, "B G"],
        h: Float[Tensor, "B H"],
        c: Float[Tensor, "B H"],
        noise: Blocks | None,
        training: bool,
    ) -> Step:
        """h' = f ∘ h + i ∘ tanh(x_u + s ∘ rec_u) with the reset gate s.

        Where s has acted before the product, or there is none, it is left out here.

        ``c`` is the state that the linear path reads, ``h`` the one that the gates
        read: they are one tensor except with h-detach and c-detach. The new state is
        returned twice.
        """
        sizes = self.blocks()
        pre_x, pre_h = split(x, sizes), split(rec, sizes)
        rec_u, shown = pre_h.pop("update"), {}
        if self.reset != "none":
            s = (pre_x.pop("reset") + pre_h.pop("reset")).sigmoid()
            rec_u = s * rec_u if self.one_product else rec_u
            shown = {"reset": s}
        u = (pre_x.pop("update") + rec_u).tanh()
        pre = {name: pre_x[name] + pre_h[name] for name in pre_x}
        gates = self.gate.effective(pre, noise, training, tied=True)
        h = gates["effective_forget"] * c + gates["effective_input"] * u
        return h, h, gates | shown


def gated_update(
    gate: Gate,
    old: Float[Tensor, "*B H"],
    candidate: Float[Tensor, "*B H"],
    pre: Blocks,
    noise: Blocks | None,
    training: bool,
) -> tuple[Float[Tensor, "*B H"], Blocks]:
    """f ∘ old + i ∘ candidate with the effective gates, and all gates by name.

    Where i = 1 - f, the new state is between the old one and the candidate.
    """
    gates = gate.effective(pre, noise, training)
    kept = gates["effective_forget"] * old
    return kept + gates["effective_input"] * candidate, gates


@dataclass(frozen=True)
class UpdateCore:
    """The gated update alone: c' = f ∘ c + i ∘ tanh(x_u), which is all the state.

    What a core with a memory does in each of its rows. It has no output gate and no
    weights of its own.

    Arguments:
        gate: the point of the grid.
        hidden_size: H, the units of a row.
        more_c: C code that is compiled with the update and makes use of it.
    """

    gate: Gate
    hidden_size: int
    more_c: str = field(default="", repr=False)
    words: str = field(init=False, repr=False, compare=False)
    tied = False
    one_product = True

    def __post_init__(self) -> None:
        _note_words(self)

    def blocks(self) -> dict[str, int]:
        """The gate's blocks, then the candidate's."""
        return self.gate.blocks(self.hidden_size) | {"update": self.hidden_size}

    def step(
        self,
        x: Float[Tensor, "B G"],
        rec: Float[Tensor, "B G"],
        h: Float[Tensor, "B H"],
        c: Float[Tensor, "B H"],
        noise: Blocks | None,
        training: bool,
    ) -> Step:
        """`gated_update` of c; the new state is returned twice."""
        pre = split(x + rec, self.blocks())
        candidate = pre.pop("update").tanh()
        new, gates = gated_update(self.gate, c, candidate, pre, noise, training)
        return new, new, gates


Core = LSTMCore | GRUCore

AnyCore = Core | UpdateCore
"""What can be traced: a core, or the update alone."""


def _note_words(core: AnyCore) -> None:
    """Keep in ``words`` what the core is: a compiler can compare a string."""
    object.__setattr__(core, "words", repr(core))


def split(rows: Float[Tensor, "*B G"], sizes: dict[str, int]) -> Blocks:
    """Cut the last axis into named blocks."""
    return dict(zip(sizes, rows.split(list(sizes.values()), -1), strict=True))


def noise_blocks(core: AnyCore) -> dict[str, int]:
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


def main_block(core: Core) -> str:
    """The block whose bias the gate's law decides: a master's, if there is one."""
    return "master_forget" if "master_forget" in core.blocks() else "forget"


def spread(core: Core, bias: Float[Tensor, " N"]) -> Float[Tensor, " G"]:
    """A gate's bias b_f over all rows: added to f, and subtracted where it mirrors.

    P2 Listing 2 adds one vector to f and subtracts it from r; its chrono and uniform
    gates without a refine gate subtract it from i (D.5).
    """
    gate, main = core.gate, main_block(core)
    mirrored = gate.auxiliary.mirrored() if gate.activation.mirrors_input else ()
    signs = dict.fromkeys(mirrored, -1) | {main: 1}
    return torch.cat(
        [
            signs[name] * bias if name in signs else bias.new_zeros(size)
            for name, size in core.blocks().items()
        ]
    )


def initial_bias(core: Core) -> Float[Tensor, " G"]:
    """The input bias at the start: the gate's law, zero for the other blocks."""
    fixed = core.gate.initial_biases(core.hidden_size, core.tied)
    return torch.cat(
        [fixed.get(name, torch.zeros(size)) for name, size in core.blocks().items()]
    )
