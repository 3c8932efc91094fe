"""Residual blocks around a recurrent cell: the frame in which cells are compared."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from gatebook.errors import check_count
from jaxtyping import Float
from torch import Tensor, nn

WEIGHTS = 10
"""Weights of a cell and its MLP in units of D²: an LSTM leaves 2 D² to the MLP."""

WIDTH = 4
"""Steps that a short convolution sees."""


class Blocks(nn.Module):
    """Blocks of a cell and an MLP, each behind a norm and beside the identity.

    One block is x + W cell(norm(x)), then x + MLP(norm(x)). All blocks have about
    11 D² weights: what the cell does not use goes to the MLP, so that models with
    different cells have equal sizes.

    Arguments:
        input_size: I, the features of the input, which a matrix brings to D.
        hidden_size: D, the width of everything between.
        cell: makes a cell from an input and a hidden size, and a block's number.
        blocks: how many there are.
        convolution: whether a causal convolution of four steps, a channel at a time,
            stands before each cell.

    Raises:
        ValueError: for a size below 1, or a cell that leaves the MLP nothing.
    """

    batch_first = False
    bidirectional = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        cell: Callable[[int, int, int], nn.Module],
        blocks: int = 2,
        convolution: bool = False,
    ):
        super().__init__()
        check_count("input_size", input_size)
        check_count("hidden_size", hidden_size)
        check_count("blocks", blocks)
        self.output_width = hidden_size
        self.embed = nn.Linear(input_size, hidden_size)
        self.blocks = nn.ModuleList(
            Block(hidden_size, cell(hidden_size, hidden_size, k), convolution)
            for k in range(blocks)
        )
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, x: Float[Tensor, "T B I"]) -> tuple[Float[Tensor, "T B D"], None]:
        """The last block's output at each step; there is no state to carry."""
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x), None


class Block(nn.Module):
    """A cell and an MLP; see `Blocks`."""

    def __init__(self, width: int, cell: nn.Module, convolution: bool):
        super().__init__()
        used = sum(p.numel() for p in cell.parameters())
        hidden = (WEIGHTS * width**2 - used) // (2 * width)
        check_count("the MLP's width", hidden)
        self.cell = cell
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.mixed = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.convolution = ShortConvolution(width) if convolution else nn.Identity()

    def forward(self, x: Float[Tensor, "T B D"]) -> Float[Tensor, "T B D"]:
        """Mix along time, then along features."""
        mixed, _ = self.cell(self.convolution(self.norms[0](x)))
        x = x + self.mixed(mixed)
        return x + self.mlp(self.norms[1](x))


class ShortConvolution(nn.Module):
    """A channel's last `WIDTH` steps, weighed; zeros stand before the first step."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, 1, WIDTH))
        nn.init.uniform_(self.weight, -(WIDTH**-0.5), WIDTH**-0.5)

    def forward(self, x: Float[Tensor, "T B D"]) -> Float[Tensor, "T B D"]:
        """The same shape, then SiLU."""
        padded = F.pad(x.movedim(0, -1), (WIDTH - 1, 0))
        made: Any = F.conv1d(padded, self.weight, groups=x.shape[-1])
        return F.silu(made.movedim(-1, 0))
