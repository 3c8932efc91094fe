"""Cores with a memory as one writes them first: a module's step in a loop of Python.

What `cores.py` times ours against. Each takes our weights and computes the same.
"""

import copy

import torch
import torch.nn.functional as F
from gatebook import RMC
from torch import Tensor, nn


class PlainRMC(nn.Module):
    """A relational memory core of one block with the standard gate.

    Everything is in the step, the input's products too, and torch's own attention.
    """

    def __init__(self, core: RMC):
        super().__init__()
        own = copy.deepcopy(core)
        self.heads, self.start = core.core.heads, own.initial_memory(1)
        self.input, self.gate_input, self.cell = own.input, own.gate_input, own.cell

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (T, B, N D) and the last memory of a sequence (T, B, I)."""
        memory, outputs = self.start.expand(input.shape[1], -1, -1), []
        for t in range(len(input)):
            memory = self.step(input[t], memory)
            outputs.append(memory.flatten(1))
        return torch.stack(outputs), memory

    def step(self, x: Tensor, memory: Tensor) -> Tensor:
        """The new memory (B, N, D)."""
        cell, row = self.cell, self.input(x).unsqueeze(1)
        rows = torch.cat([memory, row], 1)
        rows = cell.read_norm[0](rows + self.attend(rows))
        rows = cell.out_norm[0](rows + cell.second(F.relu(cell.first(rows))))
        gates = self.gate_input(row) + cell.gate_memory(torch.tanh(memory))
        i, f = torch.sigmoid(gates).chunk(2, -1)
        return f * memory + i * torch.tanh(rows[:, :-1])

    def attend(self, rows: Tensor) -> Tensor:
        """What each row reads (B, N + 1, D)."""
        batch, count, width = rows.shape
        projected = self.cell.project_norm[0](self.cell.project[0](rows))
        parts = projected.view(batch, count, self.heads, -1).transpose(1, 2)
        read = F.scaled_dot_product_attention(*parts.chunk(3, -1))
        return read.transpose(1, 2).reshape(batch, count, width)
