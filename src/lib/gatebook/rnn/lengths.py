"""Sequences of different lengths in one batch."""

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence


def alive(x: Float[Tensor, "T B I"], lengths: Tensor) -> Bool[Tensor, "T B"]:
    """True inside each sequence."""
    steps = torch.arange(len(x), device=x.device)
    return steps[:, None] < lengths.to(x.device)[None, :]


def flip(x: Float[Tensor, "T B I"], lengths: Tensor | None) -> Float[Tensor, "T B I"]:
    """Each sequence backwards within its own length; padding stays where it is."""
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(len(x), device=x.device)[:, None]
    ends = lengths.to(x.device)[None, :]
    source = torch.where(steps < ends, ends - 1 - steps, steps)
    return x.gather(0, source[..., None].expand_as(x))


class Packer:
    """Packs tensors of shape (T, B, features) as the input was packed.

    Arguments:
        packed: the input.
        lengths: each sequence's length, in the order in which the user has the batch.
    """

    def __init__(self, packed: PackedSequence, lengths: Tensor):
        in_order = packed.sorted_indices is None
        self._pack = partial(
            pack_padded_sequence, lengths=lengths, enforce_sorted=in_order
        )

    def __call__(self, x: Float[Tensor, "T B I"]) -> PackedSequence:
        """``x`` without its padding."""
        return self._pack(x)
