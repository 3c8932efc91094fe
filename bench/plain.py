"""Cores with a memory as one writes them first: a module's step in a loop of Python.

What `cores.py` times ours against. Each takes our weights and computes the same.
"""

import copy

import torch
import torch.nn.functional as F
from gatebook import DNC, RMC
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


class PlainDNC(nn.Module):
    """A differentiable neural computer with torch's own LSTM cell and erase vector.

    Everything is in the step, the input's products too.
    """

    def __init__(self, core: DNC):
        super().__init__()
        own = copy.deepcopy(core)
        self.sizes = (core.rows, core.width, core.reads)
        self.controller = own.controller.to_torch()
        self.interface = nn.Linear(*reversed(own.interface.weight.shape))
        self.interface.load_state_dict(own.interface.state_dict())

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (T, B, H + R W) and the last memory of a sequence (T, B, I)."""
        (rows, width, reads), batch = self.sizes, input.shape[1]
        zeros = input.new_zeros
        hc = (zeros(batch, self.controller.hidden_size),) * 2
        memory, links = zeros(batch, rows, width), zeros(batch, rows, rows)
        usage, last, write = (zeros(batch, rows) for _ in range(3))
        read, words = zeros(batch, reads, rows), zeros(batch, reads, width)
        outputs = []
        for t in range(len(input)):
            hc = self.controller(torch.cat([input[t], words.flatten(1)], -1), hc)
            asked = self.ask(hc[0])
            usage = self.used(usage, write.detach(), read, asked[6])
            write = self.where_to(usage, memory, asked)
            memory = memory * (1 - write.unsqueeze(2) * asked[4].unsqueeze(1))
            memory = memory + write.unsqueeze(2) * asked[5].unsqueeze(1)
            both = write.unsqueeze(2) + write.unsqueeze(1)
            links = (1 - both) * links + write.unsqueeze(2) * last.unsqueeze(1)
            links = links * (1 - torch.eye(rows))
            last = (1 - write.sum(1, keepdim=True)) * last + write
            back, found, on = asked[9].softmax(-1).unsqueeze(3).unbind(2)
            by_key = self.find(memory, asked[0], asked[1])
            read = back * (read @ links) + on * (read @ links.mT) + found * by_key
            words = read @ memory
            outputs.append(torch.cat([hc[0], words.flatten(1)], -1))
        return torch.stack(outputs), memory

    def ask(self, h: Tensor) -> list[Tensor]:
        """The ten parts of the interface in the paper's order, squashed."""
        _, width, reads = self.sizes
        widths = [reads * width, reads, width, 1, width, width, reads, 1, 1, 3 * reads]
        asked = list(self.interface(h).split(widths, 1))
        asked[0] = asked[0].view(-1, reads, width)
        asked[1], asked[3] = (1 + F.softplus(asked[k]) for k in (1, 3))
        for k in (4, 6, 7, 8):
            asked[k] = torch.sigmoid(asked[k])
        asked[9] = asked[9].view(-1, reads, 3)
        return asked

    def used(self, usage: Tensor, write: Tensor, read: Tensor, free: Tensor) -> Tensor:
        """The usage (B, N) after the last step's write and reads."""
        kept = (1 - free.unsqueeze(2) * read).prod(1)
        return (usage + write - usage * write) * kept

    def where_to(self, usage: Tensor, memory: Tensor, asked: list[Tensor]) -> Tensor:
        """The write weights (B, N)."""
        ordered, order = torch.sort(1e-6 + (1 - 1e-6) * usage, dim=1, stable=True)
        before = torch.cat([torch.ones_like(ordered[:, :1]), ordered[:, :-1]], 1)
        free = (1 - ordered) * before.cumprod(1)
        free = torch.zeros_like(free).scatter(1, order, free)
        found = self.find(memory, asked[2].unsqueeze(1), asked[3]).squeeze(1)
        return asked[8] * (asked[7] * free + (1 - asked[7]) * found)

    def find(self, memory: Tensor, keys: Tensor, strengths: Tensor) -> Tensor:
        """Rows by content (B, R, N)."""
        sizes = [((x * x).sum(2) + 1e-6).sqrt() for x in (keys, memory)]
        cosines = keys @ memory.mT / (sizes[0].unsqueeze(2) * sizes[1].unsqueeze(1))
        return (strengths.unsqueeze(2) * cosines).softmax(2)
