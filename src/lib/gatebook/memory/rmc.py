"""The relational memory core as a module, called as `gatebook.LSTM` is."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatebook.errors import check_choice, check_count
from gatebook.gates import Constant, Full, Gate, Master, resolve
from gatebook.memory import fused
from gatebook.memory.relational import Relational, RMCCore
from gatebook.random import Streams
from gatebook.rnn import checks, names
from gatebook.rnn.stack import Record


class RMC(names.Named, nn.Module):
    """The relational memory core of Santoro et al. (2018) with any gate of the grid.

    A memory of ``slots`` rows. In each step the rows and the input's row attend to
    each other, and a gate decides, unit by unit, how much of the result replaces the
    memory. With the gate ``"LSTM"`` it is Sonnet v1's ``RelationalMemory``.

    The gate's bias starts by its law in the input's share, with one draw that all
    slots share (P2 D.5: a vector as long as a slot); the memory's share starts at 0.

    There is no h here that h-detach could block. Its analogue, ours and not built,
    would block M where attention and gates read it, and leave it open where it is
    carried over, f ∘ M.

    Arguments:
        input_size: features of the input.
        slot_size: D, the units of a slot.
        slots: N. Weights do not depend on it.
        heads: of the attention; their number divides ``slot_size``.
        blocks: rounds of attention in a step.
        gate: a paper's name (`gatebook.GATES`) or a `Gate` of the four axes.
        gate_per: ``"unit"`` gives each unit of each slot a gate of its own; ``"slot"``
            has one number per slot (Sonnet's style "memory"), for gates that do not
            differ from unit to unit.
        seed: seed of the gate's noise, as for `gatebook.LSTM`.
        device: where the parameters live.
        dtype: their dtype.

    Raises:
        ValueError: for sizes that do not divide, a gate that detaches, or a gate that
            needs units where there is one number per slot.

    Example:
        >>> import torch
        >>> core = RMC(10, 32, slots=4, heads=2, gate="UR")
        >>> output, memory = core(torch.zeros(7, 3, 10))
        >>> output.shape, memory.shape
        (torch.Size([7, 3, 128]), torch.Size([3, 4, 32]))
    """

    batch_first = False
    bidirectional = False

    def __init__(
        self,
        input_size: int,
        slot_size: int,
        slots: int = 4,
        heads: int = 4,
        *,
        blocks: int = 1,
        gate: str | Gate = "LSTM",
        gate_per: str = "unit",
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        sizes = {"input_size": input_size, "slot_size": slot_size, "slots": slots}
        for name, value in (sizes | {"heads": heads, "blocks": blocks}).items():
            check_count(name, value)
        check_heads(heads, slot_size)
        check_choice("gate_per", gate_per, ("unit", "slot"))
        check_gate(resolve(gate), gate, gate_per, slot_size)
        self.input_size, self.slot_size = int(input_size), int(slot_size)
        self.slots, self.blocks = int(slots), int(blocks)
        self.core = RMCCore(resolve(gate), self.slot_size, int(heads), gate_per)
        place: Any = {"device": device, "dtype": dtype}
        self.input = nn.Linear(self.input_size, self.slot_size, **place)
        rows = sum(self.core.blocks().values())
        self.gate_input = nn.Linear(self.slot_size, rows, **place)
        self.cell = Relational(self.core, self.blocks, place)
        self.streams = Streams(seed)
        self.recorder: Record | None = None  # see rnn.record
        self._name_gate()
        self.reset_parameters()

    @property
    def gate(self) -> Gate:
        """The point of the grid that this module runs."""
        return self.core.gate

    @property
    def hidden_size(self) -> int:
        """D: the units that a gate has, as in `gatebook.LSTM`."""
        return self.slot_size

    @property
    def output_width(self) -> int:
        """Features of the output: all slots side by side."""
        return self.slots * self.slot_size

    def reset_parameters(self) -> None:
        """Weights as Sonnet starts them, and the gate's law in the input's share.

        Weights from a normal law of variance 1 / fan-in, cut at two standard
        deviations; biases at 0, except for the gate's.
        """
        for part in self.modules():
            if isinstance(part, nn.LayerNorm):
                part.reset_parameters()
            elif isinstance(part, nn.Linear):
                std = 1 / math.sqrt(part.in_features)
                nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
                nn.init.zeros_(part.bias)
        with torch.no_grad():
            self.gate_input.bias.copy_(self._law())

    def _law(self) -> Float[Tensor, " Z"]:
        """A draw of the gate's own bias, one for all slots."""
        with torch.device("cpu"):  # the default may have no numbers
            fixed = self.gate.initial_biases(self.core.units)
        return torch.cat([fixed[name] for name in self.core.blocks()])

    def initial_memory(self, batch: int) -> Float[Tensor, "B N D"]:
        """The identity, padded with zeros or cut: else all slots would stay equal."""
        like = self.input.weight
        one = torch.eye(self.slots, self.slot_size, dtype=like.dtype)
        return one.to(like.device).expand(batch, -1, -1)

    # -- running -----------------------------------------------------------

    def forward(
        self, input: Tensor, state: Tensor | None = None
    ) -> tuple[Float[Tensor, "T B W"], Float[Tensor, "B N D"]]:
        """Run over a sequence.

        Arguments:
            input: (T, B, input_size).
            state: the memory before the first step, (B, slots, slot_size); the
                identity, padded or cut, if ``None``.

        Returns:
            the memory after each step, its slots side by side (W = N · D), and the
            last memory.
        """
        checks.check_tensor(input)
        checks.check_input(input, 3, self.input_size, batch_first=False)
        checks.check_place(input, "input", self.input.weight)
        memory = self._state(state, input.shape[1])
        rows = self.input(input)  # for all steps at once: the memory is not in it
        gate_rows = self.gate_input(rows)
        noise = self._noise(gate_rows)
        passed = (memory, rows, gate_rows, noise)
        made = None
        if self.recorder is None:  # who records looks into each step
            made = fused.kernel_of(self.cell, memory, noise is not None)
        if made is None:
            outputs, memory = self._loop(*passed)
        else:
            outputs, memory = fused.run(made, self.cell, *passed)
        return outputs.flatten(2), memory

    def step(
        self, input: Tensor, state: Tensor | None = None
    ) -> tuple[Float[Tensor, "B W"], Float[Tensor, "B N D"]]:
        """One step, for those who have one at a time; else as `forward`.

        Arguments:
            input: (B, input_size).
            state: the memory before the step; as for `forward`.
        """
        checks.check_step(input, self.input_size, alone=False)
        output, memory = self(input[None], state)
        return output[0], memory

    def _state(self, given: Tensor | None, batch: int) -> Float[Tensor, "B N D"]:
        if given is None:
            return self.initial_memory(batch)
        checks.check_tensor(given, "state")
        shape = (batch, self.slots, self.slot_size)
        checks.check_state(given, shape, ("batch", "slots", "slot_size"), "state")
        checks.check_place(given, "state", self.input.weight)
        return given

    def _noise(self, like: Float[Tensor, "T B Z"]) -> Tensor | None:
        """A draw for each step, example, slot and row of the gate's blocks."""
        if not (self.training and self.gate.noise.draws):
            return None
        steps, batch, rows = like.shape
        wide = (steps, batch, self.slots, rows)
        return self.gate.noise.sample(wide, like, self.streams["noise", like.device])

    def _loop(
        self,
        memory: Float[Tensor, "B N D"],
        rows: Float[Tensor, "T B D"],
        gate_rows: Float[Tensor, "T B Z"],
        noise: Float[Tensor, "T B N Z"] | None,
    ) -> tuple[Float[Tensor, "T B N D"], Float[Tensor, "B N D"]]:
        """The memory after each step and after the last, by the reference loop."""
        memories, log = [], []
        drawn = [None] * len(rows) if noise is None else noise.unbind()
        for row, gate_row, n in zip(
            rows.unbind(), gate_rows.unbind(), drawn, strict=True
        ):
            memory, seen = self.cell(memory, row, gate_row, n, self.training)
            memories.append(memory)
            if self.recorder is not None:
                log.append({name: value.detach() for name, value in seen.items()})
        if self.recorder is not None:
            self.recorder["l0"] = {
                name: torch.stack([s[name] for s in log]) for name in log[0]
            }
        return torch.stack(memories), memory

    def extra_repr(self) -> str:
        """Sizes, the gate, and the options that were set."""
        words = [f"{self.input_size}, {self.slot_size}, slots={self.slots}"]
        words += [f"heads={self.core.heads}", f"gate={self.gate}"]
        words += [f"blocks={self.blocks}"] if self.blocks != 1 else []
        words += ["gate_per='slot'"] if self.core.gate_per == "slot" else []
        return ", ".join(words)


def check_heads(heads: int, slot_size: int) -> None:
    """Raise unless the heads share the units of a slot evenly."""
    if slot_size % heads:
        raise ValueError(
            f"heads is {heads} and slot_size is {slot_size}; allowed: a number of "
            "heads that divides slot_size"
        )


def check_gate(gate: Gate, name: str | Gate, gate_per: str, slot_size: int) -> None:
    """Raise for a gate that this core cannot take, with the reason."""
    if gate.gradient != Full():
        raise ValueError(
            f"gate is {name!r}, which detaches; allowed: a gate with the gradient rule "
            "Full(), since a relational memory core has no h and c to detach"
        )
    if gate_per == "unit":
        checks.check_downsize(gate, slot_size, name, "slot_size")
    elif not (type(gate.activation) is Constant and not _has_masters(gate)):
        raise ValueError(
            f"gate is {name!r} and gate_per is 'slot'; allowed: gate_per='unit', or a "
            "gate whose units all start alike, such as 'LSTM', 'R' or 'CIFG': one "
            "number per slot leaves nothing to spread or to order"
        )


def _has_masters(gate: Gate) -> bool:
    return isinstance(gate.auxiliary, Master)
