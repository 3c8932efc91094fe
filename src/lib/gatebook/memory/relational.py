"""One step of the relational memory core: attention between rows, then a gate.

The equations of Santoro et al. (2018) §3.2-3.4 as their authors run them: Sonnet v1,
``relational_memory.py`` at cd5b5fa. Where the two differ, the code is followed: it has
no output gate, and the input's row reads, too. The gate is one of the grid.

Letters: N slots, D units of a slot, R = N + 1 rows with the input's, S of them that
read, K heads, and Z rows of the gate's blocks.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatebook.gates import Blocks, Gate
from gatebook.recurrence.cells import gated_update, split

Step = tuple[Float[Tensor, "B N D"], Blocks]
"""The new memory, and what was seen on the way: gates and attention weights by name."""


@dataclass(frozen=True)
class RMCCore:
    """What a step computes, besides its weights.

    Arguments:
        gate: the point of the grid.
        hidden_size: D, the units of a slot.
        heads: of the attention; they divide D.
        gate_per: ``"unit"``, or ``"slot"`` for one gate value per slot.
    """

    gate: Gate
    hidden_size: int
    heads: int = 1
    gate_per: str = "unit"
    tied = False

    @property
    def units(self) -> int:
        """How many units have a gate of their own."""
        return self.hidden_size if self.gate_per == "unit" else 1

    def blocks(self) -> dict[str, int]:
        """The gate's blocks and their sizes, Z rows in all."""
        return self._blocks

    @cached_property
    def _blocks(self) -> dict[str, int]:
        return self.gate.blocks(self.units)

    def update(
        self,
        memory: Float[Tensor, "B N D"],
        candidate: Float[Tensor, "B N D"],
        pre: Float[Tensor, "B N Z"],
        noise: Float[Tensor, "B N Z"] | None,
        training: bool,
    ) -> Step:
        """Eqs. 5-7 of the paper without its output gate: M' = f ∘ M + i ∘ Ũ."""
        drawn = None if noise is None else split(noise, self._blocks)
        parts = split(pre, self._blocks)
        return gated_update(self.gate, memory, candidate, parts, drawn, training)


def attend(
    rows: Float[Tensor, "B R P"], heads: int, readers: int
) -> tuple[Float[Tensor, "B S D"], Float[Tensor, "B K S R"]]:
    """Eq. 2: softmax(q k' / √(D / K)) v in each head, heads side by side.

    Arguments:
        rows: q, k and v of each head, one head after the other; P = 3 D.
        heads: K, their number.
        readers: S, how many of the rows read.

    Returns:
        what each of them has read, and the weights by which it has read each row.
    """
    parts = rows.unflatten(-1, (heads, 3, -1)).permute(3, 0, 2, 1, 4)
    q, k, v = parts.contiguous()  # one copy here spares one in each product
    q = q[:, :, :readers] / math.sqrt(q.shape[-1])
    weights = (q @ k.mT).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2), weights


class Relational(nn.Module):
    """The weights that act on the memory, and one step with them.

    All slots share them, so nothing here depends on N.

    Arguments:
        core: gate and sizes.
        blocks: rounds of attention in a step. Each has its own projections and norms,
            and all have one network of two layers.
        place: device and dtype of the weights.
    """

    def __init__(self, core: RMCCore, blocks: int, place: dict[str, Any]):
        super().__init__()
        width, rows = core.hidden_size, sum(core.blocks().values())
        self.core = core

        def linear(rows: int) -> nn.Linear:
            return nn.Linear(width, rows, **place)

        def norms(size: int) -> nn.ModuleList:
            return nn.ModuleList(nn.LayerNorm(size, **place) for _ in range(blocks))

        self.project = nn.ModuleList(linear(3 * width) for _ in range(blocks))
        self.project_norm = norms(3 * width)
        self.first, self.second = linear(width), linear(width)
        self.read_norm, self.out_norm = norms(width), norms(width)
        self.gate_memory = linear(rows)

    def forward(
        self,
        memory: Float[Tensor, "B N D"],
        row: Float[Tensor, "B D"],
        gate_row: Float[Tensor, "B Z"],
        noise: Float[Tensor, "B N Z"] | None,
        training: bool,
    ) -> Step:
        """One step.

        Arguments:
            memory: M.
            row: the input as a row of the memory's width.
            gate_row: the input's share of the gate's pre-activations.
            noise: a draw for each slot; ``None`` if there is none.
            training: whether noise acts.
        """
        rows, seen = torch.cat([memory, row[:, None]], 1), []
        slots, last = memory.shape[1], len(self.project) - 1
        for k in range(len(self.project)):
            # What the input's row would read in the last round is not looked at.
            rows, weights = self.block(k, rows, slots if k == last else slots + 1)
            seen.append(weights[:, :, :slots])
        candidate = rows.tanh()
        pre = gate_row[:, None] + self.gate_memory(memory.tanh())
        new, gates = self.core.update(memory, candidate, pre, noise, training)
        return new, gates | {"attention": torch.stack(seen, 1)}

    def block(
        self, k: int, rows: Float[Tensor, "B R D"], readers: int
    ) -> tuple[Float[Tensor, "B S D"], Float[Tensor, "B K S R"]]:
        """One round: the first ``readers`` rows read all, then pass the network."""
        # One LayerNorm over the queries, keys and values of all heads, row by row.
        projected = self.project_norm[k](self.project[k](rows))
        read, weights = attend(projected, self.core.heads, readers)
        rows = self.read_norm[k](rows[:, :readers] + read)
        # No ReLU after the second layer.
        thought = self.second(self.first(rows).relu())
        return self.out_norm[k](rows + thought), weights
